"""The publishers' indexes: downloaded over HTTPS, and parsed as untrusted data."""
