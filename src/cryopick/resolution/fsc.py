"""Fourier shell correlation of two maps (Harauz and van Heel 1986), and the resolution at which it crosses a threshold."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError

GOLD_STANDARD, HALF = 0.143, 0.5
"""Usual thresholds for independent half-maps (Rosenthal and Henderson 2003), and for a map and a reference."""


@dataclass(frozen=True, eq=False)
class ShellCorrelation:
    """Correlation of two maps by spatial frequency.

    Attributes
    ----------
    frequency : float64 (n,), 1/Å, from 0 to the Nyquist frequency in shells one Fourier pixel thick.
    correlation : float64 (n,), −1 to 1; 0 if a map is empty.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def resolution(self, threshold: float = GOLD_STANDARD) -> float:
        """Return the resolution in Å at which the correlation first falls below a threshold, interpolated linearly.

        Twice the voxel size if it never does; infinite if the first shell beyond 0 is already below.
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
    """Correlate two maps (side, side, side), each multiplied by `mask`, shell by shell; the voxel size is in Å.

    A soft mask no tighter than the particle hardly adds correlation. A tight mask does, and no correction is made for it. Raises
    `CryopickError` unless the maps and the mask are cubes of the same size.
    """
    side = first.shape[0]
    shapes = {np.shape(array) for array in (first, second, mask) if array is not None}
    if shapes != {(side, side, side)}:
        raise CryopickError(f"maps and mask must be cubes of the same size, got {' and '.join(map(str, sorted(shapes)))}")
    weight = 1.0 if mask is None else mask
    one, other = (np.fft.rfftn(array * weight) for array in (first, second))
    shell = shells(side)
    twice = np.full(one.shape, 2.0)  # counts the half of the transform that is not stored
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
    """Return the shell of each value of `numpy.fft.rfftn` of a cube: its distance from 0 in Fourier pixels, rounded."""
    whole, half = np.fft.fftfreq(side, 1 / side), np.fft.rfftfreq(side, 1 / side)
    squared = whole[:, None, None] ** 2 + whole[None, :, None] ** 2 + half[None, None, :] ** 2
    return np.asarray(np.rint(np.sqrt(squared)), np.intp)


def soft_sphere(side: int, *, diameter_px: float, edge_px: float = 5.0) -> NDArray[np.float64]:
    """Return a spherical mask (side, side, side) about voxel side // 2: 1 within the diameter, with a cosine edge."""
    axis = np.arange(side) - side // 2
    radius = np.sqrt(axis[:, None, None] ** 2 + axis[None, :, None] ** 2 + axis[None, None, :] ** 2)
    beyond = np.clip((radius - diameter_px / 2) / edge_px, 0, 1)
    return np.asarray((1 + np.cos(np.pi * beyond)) / 2)


def _by_shell(shell: NDArray[np.intp], values: NDArray[np.floating]) -> NDArray[np.float64]:
    return np.asarray(np.bincount(shell.ravel(), values.ravel()), np.float64)
