"""SSH to Windows hosts: the bootstrap is the only command, and another one stops it."""
