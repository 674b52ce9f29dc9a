"""The command line: options and commands, which call what does the work."""
