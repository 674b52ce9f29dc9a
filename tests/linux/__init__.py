"""The bash scripts of Linux hosts, run by this machine's bash; what changes a host does so in a root of its own."""
