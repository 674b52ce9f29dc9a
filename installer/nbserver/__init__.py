"""Set up secured notebook servers with one auditable script per host."""

__version__ = "0.7.0"
