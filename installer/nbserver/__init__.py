"""nbserver: sets up a secured notebook server with one audited script per host."""

__version__ = "0.2.0"
