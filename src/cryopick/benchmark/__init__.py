"""Benchmark of pickers and other programs: accuracy, time and memory on the same micrographs."""
