"""A bundle: everything that the scripts of hosts download, in one folder that any web server can serve."""
