"""A small script whose installer asks for a reboot, and a Windows that restarts when it is told to."""
