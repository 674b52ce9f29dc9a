"""What PSRP and WinRM share: TLS, response limits, and error messages."""
