"""The certificate of a host: its names, its chain, and certificates from the workstation."""
