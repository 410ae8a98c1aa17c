"""Direct Fourier reconstruction of a map from pictures whose orientations are known.

The transform of a projection is a slice through the transform of the map (Bracewell 1956). Each value of each slice goes to the
eight grid points around its place, weighted by the contrast transfer, and the sum is divided by that of the squared weights, as
by Wiener (Penczek 2010, Methods Enzymol. 482, 73). No oversampling: boxes of two particle diameters keep the loss to linear
interpolation small.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cryopick.resolution.fsc import shells

WIENER = 0.1
"""Added to the squared weights, as a share of their mean over the shell: what is measured badly counts little."""
VALUES_AT_ONCE = 200_000
CORNERS = tuple((z, y, x) for z in (0, 1) for y in (0, 1) for x in (0, 1))


@dataclass(eq=False)
class Reconstruction:
    """Sums that a map (side, side, side) is made of; `side` must be even."""

    side: int
    _signal: torch.Tensor = field(init=False, repr=False)
    _weight: torch.Tensor = field(init=False, repr=False)
    count: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        size = self.side * self.side * (self.side // 2 + 2)  # one column beyond Nyquist, for the neighbours of its values
        self._signal = torch.zeros(size, 2)
        self._weight = torch.zeros(size)

    def add(self, transforms: torch.Tensor, transfer: torch.Tensor, rotations: torch.Tensor) -> None:
        """Put in particles: complex (n, side, side // 2 + 1) from `torch.fft.rfft2` with the particle's centre as origin.

        `transfer`, of one shape with them or with one row for all, is what each was multiplied with. `rotations` (n, 3, 3) turn
        the map's frame, x y z, into the picture's, whose z is the beam.
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
        """The map (z, y, x) with the particle's centre at voxel side // 2; all 0 while nothing has been put in.

        With `group` (m, 3, 3), the turns of a point group, it is as if each particle had been put in m times, in all its
        equivalent orientations; the sums are read at the turned places, which costs less.
        """
        side, half = self.side, self.side // 2
        grid = (side, side, half + 2)
        signal = _with_mirrored(torch.view_as_complex(self._signal.clone()).view(grid))[..., : half + 1]
        weight = _with_mirrored(self._weight.clone().view(grid))[..., : half + 1]
        loss = _interpolation_loss(side)
        if group is not None and len(group) > 1:
            signal, weight = _symmetrised(signal, weight, group)
            loss = loss * (1 + (len(group) - 1) * loss) / len(group)  # all but one were interpolated twice
        shell = shells(side)
        mean = np.bincount(shell.ravel(), weight.numpy().ravel()) / np.bincount(shell.ravel())
        divisor = weight.numpy() + WIENER * mean[shell]
        transform = np.where(divisor > 0, signal.numpy() / np.where(divisor > 0, divisor, 1), 0) * (shell < half)
        centred = np.fft.fftshift(np.fft.irfftn(transform, (side,) * 3, axes=(0, 1, 2)))
        return np.asarray(centred / loss, np.float32)

    def _put(self, places: torch.Tensor, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Share values at places (k, 3), in steps of the transform, among the grid points around them."""
        mirrored = places[:, 0] < 0  # the half that is not stored: the other half's complex conjugate
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
    """Rows and columns (side, side // 2 + 1) of `torch.fft.rfft2` in steps of the transform."""
    rows, columns = torch.fft.fftfreq(side, 1 / side), torch.fft.rfftfreq(side, 1 / side)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return y, x


def _share(right: torch.Tensor, corner: int) -> torch.Tensor:
    return right if corner else 1 - right


def _with_mirrored(grid: torch.Tensor) -> torch.Tensor:
    """Add to the values at x = 0 what was put at their mirror points, because both halves of the transform meet there."""
    plane = grid[..., 0]
    mirror = plane.flip(0, 1).roll((1, 1), (0, 1))
    grid[..., 0] = plane + (mirror.conj() if mirror.is_complex() else mirror)
    return grid


def _symmetrised(signal: torch.Tensor, weight: torch.Tensor, group: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums (side, side, side // 2 + 1) of both over all turns of a group, read between grid points by linear interpolation."""
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
    """Real, imaginary part and weight (3, side, side, side // 2 + 1), centred, continued to (3, side + 1, side + 1, side + 1)."""
    right = torch.cat([sums, sums[:, :1]], 1)  # the frequency -side / 2 is side / 2 as well
    right = torch.cat([right, right[:, :, :1]], 2)
    conjugate = torch.tensor([1.0, -1.0, 1.0]).view(3, 1, 1, 1)
    return torch.cat([right.flip(1, 2, 3)[..., :-1] * conjugate, right], 3)


def _interpolation_loss(side: int) -> NDArray[np.float64]:
    """What linear interpolation between grid points leaves of a map, by voxel: the kernel's transform, squared sincs."""
    axis = np.sinc((np.arange(side) - side // 2) / side) ** 2
    return np.asarray(axis[:, None, None] * axis[None, :, None] * axis[None, None, :])
