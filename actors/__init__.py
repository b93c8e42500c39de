"""Ray shells around the core: stream partitions, consumers and the supervisor. They translate, and hold no logic."""
