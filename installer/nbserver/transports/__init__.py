"""Ways to a host: PSRP, WinRM, SSH, and this machine itself."""
