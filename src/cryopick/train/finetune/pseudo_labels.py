"""Pseudo-labels: confident picks of a network as labels, uncertain ones as places that are ignored in training."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import inside
from cryopick.evaluate.matching import match_points, neighbours
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.types import Picks


def uncertain_picks(found: Picks, truth: Picks, *, threshold: float) -> Picks:
    """Select picks that score `threshold` or more without a label within half a diameter: possibly unlabelled particles."""
    radius_px = (truth.diameter_px or found.diameter_px or 0.0) / 2
    likely = above(found, threshold)
    if len(found) and len(truth):
        likely[neighbours(found.xy, truth.xy, radius_px=radius_px).found] = False
    return found.where(likely)


def pseudo_labelled(one: LabelledMicrograph, found: Picks, *, threshold: float) -> LabelledMicrograph:
    """Label a micrograph with the picks that score `threshold` or more; its previous labels are dropped."""
    kept = found.where(above(found, threshold))
    return LabelledMicrograph(one.source, replace(kept, scores=None, diameter=one.truth.diameter), Picks(one.source.name))


def count_agreement(before: Sequence[Picks], after: Sequence[Picks], *, threshold: float, border: float) -> tuple[int, int, int]:
    """Count picks above the threshold before, after, and pairs of them, one to one within half a diameter.

    Picks within `border` diameters of the edges do not count.
    """
    counts = np.zeros(3, int)
    for old, new in zip(before, after, strict=True):
        radius_px = (old.diameter_px or new.diameter_px or 1.0) / 2
        sides = []
        for each in (old, new):
            chosen = each.where(above(each, threshold))
            sides.append(chosen.xy[inside(chosen.xy, each.shape_hw or (0, 0), border=2 * radius_px * border)])
        counts += [len(sides[0]), len(sides[1]), len(match_points(*sides, radius_px=radius_px).pairs)]
    return int(counts[0]), int(counts[1]), int(counts[2])


def above(picks: Picks, threshold: float) -> NDArray[np.bool_]:
    """Return the mask (n,) of the picks that score `threshold` or more; picks without scores do not."""
    return np.zeros(len(picks), bool) if picks.scores is None else picks.scores >= np.float32(threshold)
