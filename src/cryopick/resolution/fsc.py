"""Fourier shell correlation of two half-maps (Harauz and van Heel 1986), and the resolution where it crosses a threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError

GOLD_STANDARD, HALF = 0.143, 0.5
"""Where independently made half-maps (Rosenthal and Henderson 2003), or a map and a model, are said to agree no more."""


@dataclass(frozen=True, eq=False)
class ShellCorrelation:
    """Agreement of two maps by frequency.

    Attributes
    ----------
    frequency : float64 (n,), 1/Å, of shells one step of the transform thick; the first is 0, the last Nyquist's.
    correlation : float64 (n,), −1 to 1; 0 where a map has nothing.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def resolution(self, threshold: float = GOLD_STANDARD) -> float:
        """Å where the correlation first falls below the threshold, between shells by straight lines.

        Twice the voxel where it never does; infinite where the first shell beyond 0 is below it already.
        """
        below = np.flatnonzero(self.correlation[1:] < threshold)
        if not len(below):
            return float(1 / self.frequency[-1])
        after = int(below[0]) + 1
        if after == 1:
            return float("inf")
        high, low = self.correlation[after - 1], self.correlation[after]
        share = (high - threshold) / (high - low)
        return float(1 / (self.frequency[after - 1] + share * (self.frequency[after] - self.frequency[after - 1])))


def shell_correlation(
    first: NDArray[np.floating], second: NDArray[np.floating], *, voxel_size: float, mask: NDArray[np.floating] | None = None
) -> ShellCorrelation:
    """Correlate two maps (side, side, side) shell by shell, both multiplied by `mask` before.

    A mask that is soft and no tighter than the particle hardly correlates noise; a tight one does, and nothing is taken off for
    it here. Raises `CryopickError` unless both maps, and the mask, are cubes of one side.
    """
    side = first.shape[0]
    shapes = {np.shape(array) for array in (first, second, mask) if array is not None}
    if shapes != {(side, side, side)}:
        raise CryopickError(f"shell correlation takes cubes of one side, not {' and '.join(map(str, sorted(shapes)))}")
    weight = 1.0 if mask is None else mask
    one, other = (np.fft.rfftn(array * weight) for array in (first, second))
    shell = shells(side)
    twice = np.full(one.shape, 2.0)  # the transform's other half, which is not stored
    twice[..., 0] = 1
    if side % 2 == 0:
        twice[..., -1] = 1
    cross = _by_shell(shell, twice * (one * other.conj()).real)
    power = _by_shell(shell, twice * np.abs(one) ** 2) * _by_shell(shell, twice * np.abs(other) ** 2)
    count = side // 2 + 1
    safe = np.where(power > 0, power, 1)
    correlation = np.where(power > 0, cross / np.sqrt(safe), 0)
    return ShellCorrelation(np.arange(count) / (side * voxel_size), correlation[:count])


def shells(side: int) -> NDArray[np.intp]:
    """The shell, rounded distance from 0 in steps of the transform, of each value of `numpy.fft.rfftn` of a cube."""
    whole, half = np.fft.fftfreq(side, 1 / side), np.fft.rfftfreq(side, 1 / side)
    squared = whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half[None, None, :] ** 2
    return np.asarray(np.rint(np.sqrt(squared)), np.intp)


def soft_sphere(side: int, *, diameter_px: float, edge_px: float = 5.0) -> NDArray[np.float64]:
    """A mask (side, side, side) about voxel side // 2: 1 within the diameter, then a raised cosine `edge_px` wide, then 0."""
    axis = np.arange(side) - side // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    beyond = np.clip((radius - diameter_px / 2) / edge_px, 0, 1)
    return np.asarray((1 + np.cos(np.pi * beyond)) / 2)


def _by_shell(shell: NDArray[np.intp], values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(shell.ravel(), values.ravel()), np.float64)
