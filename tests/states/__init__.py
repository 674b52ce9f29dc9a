"""What earlier releases left on hosts and on the workstation: see README.md."""
