"""A host's certificate: its names, its chain, and one that comes from the workstation."""
