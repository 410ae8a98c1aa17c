"""Peaks of a score map, and suppression of points that are closer than a spacing."""

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from cryopick.detection.detections import Detections

NOTHING = Detections(np.zeros((0, 2)), np.zeros(0, np.float32))


def find_peaks(score_map: NDArray[np.float32], *, spacing: float, threshold: float = -np.inf) -> Detections:
    """Find local maxima above `threshold`, best first, none closer than `spacing` pixels to a better one.

    A maximum is a pixel, or a flat patch of pixels, that no neighbour exceeds; a patch gives one peak at its middle. Peaks of
    single pixels are refined by a parabola along each axis. The score is that of the pixel. A constant map has no peaks.
    """
    score_map = np.ascontiguousarray(score_map, dtype=np.float32)
    if score_map.size == 0 or score_map.min() == score_map.max():
        return NOTHING
    highest = cv2.dilate(score_map, np.ones((3, 3), np.uint8))
    patches, count = ndimage.label((score_map >= highest) & (score_map > threshold), structure=np.ones((3, 3)))
    rows, columns = np.nonzero(patches)
    patch = patches[rows, columns] - 1
    sizes = np.bincount(patch, minlength=count)
    shift = np.where((sizes[patch] == 1)[:, None], parabola_shift(score_map, rows, columns), 0.0)
    points = np.column_stack([columns, rows]) + shift
    xy = np.column_stack([np.bincount(patch, points[:, axis], count) for axis in (0, 1)]) / sizes[:, None]
    scores = np.zeros(count, np.float32)
    scores[patch] = score_map[rows, columns]
    kept = suppress(xy, scores, spacing)
    return Detections(xy[kept], scores[kept])


def suppress(xy: NDArray[np.float64], scores: NDArray[np.float32], spacing: float) -> NDArray[np.intp]:
    """Return the indices of the points that remain, best first, if every point suppresses worse ones closer than `spacing`.

    Equal scores are ranked by their order in the list. A suppressed point does not suppress others.
    """
    order = np.argsort(-scores, kind="stable")
    if len(xy) < 2 or spacing <= 0:
        return order
    ranked = xy[order]
    pairs = cKDTree(ranked).query_pairs(spacing, output_type="ndarray")
    pairs = np.sort(pairs[((ranked[pairs[:, 0]] - ranked[pairs[:, 1]]) ** 2).sum(axis=1) < spacing**2], axis=1)
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    kept = np.ones(len(xy), bool)
    starts = np.searchsorted(pairs[:, 0], np.arange(len(xy) + 1))
    for better in np.unique(pairs[:, 0]):
        if kept[better]:
            kept[pairs[starts[better] : starts[better + 1], 1]] = False
    return order[kept]


def parabola_shift(score_map: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return the offset of the parabola's top at each pixel, (n, 2) as (x, y) within half a pixel; 0 at the edge."""
    padded = np.pad(score_map.astype(np.float64), 1, mode="edge")
    height, width = score_map.shape
    shifts = np.zeros((len(rows), 2))
    for axis, (down, right) in enumerate([(0, 1), (1, 0)]):
        before = padded[rows + 1 - down, columns + 1 - right]
        after = padded[rows + 1 + down, columns + 1 + right]
        bend = before - 2 * padded[rows + 1, columns + 1] + after
        place, length = ((columns, width), (rows, height))[axis]
        inner = (place > 0) & (place < length - 1) & (bend < 0)
        shifts[inner, axis] = ((before - after)[inner] / (2 * bend[inner])).clip(-0.5, 0.5)
    return shifts
