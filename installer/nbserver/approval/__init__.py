"""The manifest of a rendered folder, and the audit that compares a folder with what would be rendered."""
