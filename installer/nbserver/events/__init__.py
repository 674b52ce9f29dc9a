"""The events of a running script: JSON lines with known fields."""
