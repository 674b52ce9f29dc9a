"""The inventory: the file an admin writes, read into one checked object for each host."""
