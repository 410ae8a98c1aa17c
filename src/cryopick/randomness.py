"""Random numbers that depend on one seed and a name, never on the order or number of workers."""

import zlib

import numpy as np


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Make the random generator that belongs to a path of names below `seed`; the same call gives the same numbers everywhere."""
    keys = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(keys))))
