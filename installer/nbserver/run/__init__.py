"""plan, apply and undo: all hosts at once, and one host from connecting to its result."""
