"""Averages of picks by score, and a montage of single picks, collected from the thumbnails of a run."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cryopick.display.thumbnails import BANDS, CROP_SIDE, Thumbnail, distance_from_middle

MONTAGE_COLUMNS = 12
MONTAGE_ROWS = 6
MONTAGE_SIZE = MONTAGE_COLUMNS * MONTAGE_ROWS
CONTRAST_PERCENTILE = 99.8
"""Percentile of the absolute values of an average that is drawn black or white."""
MIDDLE_GREY = 128

Pixels = NDArray[np.float32]


@dataclass
class PickAverages:
    """Sums of picks and a selection of crops, collected one micrograph at a time.

    Attributes
    ----------
    micrographs : expected number of micrographs; each contributes an equal share of the montage.
    counts : int64 (`BANDS`,), picks in each band of scores so far.
    crops : uint8 (`CROP_SIDE`, `CROP_SIDE`) each, the crops of the montage so far.
    scores : of `crops`; None for picks without scores.
    """

    micrographs: int
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(BANDS, np.int64))
    crops: list[NDArray[np.uint8]] = field(default_factory=list)
    scores: list[float | None] = field(default_factory=list)
    _sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((BANDS, CROP_SIDE, CROP_SIDE)))
    _added: int = 0

    def add(self, seen: Thumbnail, scores: list[float] | None) -> None:
        """Add the picks of one micrograph; `scores` are those of all its picks."""
        self._sums += seen.means.astype(np.float64) * seen.counts[:, None, None]
        self.counts += seen.counts
        self._added += 1
        share = -(-MONTAGE_SIZE * self._added // max(1, self.micrographs)) - len(self.crops)
        for crop, index in list(zip(seen.crops, seen.cropped, strict=True))[: max(0, share)]:
            self.crops.append(crop)
            self.scores.append(None if scores is None or index >= len(scores) else scores[index])

    @property
    def means(self) -> Pixels:
        """Mean pick of each band, float32 (`BANDS`, side, side), in standard deviations of the background."""
        return (self._sums / np.maximum(self.counts, 1)[:, None, None]).astype(np.float32)

    def montage(self) -> tuple[NDArray[np.uint8], list[float | None]]:
        """Return the crops in rows of `MONTAGE_COLUMNS`, highest scores first, and their scores; empty cells are grey."""
        order = sorted(range(len(self.crops)), key=lambda index: -(self.scores[index] or 0.0))[:MONTAGE_SIZE]
        rows = max(1, -(-len(order) // MONTAGE_COLUMNS))
        image = np.full((rows * CROP_SIDE, MONTAGE_COLUMNS * CROP_SIDE), MIDDLE_GREY, np.uint8)
        for cell, index in enumerate(order):
            row, column = divmod(cell, MONTAGE_COLUMNS)
            image[row * CROP_SIDE :, column * CROP_SIDE :][:CROP_SIDE, :CROP_SIDE] = self.crops[index]
        return image, [self.scores[index] for index in order]


def rotationally_averaged(image: Pixels) -> Pixels:
    """Average an image (side, side) over all rotations about its middle; its corners take the value of the largest circle."""
    radius = np.minimum(distance_from_middle(), CROP_SIDE / 2 - 0.5)
    ring = np.floor(radius).astype(int)
    profile = np.bincount(ring.ravel(), image.ravel()) / np.bincount(ring.ravel())
    centres = np.bincount(ring.ravel(), radius.ravel()) / np.bincount(ring.ravel())
    return np.interp(radius, centres, profile).astype(np.float32)


def draw_averages(means: Pixels) -> NDArray[np.uint8]:
    """Draw the means above their rotational averages, uint8 (2 side, bands * side), with one contrast; zero is middle grey."""
    rows = [np.concatenate(list(images), axis=1) for images in (means, np.array([rotationally_averaged(mean) for mean in means]))]
    values = np.concatenate(rows)
    limit = max(float(np.percentile(np.abs(values), CONTRAST_PERCENTILE)), 1e-6)
    return np.clip(np.rint(MIDDLE_GREY + 127 * values / limit), 0, 255).astype(np.uint8)
