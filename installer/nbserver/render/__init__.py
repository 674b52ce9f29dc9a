"""From a host's settings and the step files to the one script that runs there."""
