"""Random numbers that depend on one seed and a name, never on the order or number of workers."""

import zlib

import numpy as np

from cryopick.errors import SettingError


def generator(seed: int, *names: str | int) -> np.random.Generator:
    """Return a generator of its own for each path of names below `seed`: the same call gives the same numbers everywhere.

    Raises `SettingError` unless the seed is a whole number of at least 0.
    """
    if not (isinstance(seed, int | np.integer) and seed >= 0):
        raise SettingError(f"a random seed must be a whole number of at least 0, got {seed!r}")
    keys = [zlib.crc32(name.encode()) if isinstance(name, str) else name for name in names]
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=tuple(keys))))
