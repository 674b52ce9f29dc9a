"""What PSRP and WinRM share: TLS, limits of an answer, errors in words."""
