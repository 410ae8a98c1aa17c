"""Read and write micrographs: MRC, TIFF, PNG and JPEG, recognised by their content."""

import logging
import os
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np
from numpy.typing import ArrayLike

from cryopick.checks import checked_path, checked_pixel_size, number_array
from cryopick.errors import FileError, SettingError
from cryopick.files import atomic_path
from cryopick.io.micrographs.common import RawImage, first_bytes
from cryopick.io.micrographs.mrc import compression, looks_like_mrc, read_mrc, unpacked_start, write_mrc
from cryopick.io.micrographs.png_jpeg import read_raster, write_raster
from cryopick.io.micrographs.tiff import read_tiff, write_tiff
from cryopick.io.micrographs.values import pixel_size_doubt, usable_pixels
from cryopick.types import FileKind, Micrograph

logger = logging.getLogger(__name__)

SUFFIXES: dict[str, FileKind] = {
    ".mrc": "mrc",
    ".mrcs": "mrc",
    ".map": "mrc",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
}
PACKED_SUFFIXES = {".gz", ".bz2"}
MAGIC: dict[bytes, FileKind] = {
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
    b"II+\0": "tiff",
    b"MM\0+": "tiff",
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
}
OTHER_MAGIC = {
    b"\x89HDF": "HDF5",
    b"\x93NUMPY": "NumPy",
    b"PK\x03\x04": "zip",
    b"\x28\xb5\x2f\xfd": "zstd-packed",
    b"%PDF": "PDF",
}
PIXEL_SIZE_TOLERANCE = 0.01


def split_name(name: str) -> tuple[str, str]:
    """Split a file name into its stem, with folders, and its suffix: `("a/m_1.2", ".mrc")` of `a/m_1.2.mrc.gz`."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path would normalise the name
    return os.path.splitext(stem) if suffix.lower() in PACKED_SUFFIXES else (stem, suffix)  # noqa: PTH122


def suffix_kind(path: PurePath) -> FileKind | None:
    """Return the format of a micrograph by its name, ignoring `.gz` and `.bz2`; None for other names."""
    return SUFFIXES.get(split_name(path.name)[1].lower())


def read_micrograph(
    path: Path | str, *, pixel_size: float | None = None, name: str | None = None, salvage: bool = False
) -> Micrograph:
    """Read one micrograph, rows in the order of the file.

    Parameters
    ----------
    path : an MRC file, also compressed by gzip or bzip2, or a TIFF, PNG or JPEG.
    pixel_size : Å per pixel; overrides the file's own, with a warning when they differ by more than 1 %.
    name : how other files refer to it; the file's name if omitted.
    salvage : read the complete rows of a truncated MRC and fill the others with their mean, and replace NaN and infinite pixels
        if at most half are, with a warning.

    Returns
    -------
    Micrograph
        Pixels as float32 (h, w), and the pixel size in Å if known. Single NaN, infinite and impossible values are replaced by
        the median with a warning; extremely large or small values are multiplied by a power of ten.

    Raises
    ------
    FileError
        For files that are missing, unreadable, empty, truncated or in another format, for stacks, movies and volumes, for more
        than 1 % NaN and infinite pixels, and for constant images.

    Examples
    --------
    >>> import numpy as np
    >>> write_micrograph("m.mrc", np.eye(64, dtype=np.float32), pixel_size=1.5)
    >>> micrograph = read_micrograph("m.mrc")
    >>> micrograph.name, micrograph.shape_hw, micrograph.pixel_size
    ('m.mrc', (64, 64), 1.5)
    """
    path = checked_path(path, "read_micrograph(path)")
    pixel_size = checked_pixel_size(pixel_size, str(path))
    image = read_raw_image(path, salvage=salvage)
    pixels, notes = usable_pixels(image.pixels, path, salvage=salvage)
    size = image.pixel_size if pixel_size is None else pixel_size
    doubt = pixel_size_doubt(size)
    for note in (*image.notes, *notes, *([doubt] if doubt else [])):
        logger.warning("%s: %s", path, note)
    if pixel_sizes_differ(pixel_size, image.pixel_size):
        logger.warning("%s: its own pixel size is %.4g Å; %.4g Å was given and is used", path, image.pixel_size, pixel_size)
    return Micrograph(
        pixels=pixels,
        pixel_size=size,
        name=path.name if name is None else name,
        path=path,
        kind=image.kind,
    )


def write_micrograph(path: Path | str, pixels: ArrayLike | Micrograph, *, pixel_size: float | None = None) -> None:
    """Write a micrograph as MRC, TIFF, PNG or JPEG, by the suffix, atomically.

    MRC and TIFF keep 8 and 16-bit types and float32 (MRC also keeps float16, and widens uint8 to uint16); other types become
    float32. PNG and JPEG take only uint8 and have no pixel size.

    Parameters
    ----------
    path : the file; an existing one is replaced.
    pixels : array (h, w), row 0 = first row of the file; or a `Micrograph`.
    pixel_size : Å per pixel; that of the `Micrograph` if omitted, or unknown.

    Raises
    ------
    SettingError
        For an unknown suffix, arrays that are empty or not two-dimensional, PNG and JPEG of other types than uint8, and
        arguments in the wrong order.

    Examples
    --------
    >>> import numpy as np
    >>> write_micrograph("m.tif", np.arange(12, dtype=np.uint16).reshape(3, 4), pixel_size=1.5)
    >>> read_micrograph("m.tif").pixels[2].tolist()
    [8.0, 9.0, 10.0, 11.0]
    """
    if not isinstance(path, str | os.PathLike):
        raise SettingError("write_micrograph(path, pixels): the first argument must be a path; give the path first")
    if isinstance(pixels, Micrograph):
        pixel_size = pixel_size or pixels.pixel_size
        pixels = pixels.pixels
    path = Path(path)
    pixel_size = checked_pixel_size(pixel_size, str(path))
    pixels = pixels if isinstance(pixels, np.ndarray) else number_array(pixels, np.float32, f"{path}: pixels")
    kind = SUFFIXES.get(path.suffix.lower())
    if kind is None:
        raise SettingError(f"{path}: no format has this suffix; use one of {', '.join(SUFFIXES)}")
    if pixels.ndim != 2 or 0 in pixels.shape:
        raise SettingError(f"{path}: a micrograph is a non-empty (h, w) array, got shape {pixels.shape}")
    if kind in {"png", "jpeg"} and pixels.dtype != np.uint8:
        raise SettingError(f"{path}: {kind.upper()} holds 8-bit pixels; scale these {pixels.dtype} values to 0-255 first")
    with atomic_path(path) as temporary:
        if kind == "mrc":
            write_mrc(temporary, pixels, pixel_size=pixel_size)
        elif kind == "tiff":
            write_tiff(temporary, pixels, pixel_size=pixel_size)
        else:
            write_raster(temporary, pixels)


def pixel_sizes_differ(given: float | None, own: float | None) -> bool:
    """Return whether both are known and differ by more than 1 %."""
    return given is not None and own is not None and abs(given - own) > PIXEL_SIZE_TOLERANCE * own


def read_raw_image(path: Path, *, salvage: bool) -> RawImage:
    """Read the image of a file in any format, without checking its values. Raises `FileError` when it cannot be read."""
    head = first_bytes(path)
    packed = compression(head)
    kind = _kind_of(unpacked_start(path) if packed else head, path)
    if packed and kind != "mrc":
        raise FileError(path, f"is a {packed}-compressed {kind.upper()}", f"Decompress it first; only MRC is read from {packed}")
    if kind == "mrc":
        image = read_mrc(path, salvage=salvage)
    elif kind == "tiff":
        image = read_tiff(path)
    else:
        image = read_raster(path, kind)
    if kind == suffix_kind(path):
        return image
    note = f"read as {'an' if kind == 'mrc' else 'a'} {kind.upper()}, contrary to its suffix"
    return replace(image, notes=(note, *image.notes))


def _kind_of(head: bytes, path: Path) -> FileKind:
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    for magic, other in OTHER_MAGIC.items():
        if head.startswith(magic):
            raise FileError(path, f"is a {other} file", "Convert it to MRC, TIFF, PNG or JPEG")
    if suffix_kind(path) == "mrc" or looks_like_mrc(head):
        return "mrc"
    raise FileError(path, "is neither MRC, TIFF, PNG nor JPEG by its content", "Give micrographs, or convert it to MRC or TIFF")
