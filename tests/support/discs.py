"""Pictures of discs in noise, with known centres."""

import numpy as np
from scipy.spatial import cKDTree


def scatter(rng, shape_hw, count, diameter, *, apart=1.3):
    """Random centres (count, 2) as (x, y), `apart` diameters from each other and one from the edge."""
    height, width = shape_hw
    xy: list = []
    for _ in range(10_000):
        if len(xy) == count:
            break
        point = rng.uniform(diameter, [width - diameter, height - diameter])
        if all(np.hypot(*(point - other)) >= apart * diameter for other in xy):
            xy.append(point)
    return np.array(xy)


def draw_discs(rng, shape_hw, xy, diameter, *, contrast):
    """White noise of deviation 1, or nothing without a generator, with discs of `contrast` added."""
    pixels = np.zeros(shape_hw, np.float32) if rng is None else rng.normal(size=shape_hw).astype(np.float32)
    rows, columns = np.indices(shape_hw)
    for x, y in xy:
        pixels += np.float32(contrast) * np.clip(diameter / 2 + 0.5 - np.hypot(columns - x, rows - y), 0, 1).astype(np.float32)
    return pixels


def hits(found_xy, true_xy, radius):
    """How many true points have a found one within the radius."""
    if len(found_xy) == 0:
        return 0
    return int((cKDTree(found_xy).query(true_xy)[0] <= radius).sum())
