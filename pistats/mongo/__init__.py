"""MongoDB: a mongod of our own, the client that everything shares, and the indexes."""
