"""Direct Fourier reconstruction of a map from images with known orientations.

The transform of a projection is a slice through the transform of the map (Bracewell 1956). Each value of a slice is shared among
the eight grid points around its position, weighted by the contrast transfer, and the sum is divided by that of the squared
weights, as in a Wiener filter (Penczek 2010, Methods Enzymol. 482, 73). There is no oversampling: boxes of two particle diameters
keep the loss by linear interpolation small.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryopick.resolution.fsc import shells

WIENER = 0.1
"""Wiener constant, as a share of the mean squared weight in the shell: poorly measured values count little."""
VALUES_AT_ONCE = 200_000
CORNERS = tuple((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1))


@dataclass(eq=False)
class Reconstruction:
    """Accumulates particles and reconstructs a map (side, side, side); `side` must be even.

    `count` is the number of particles so far.
    """

    side: int
    _signal: torch.Tensor = field(init=False, repr=False)
    _weight: torch.Tensor = field(init=False, repr=False)
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        size = self.side * self.side * (self.side // 2 + 2)  # one column beyond Nyquist, for interpolation
        self._signal = torch.zeros(size, 2)
        self._weight = torch.zeros(size)

    def add(self, transforms: torch.Tensor, transfer: torch.Tensor, rotations: torch.Tensor) -> None:
        """Add particles.

        Parameters
        ----------
        transforms : complex (n, side, side // 2 + 1), from `torch.fft.rfft2`, with the particle's centre as origin.
        transfer : (n or 1, side, side // 2 + 1), contrast transfer of the particles.
        rotations : (n, 3, 3), from the map's frame (x y z) to the image's, in which z is the beam.
        """
        y, x = _frequencies(self.side)
        inside = (x * x + y * y) < (self.side // 2) ** 2
        plane = torch.stack([x[inside], y[inside]], 1)
        transfer = transfer.expand(transforms.shape)
        step = max(1, VALUES_AT_ONCE // len(plane))
        for start in range(0, len(transforms), step):
            part = slice(start, start + step)
            places = plane @ rotations[part, :2].to(plane.dtype)
            self._put(places.flatten(0, 1), transforms[part, inside].flatten(), transfer[part, inside].flatten())
        self.count += len(transforms)

    def map(self, group: torch.Tensor | None = None) -> NDArray[np.float32]:
        """Return the map (z, y, x) with the particle's centre at voxel side // 2; zeros if no particle has been added.

        With `group` (m, 3, 3), the rotations of a point group, it is symmetrised: the same, except for interpolation, as adding
        each particle m times in all equivalent orientations, but faster.
        """
        side, half = self.side, self.side // 2
        grid = (side, side, half + 2)
        signal = _with_mirrored(torch.view_as_complex(self._signal.clone()).view(grid))[..., : half + 1]
        weight = _with_mirrored(self._weight.clone().view(grid))[..., : half + 1]
        loss = _interpolation_loss(side)
        if group is not None and len(group) > 1:
            signal, weight = _symmetrised(signal, weight, group)
            loss = loss * (1 + (len(group) - 1) * loss) / len(group)  # all but one are interpolated twice
        shell = shells(side)
        mean = np.bincount(shell.ravel(), weight.numpy().ravel()) / np.bincount(shell.ravel())
        divisor = weight.numpy() + WIENER * mean[shell]
        transform = np.where(divisor > 0, signal.numpy() / np.where(divisor > 0, divisor, 1), 0) * (shell < half)
        centred = np.fft.fftshift(np.fft.irfftn(transform, (side,) * 3, axes=(0, 1, 2)))
        return np.asarray(centred / loss, np.float32)

    def _put(self, places: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Share values at positions (k, 3), in Fourier pixels, among the grid points around them."""
        mirrored = places[:, 0] < 0  # this half is not stored: it is the complex conjugate of the other
        places = torch.where(mirrored[:, None], -places, places)
        values = torch.where(mirrored, values.conj(), values) * weights
        base = places.floor()
        right = places - base
        x, y, z = base.long().unbind(1)
        for dz, dy, dx in CORNERS:
            share = _share(right[:, 0], dx) * _share(right[:, 1], dy) * _share(right[:, 2], dz)
            index = (((z + dz) % self.side) * self.side + (y + dy) % self.side) * (self.side // 2 + 2) + x + dx
            self._signal.index_add_(0, index, torch.view_as_real(values * share))
            self._weight.index_add_(0, index, weights * weights * share)


def _frequencies(side: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vertical and horizontal frequencies (side, side // 2 + 1) of `torch.fft.rfft2` in Fourier pixels."""
    rows, columns = torch.fft.fftfreq(side, 1 / side), torch.fft.rfftfreq(side, 1 / side)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return y, x


def _share(right: torch.Tensor, corner: int) -> torch.Tensor:
    return right if corner else 1 - right


def _with_mirrored(grid: torch.Tensor) -> torch.Tensor:
    """Add to the values at x = 0 those of their mirror points, because both halves of the transform meet there."""
    plane = grid[..., 0]
    mirror = plane.flip(0, 1).roll((1, 1), (0, 1))
    grid[..., 0] = plane + (mirror.conj() if mirror.is_complex() else mirror)
    return grid


def _symmetrised(signal: torch.Tensor, weight: torch.Tensor, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sum signal and weight (side, side, side // 2 + 1) over the rotations of a group, with linear interpolation."""
    half = signal.shape[-1] - 1
    z, y, x = torch.meshgrid(torch.arange(-half, half), torch.arange(-half, half), torch.arange(half + 1), indexing="ij")
    places = torch.stack([x, y, z], -1).to(weight.dtype) / half
    sums = torch.stack([signal.real, signal.imag, weight]).roll((half, half), (1, 2))
    whole = _both_halves(sums)[None]
    total = torch.zeros_like(sums)
    for turn in group.to(weight.dtype):
        total += nn.functional.grid_sample(whole, (places @ turn)[None], mode="bilinear", align_corners=True)[0]
    total = total.roll((half, half), (1, 2))
    return torch.complex(total[0], total[1]), total[2]


def _both_halves(sums: torch.Tensor) -> torch.Tensor:
    """Extend centred sums (3, side, side, side // 2 + 1) of real part, imaginary part and weight to a cube of side + 1."""
    right = torch.cat([sums, sums[:, :1]], 1)  # the frequency -side / 2 equals side / 2
    right = torch.cat([right, right[:, :, :1]], 2)
    conjugate = torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    return torch.cat([right.flip(1, 2, 3)[..., :-1] * conjugate, right], 3)


def _interpolation_loss(side: int) -> NDArray[np.float64]:
    """Return the factor (side, side, side) by which linear interpolation attenuates a map: squared sincs."""
    axis = np.sinc((np.arange(side) - side // 2) / side) ** 2
    return np.asarray(axis[:, None, None] * axis[None, :, None] * axis[None, None, :])
