"""Render a host's settings and the step files into the script that runs on the host."""
