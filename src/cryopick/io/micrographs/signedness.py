"""Sign of the bytes of an MRC file, judged by values: signed, as in MRC2014, or unsigned, as many programs write them.

The 256 bytes form a circle. Signed values cut it between 127 and 128, unsigned ones between 255 and 0. The values of an image
cross the wrong cut but not the right one.
"""

import numpy as np
from numpy.typing import NDArray

SAMPLED = 1 << 20
"""Number of pixels in the sample."""
LEAST = 1024
"""Number of pixels below which the values are not sufficient."""
NEAR = 8
"""Number of values considered on either side of a cut."""
LEAST_SHARE = 1e-4
"""Share of the pixels on either side of a cut from which the values cross it."""
CLEAR = 2.0
"""Factor between the two cuts that is sufficient."""
ROUGHER = 1.2
"""Factor between the mean differences of neighbours that is sufficient if the cuts are not."""


def settle_sign(values: NDArray[np.float32]) -> tuple[bool, str | None]:
    """Decide whether bytes that were read as signed are unsigned, and correct them in place; return that, and a note.

    There is a note if they are or may be unsigned.
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
    return True, "bytes were read as unsigned, because of their values; the header does not show whether they are"


def _are_unsigned(sample: NDArray[np.int16]) -> bool | None:
    """Return whether values are of unsigned bytes; None if the values do not show it."""
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
