"""How many simulated hosts a Dask cluster on this machine does, compared with one process without a cluster."""
