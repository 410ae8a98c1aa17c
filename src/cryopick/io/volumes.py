"""Stacks of 2D references and density maps: MRC files with more than one section, compressed or not."""

from pathlib import Path

import mrcfile
import numpy as np
from numpy.typing import NDArray

from cryopick.errors import FileError
from cryopick.files import atomic_path
from cryopick.io.micrographs.common import AGAIN
from cryopick.io.micrographs.mrc import MrcHeader, cut_or_damaged, open_mrc, read_data, with_sign


def read_stack(path: Path | str) -> tuple[NDArray[np.float32], float | None]:
    """Read the images (n, h, w), n >= 1, of an MRC or MRCS stack, and Å per pixel; None if the header has none (0 or 1).

    Raises `FileError` for files that are missing, truncated, not MRC, or contain NaN or infinite values.
    """
    pixels, header = _read_whole(Path(path))
    return pixels, header.pixel_size


def read_map(path: Path | str) -> tuple[NDArray[np.float32], float | None]:
    """Read the densities (z, y, x) of a map, and its voxel size in Å; None if the header has none (0).

    Files with another axis order, as CCP4 maps may have, are transposed. Raises `FileError` for a single image, and as
    `read_stack`.
    """
    path = Path(path)
    pixels, header = _read_whole(path)
    if len(pixels) == 1:
        raise FileError(path, "is a single image, not a map", "Give a volume with several sections")
    axes_of_file = header.axes[::-1]  # of sections, rows, columns
    return np.ascontiguousarray(pixels.transpose([axes_of_file.index(axis) for axis in (3, 2, 1)])), header.voxel_size


def write_map(path: Path, density: NDArray[np.floating], *, voxel_size: float) -> None:
    """Write densities (z, y, x) as a float32 MRC volume, atomically; `voxel_size` in Å."""
    with atomic_path(path) as temporary, mrcfile.new(temporary, overwrite=True) as file:
        file.set_data(density.astype(np.float32))
        file.set_volume()
        file.voxel_size = voxel_size


def _read_whole(path: Path) -> tuple[NDArray[np.float32], MrcHeader]:
    with open_mrc(path) as (stream, header):
        pixels, rows, sound = read_data(stream, header)
    if not sound:
        found = cut_or_damaged(rows, header.shape[0] * header.shape[1])
        raise FileError(path, found, AGAIN)
    if not np.isfinite(pixels).all():
        raise FileError(path, "has NaN or infinite values", "Create it again; float16 overflows beyond 65504")
    return pixels, with_sign(header, pixels)
