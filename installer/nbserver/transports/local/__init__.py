"""Transports for this machine: the script runs in a child process."""
