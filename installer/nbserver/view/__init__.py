"""Show a run to a user or to another program."""
