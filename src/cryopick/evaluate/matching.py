"""One-to-one matching of picks with ground truth on one micrograph.

Matching is a minimum-cost assignment on the sparse graph of sufficiently close pairs, which a k-d tree finds: 5,000 against
5,000 picks take about 0.1 s.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching
from scipy.spatial import KDTree

from cryopick.coordinates import length_to_px
from cryopick.errors import CryopickError, SettingError
from cryopick.types import Picks

Indices = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Match:
    """Pairs of picks and true particles, and those without a partner; indices into the arrays that were matched.

    Attributes
    ----------
    pairs : intp (k, 2), columns (found, truth), in the order of truth.
    distances : float64 (k,), pixels of the micrograph.
    missed : intp, true particles without a pick.
    extra : intp, picks without a true particle: false positives.
    duplicates : intp, those of `extra` within the radius of a true particle that another pick is paired with.
    """

    pairs: Indices
    distances: NDArray[np.float64]
    missed: Indices
    extra: Indices
    duplicates: Indices


@dataclass(frozen=True, eq=False)
class Neighbours:
    """All pairs of a pick and a true particle that are closer than a radius.

    Attributes
    ----------
    found, truth : intp (e,), indices.
    distance : float64 (e,), pixels.
    counts : total numbers of picks and of true particles.
    """

    found: Indices
    truth: Indices
    distance: NDArray[np.float64]
    counts: tuple[int, int]


def match_picks(found: Picks, truth: Picks, *, radius: float) -> Match:
    """Pair picks with true particles one to one: as many pairs as possible, then the smallest sum of distances.

    Every pair is closer than `radius`, in Å if either side's pixel size is known, else in pixels;
    `len(missed) + len(pairs) == len(truth)` and `len(extra) + len(pairs) == len(found)`. An empty side gives no pairs.
    Scores are not used: threshold first. Names are not compared. Assignment as in Hungarian matching (Kuhn 1955).

    Raises `SettingError` for a radius that is not positive, and `CryopickError` if the two pixel sizes differ.
    """
    return match_points(found.xy, truth.xy, radius_px=length_to_px(radius, common_pixel_size(found, truth)))


def match_points(found_xy: ArrayLike, truth_xy: ArrayLike, *, radius_px: float) -> Match:
    """Match points (n, 2) and (m, 2) in pixels like picks in `match_picks`."""
    near = neighbours(found_xy, truth_xy, radius_px=radius_px)
    found_count, truth_count = near.counts
    # A pair costs between one and two radii, so an additional pair always reduces the cost by more than all distances together.
    unpaired = 2 * radius_px * (min(near.counts) + 1)
    partner = _assign(near, near.distance + radius_px, unpaired=unpaired)
    pairs = np.stack([partner, np.arange(truth_count)], axis=1)[partner >= 0]
    distances = np.linalg.norm(_points(found_xy)[pairs[:, 0]] - _points(truth_xy)[pairs[:, 1]], axis=1)
    extra = np.setdiff1d(np.arange(found_count), pairs[:, 0])
    return Match(pairs, distances, np.flatnonzero(partner < 0), extra, np.intersect1d(extra, near.found))


def true_by_score(found_xy: ArrayLike, truth_xy: ArrayLike, scores: ArrayLike, *, radius_px: float) -> NDArray[np.bool_]:
    """Return whether each pick (n,) adds a pair when picks are added one by one, best score first.

    At *any* threshold, the number of true picks above it equals the number of pairs that `match_points` finds among those
    picks alone, so one call gives the whole precision–recall curve. (Sets of picks that can be paired together are the
    independent sets of a transversal matroid, for which adding in order of weight is optimal at every prefix: Edmonds 1971.)
    """
    near = neighbours(found_xy, truth_xy, radius_px=radius_px)
    rank = np.empty(near.counts[0])
    rank[np.argsort(-np.asarray(scores, np.float64), kind="stable")] = np.arange(1, near.counts[0] + 1)
    partner = _assign(near, rank[near.found], unpaired=near.counts[0] + 1.0)
    true = np.zeros(near.counts[0], bool)
    true[partner[partner >= 0]] = True
    return true


def neighbours(found_xy: ArrayLike, truth_xy: ArrayLike, *, radius_px: float) -> Neighbours:
    """Find all pairs of a pick and a true particle closer than `radius_px`, exclusive."""
    if not (np.isfinite(radius_px) and radius_px > 0):
        raise SettingError(f"the matching radius must be positive, got {radius_px} pixels; check diameter and tolerance")
    found, truth = _points(found_xy), _points(truth_xy)
    counts = (len(found), len(truth))
    if 0 in counts:
        return Neighbours(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0), counts)
    near = KDTree(found).sparse_distance_matrix(KDTree(truth), radius_px, output_type="ndarray")
    near = near[near["v"] < radius_px]
    return Neighbours(near["i"].astype(np.intp), near["j"].astype(np.intp), near["v"], counts)


def common_pixel_size(found: Picks, truth: Picks) -> float | None:
    """Return the pixel size in Å of either side; None if both are unknown.

    Raises `CryopickError` if they differ by more than 1 %: one side has another binning, or a wrong header.
    """
    if found.pixel_size is None or truth.pixel_size is None:
        return truth.pixel_size if found.pixel_size is None else found.pixel_size
    if abs(found.pixel_size - truth.pixel_size) > 0.01 * truth.pixel_size:
        raise CryopickError(
            f"{truth.micrograph}: the picks have {found.pixel_size:g} Å/px, the ground truth {truth.pixel_size:g} Å/px; "
            "use picks on the same micrograph, or give the pixel size if one of them is wrong"
        )
    return truth.pixel_size


def _assign(near: Neighbours, cost: NDArray[np.float64], *, unpaired: float) -> Indices:
    """Return the pick of each true particle (m,), −1 for none, at the least total cost; unpaired particles cost `unpaired`.

    Costs must be positive, since the solver takes zeros for missing entries.
    """
    found_count, truth_count = near.counts
    if not len(near.found):
        return np.full(truth_count, -1, np.intp)
    # Each true particle has a further column that means no pick, so a full assignment always exists.
    alone = np.arange(truth_count)
    graph = csr_array(
        (np.r_[cost, np.full(truth_count, unpaired)], (np.r_[near.truth, alone], np.r_[near.found, found_count + alone])),
        shape=(truth_count, found_count + truth_count),
    )
    partner = min_weight_full_bipartite_matching(graph)[1]  # in the order of the rows
    return np.where(partner < found_count, partner, -1).astype(np.intp)


def _points(xy: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(xy, dtype=np.float64).reshape(-1, 2)
