"""SSH: the bootstrap as the one command."""
