"""Particles in a probability map, found by a watershed of the distance to the background instead of Segment Anything.

Every pixel climbs to the local maximum in the steepest direction. Two basins are one particle if the pass between them is nearly
as high as the lower maximum, so touching discs are separated at their neck and a long particle stays whole.
"""

from dataclasses import dataclass
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Map: TypeAlias = NDArray[np.float32]
Labels: TypeAlias = NDArray[np.int32]

NECK = 0.85
_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))


@dataclass(frozen=True, eq=False)
class Instances:
    """Regions of one image, one per particle, in pixels of the image.

    Attributes
    ----------
    boxes : int64 (n, 4), first column, first row, last column, last row of each region.
    scores : float32 (n,), larger is better: a mean probability, or a predicted IoU, which may slightly exceed 1.
    bitmaps : n bool arrays, the region within its box.
    """

    boxes: NDArray[np.int64]
    scores: NDArray[np.float32]
    bitmaps: tuple[NDArray[np.bool_], ...]

    def __len__(self) -> int:
        return len(self.boxes)

    def where(self, keep: NDArray[np.intp]) -> "Instances":
        """Select instances by an index array, in its order."""
        return Instances(self.boxes[keep], self.scores[keep], tuple(self.bitmaps[int(i)] for i in keep))

    @property
    def centroids(self) -> NDArray[np.float64]:
        """Centre of mass of each region (n, 2) as x, y; more precise than its box, whose sides are whole pixels."""
        within = [np.argwhere(bitmap).mean(axis=0)[::-1] for bitmap in self.bitmaps]
        return self.boxes[:, :2] + np.array(within, np.float64).reshape(-1, 2)

    def labels(self, shape_hw: tuple[int, int]) -> Labels:
        """Return a label image of all regions: 0 outside, i + 1 in region i; in overlaps, the better score counts."""
        labels = np.zeros(shape_hw, np.int32)
        for i in np.argsort(self.scores, kind="stable"):
            left, top, right, bottom = self.boxes[i]
            labels[top : bottom + 1, left : right + 1][self.bitmaps[i]] = i + 1
        return labels


NONE = Instances(np.zeros((0, 4), np.int64), np.zeros(0, np.float32), ())


def watershed(probability: Map, *, level: float = 0.5, neck: float = NECK, smallest: int = 9) -> Instances:
    """Divide a probability map (h, w) into particles, with their mean probability as score, from the top row down.

    Parts of fewer than `smallest` pixels are dropped. `level` and `neck` as in `parts`.
    """
    labels = parts(probability > level, neck=neck)
    count = int(labels.max(initial=0))
    if not count:
        return NONE
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    sums = np.bincount(labels.ravel(), weights=probability.ravel(), minlength=count + 1)[1:]
    boxes, bitmaps = [], []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        boxes.append((columns.start, rows.start, columns.stop - 1, rows.stop - 1))
        bitmaps.append(labels[rows, columns] == label)
    whole = Instances(np.array(boxes, np.int64), (sums / areas).astype(np.float32), tuple(bitmaps))
    return whole.where(np.flatnonzero(areas >= smallest))


def prompts(probability: Map, *, level: float = 0.5, neck: float = NECK) -> NDArray[np.float64]:
    """Return one point (n, 2) as x, y in every part of a probability map, where it is farthest from the background."""
    inside = probability > level
    labels = parts(inside, neck=neck)
    count = int(labels.max(initial=0))
    if not count:
        return np.zeros((0, 2))
    places = ndimage.maximum_position(_depth(inside), labels, np.arange(1, count + 1))
    return np.array(places, np.float64)[:, ::-1]


def parts(inside: NDArray[np.bool_], *, neck: float = NECK) -> Labels:
    """Label the particles of a mask (h, w), separating touching ones: int32, 0 outside, then 1, 2, … in order of their maxima.

    Two basins are one particle if the pass between them is higher than `neck` times the lower maximum: equal discs are
    separated if their centres are more than 2 r √(1 − neck²) apart, 1.05 r at 0.85. The edge of the image does not count as
    background, so a particle that is cut there stays whole. Maxima are ordered row by row.
    """
    depth = _depth(inside)
    basins, peaks = _climb(depth)
    if not len(peaks):
        return basins
    first, second, passes = _passes(basins, depth)
    merged = _join(peaks, first, second, passes, neck)
    return np.concatenate([[0], merged]).astype(np.int32)[basins]


def _depth(inside: NDArray[np.bool_]) -> Map:
    """Return the distance to the nearest pixel outside; the largest possible distance everywhere if there is none."""
    if inside.all():
        return np.full(inside.shape, float(np.hypot(*inside.shape)), np.float32)
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance, np.float32)


def _climb(depth: Map) -> tuple[Labels, Map]:
    """Return the basins of steepest ascent, numbered from 1 in reading order of their maxima, and the heights of the maxima."""
    height, width = depth.shape
    padded = np.pad(depth, 1)
    index = np.arange(height * width, dtype=np.int32).reshape(height, width)
    best, target = np.zeros_like(depth), index.copy()
    for dy, dx in [*_NEIGHBOURS, *((-y, -x) for y, x in _NEIGHBOURS)]:
        slope = (padded[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] - depth) / np.float32(np.hypot(dy, dx))
        steeper = slope > best
        best[steeper] = slope[steeper]
        target[steeper] = index[steeper] + dy * width + dx
    inside = np.flatnonzero(depth)
    top = target.ravel()
    while True:
        above = top[top[inside]]
        if np.array_equal(above, top[inside]):
            break
        top[inside] = above
    summits, numbers = np.unique(top[inside], return_inverse=True)
    basins = np.zeros(height * width, np.int32)
    basins[inside] = numbers + 1
    return basins.reshape(height, width), depth.ravel()[summits]


def _passes(basins: Labels, depth: Map) -> tuple[Labels, Labels, Map]:
    """Return pairs of neighbouring basins (numbered from 0) and the height of the highest pass between them."""
    pairs, heights = [], []
    height, width = depth.shape
    for dy, dx in _NEIGHBOURS:
        here = np.s_[: height - dy, max(-dx, 0) : width - max(dx, 0)]
        there = np.s_[dy:, max(dx, 0) : width - max(-dx, 0)]
        meet = (basins[here] != basins[there]) & (basins[here] > 0) & (basins[there] > 0)
        pairs.append(np.stack([basins[here][meet], basins[there][meet]], axis=1) - 1)
        heights.append(np.minimum(depth[here][meet], depth[there][meet]))
    joined, passes = np.sort(np.concatenate(pairs), axis=1), np.concatenate(heights)
    unique, group = np.unique(joined, axis=0, return_inverse=True)
    highest = np.zeros(len(unique), np.float32)
    np.maximum.at(highest, group.ravel(), passes)
    return unique[:, 0], unique[:, 1], highest


def _join(peaks: Map, first: Labels, second: Labels, passes: Map, neck: float) -> NDArray[np.int64]:
    """Return the particle, numbered from 1, of every basin; highest passes are joined first, as in persistence."""
    parent = list(range(len(peaks)))

    def root(basin: int) -> int:
        while parent[basin] != basin:
            parent[basin] = parent[parent[basin]]
            basin = parent[basin]
        return basin

    for pair in np.argsort(-passes, kind="stable"):
        a, b = root(int(first[pair])), root(int(second[pair]))
        low, high = (a, b) if peaks[a] < peaks[b] or (peaks[a] == peaks[b] and a > b) else (b, a)
        if a != b and passes[pair] > neck * peaks[low]:
            parent[low] = high
    roots = np.array([root(basin) for basin in range(len(peaks))])
    return np.asarray(np.unique(roots, return_inverse=True)[1] + 1)
