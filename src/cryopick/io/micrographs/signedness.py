"""Whether the bytes of an MRC file are signed, as MRC2014 says, or unsigned, as many programs write them, by their values.

The 256 bytes lie on a circle. Read as signed, it is cut between 127 and 128; as unsigned, between 255 and 0. The values of an
image go through the wrong cut and not through the right one.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLED = 1 << 20
"""Pixels that are looked at."""
LEAST = 1024
"""Pixels below which the values decide nothing."""
NEAR = 8
"""Values on either side of a cut."""
LEAST_SHARE = 1e-4
"""Share of the pixels that must lie on either side of a cut for the values to go through it."""
CLEAR = 2.0
"""Factor between the two cuts that decides."""
ROUGHER = 1.2
"""Factor between the mean differences of neighbours that decides where the cuts do not."""


def settle_sign(values: NDArray[np.float32]) -> tuple[bool, str | None]:
    """Decide whether bytes that were read as signed are unsigned, and correct them in place; returns that, and a note.

    There is a note where they are unsigned or may be.
    """
    rows = values.reshape(-1, values.shape[-1])
    sample = rows[:: max(1, values.size // SAMPLED)].astype(np.int16)
    if sample.size < LEAST or not (sample < 0).any():
        return False, None
    unsigned = _are_unsigned(sample)
    if unsigned is None:
        return False, "bytes were read as signed; neither the header nor the values show whether they are"
    if not unsigned:
        return False, None
    np.add(values, 256, out=values, where=values < 0)
    return True, "bytes were read as unsigned, because of their values; the header does not say whether they are"


def _are_unsigned(sample: NDArray[np.int16]) -> bool | None:
    """None where the values do not show it."""
    counts = np.bincount((sample & 255).ravel(), minlength=256)
    through_127 = int(min(counts[128 - NEAR : 128].sum(), counts[128 : 128 + NEAR].sum()))
    through_0 = int(min(counts[256 - NEAR :].sum(), counts[:NEAR].sum()))
    least = LEAST_SHARE * sample.size
    if through_127 > max(least, CLEAR * through_0):
        return True
    if through_0 > max(least, CLEAR * through_127):
        return False
    signed, unsigned = (np.abs(np.diff(each, axis=-1)).mean() for each in (sample, sample & 255))
    if signed > ROUGHER * unsigned:
        return True
    if unsigned > ROUGHER * signed:
        return False
    return None if (sample >= 0).any() else False
