"""Files for other tools, each of which carries the script of a host unchanged."""
