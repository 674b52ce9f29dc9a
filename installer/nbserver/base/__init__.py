"""Shared basics: errors, plain text, files, and TLS connections to a known certificate."""
