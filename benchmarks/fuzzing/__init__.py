"""The parts of `benchmarks/fuzz.py`: mutations of files, what is read, and the worker that reads it within limits."""

import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "MALLOC_ARENA_MAX"):
    os.environ.setdefault(_name, "1")  # threads would each claim memory that the limit counts
