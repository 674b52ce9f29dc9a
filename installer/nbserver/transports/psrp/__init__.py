"""PSRP: one runspace pool, one pipeline for a script."""
