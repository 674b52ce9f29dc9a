"""The WinRM transport without PSRP: the bootstrap runs in a command shell."""
