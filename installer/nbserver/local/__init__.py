"""The notebook server on this machine: its files, its status, and stopping it."""
