"""The command line: commands and options. The work itself is done by other packages."""
