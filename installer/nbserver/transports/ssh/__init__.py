"""The SSH transport: the bootstrap is the only command."""
