"""WinRM without PSRP: the bootstrap in a command shell."""
