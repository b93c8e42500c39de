"""From the stream to MongoDB, exactly once: leases, the one commit, the loop, and the sharing of partitions."""
