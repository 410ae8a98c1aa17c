"""A micrograph's shape and pixel size from its header, without reading its pixels where the format allows it."""

from pathlib import Path

import tifffile

from cryopick.io.micrographs import read_micrograph, suffix_kind
from cryopick.io.mrc import read_header, unpacked_start


def read_shape(path: Path) -> tuple[tuple[int, int], float | None]:
    """Height and width in pixels, and Å per pixel or None. Raises `FileError` as `read_micrograph` does.

    MRC and TIFF take a few hundred microseconds; PNG, JPEG and whatever is not what its name says are read whole.
    """
    if suffix_kind(path) == "mrc":
        header = read_header(unpacked_start(path), path)
        return header.shape[1:], header.voxel_size
    if suffix_kind(path) == "tiff":
        try:
            with tifffile.TiffFile(path) as tiff:
                page = tiff.pages.first
                shape_hw = int(page.imagelength), int(page.imagewidth)
        except (OSError, tifffile.TiffFileError):
            pass  # read_micrograph says what is wrong with it
        else:
            return shape_hw, None
    micrograph = read_micrograph(path)
    return micrograph.shape_hw, micrograph.pixel_size
