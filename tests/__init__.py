"""The tests. What is not unit-sized runs against the machines in `tests/boxes`."""
