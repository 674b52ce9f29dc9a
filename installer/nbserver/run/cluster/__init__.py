"""Spread the runs of hosts over the workers of a Dask cluster. Only nbserver[dask] has what these modules import."""
