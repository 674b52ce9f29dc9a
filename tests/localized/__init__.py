"""Windows of other countries: cultures, code pages, a user and places whose names no single code page holds."""
