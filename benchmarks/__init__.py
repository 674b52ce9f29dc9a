"""Benchmarks. They measure beside each other, on one machine, in one run: read the ratios. Nothing of this runs in the tests."""
