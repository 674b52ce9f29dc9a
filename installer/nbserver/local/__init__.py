"""The notebook server of this machine: where it is, whether it runs, and ending it."""
