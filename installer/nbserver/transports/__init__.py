"""Transports to a host: PSRP, WinRM, SSH, and a local process."""
