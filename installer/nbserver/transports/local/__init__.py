"""This machine: the script in a child process."""
