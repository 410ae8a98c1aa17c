"""What the picked particles look like, on average and one by one, so that a glance tells whether they are particles."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryopick.display.thumbnails import BANDS, CROP_SIDE, Thumbnail, distance_from_middle

COLUMNS = 12
ROWS = 6
SHOWN = COLUMNS * ROWS
WINDOW = 99.8
"""Per cent of an average's pixels within its grey window."""

Pixels = NDArray[np.float32]


@dataclass
class Averages:
    """Gathers thumbnails one at a time: the sums of all, and a few crops of each.

    Attributes
    ----------
    micrographs : how many thumbnails will come; each gives so many crops that all together fill the montage.
    """

    micrographs: int
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BANDS, np.int64))
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((BANDS, CROP_SIDE, CROP_SIDE)))
    _seen: int = 0

    def add(self, seen: Thumbnail, scores: list[float] | None) -> None:
        """Take in one micrograph's particles; `scores` are those of all its picks."""
        self._sums += seen.means.astype(np.float64) * seen.counts[:, None, None]
        self.counts += seen.counts
        self._seen += 1
        due = -(-SHOWN * self._seen // max(1, self.micrographs)) - len(self.crops)  # evenly spread over the run
        for crop, index in list(zip(seen.crops, seen.cropped, strict=True))[: max(0, due)]:
            self.crops.append(crop)
            self.scores.append(None if scores is None or index >= len(scores) else scores[index])

    @property
    def means(self) -> Pixels:
        """Mean particle of each band, (`BANDS`, side, side), in deviations of the background."""
        return (self._sums / np.maximum(self.counts, 1)[:, None, None]).astype(np.float32)

    def montage(self) -> tuple[NDArray[np.uint8], list[float | None]]:
        """Crops one beside the other in rows of `COLUMNS`, best scores first, and their scores; grey where there are none."""
        order = sorted(range(len(self.crops)), key=lambda index: -(self.scores[index] or 0.0))[:SHOWN]
        rows = max(1, -(-len(order) // COLUMNS))
        sheet = np.full((rows * CROP_SIDE, COLUMNS * CROP_SIDE), 128, np.uint8)
        for place, index in enumerate(order):
            row, column = divmod(place, COLUMNS)
            sheet[row * CROP_SIDE :, column * CROP_SIDE :][:CROP_SIDE, :CROP_SIDE] = self.crops[index]
        return sheet, [self.scores[index] for index in order]


def rotational(mean: Pixels) -> Pixels:
    """The mean over all rotations of a picture (side, side) about its middle; beyond the largest circle in it, that circle's."""
    radius = np.minimum(distance_from_middle(), CROP_SIDE / 2 - 0.5)
    ring = np.floor(radius).astype(int)
    profile = np.bincount(ring.ravel(), mean.ravel()) / np.bincount(ring.ravel())
    centres = np.bincount(ring.ravel(), radius.ravel()) / np.bincount(ring.ravel())
    return np.interp(radius, centres, profile).astype(np.float32)


def side_by_side(means: Pixels) -> NDArray[np.uint8]:
    """All bands' means over their rotational means, (2 side, bands * side), in one grey window that is middle grey at zero."""
    rows = [np.concatenate(list(pictures), axis=1) for pictures in (means, np.array([rotational(mean) for mean in means]))]
    sheet = np.concatenate(rows)
    reach = max(float(np.percentile(np.abs(sheet), WINDOW)), 1e-6)
    return np.clip(np.rint(128 + 127 * sheet / reach), 0, 255).astype(np.uint8)
