"""The PSRP transport: one runspace pool, and one pipeline per script."""
