"""The manifest of a rendered folder, and the audit that renders the folder again and compares both."""
