"""The manifest of a rendered folder, and the audit that compares the folder with a new rendering."""
