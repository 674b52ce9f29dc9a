"""Resolve packages with uv into the lines of a lock."""
