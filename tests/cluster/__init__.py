"""A Dask cluster for tests: its certificates, its processes, and simulated hosts that its workers reach."""
