"""plan, apply, and undo: run all hosts in parallel, and each host from its connection to its result."""
