"""One whole system on this machine: its processes, its ports, and the note that tells other commands where it is."""
