"""Tasks in worker processes and on Dask clusters."""
