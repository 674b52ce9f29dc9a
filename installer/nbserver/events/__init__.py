"""What a running script says: JSON lines with known fields, and nothing else."""
