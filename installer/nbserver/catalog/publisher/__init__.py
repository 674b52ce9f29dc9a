"""The publishers' indexes: read over HTTPS, and trusted in nothing else."""
