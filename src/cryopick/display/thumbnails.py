"""Thumbnails of picked micrographs, so that reports can show them without reading the micrographs again.

A thumbnail takes a few tens of kilobytes: a small image without marks, so that circles can be drawn for any threshold; crops of
some random particles; and the mean of the particles in bands of score.
"""

import io
import struct
import tokenize
import zlib
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap, inside
from cryopick.display.contrast import for_display
from cryopick.display.overlays import reduced
from cryopick.errors import FileError
from cryopick.files import write_bytes
from cryopick.randomness import generator
from cryopick.types import Micrograph, Picks

Pixels = NDArray[np.float32]

IMAGE_SIDE = 512
JPEG_QUALITY = 80
CROP_SIDE = 48
CROP_DIAMETERS = 1.6
"""Side of a crop, in particle diameters."""
CROPS = 16
BANDS = 4
GREY_PER_DEVIATION = 32
"""Grey levels per standard deviation of a crop's background, whose mean is 128."""


LARGEST = 1 << 24
MOST_PICKS = 10**9
"""Bytes of the arrays, and particles in a mean, beyond which a file is no thumbnail."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A small image of a micrograph, and some of its particles.

    Attributes
    ----------
    image : JPEG of the whole micrograph, its longest side at most `IMAGE_SIDE` pixels.
    crops : uint8 (k, `CROP_SIDE`, `CROP_SIDE`), single particles; the mean of the background is 128.
    cropped : (k,), indices of the picks that the crops show.
    means : float32 (`BANDS`, `CROP_SIDE`, `CROP_SIDE`), mean particle of each quarter of the picks, best scores first, in
        standard deviations of the background; zeros if a quarter is empty.
    counts : (`BANDS`,), number of particles in each mean.
    """

    image: bytes
    crops: NDArray[np.uint8]
    cropped: NDArray[np.int64]
    means: Pixels
    counts: NDArray[np.int64]


def make_thumbnail(micrograph: Micrograph, picks: Picks) -> Thumbnail:
    """Make the thumbnail of a micrograph. The choice of crops depends only on its name and the number of its picks.

    Particles whose box crosses the edge of the micrograph appear in no crop and no mean; without a diameter, none does. Small
    particles are not enlarged; their crops show more of the surroundings.
    """
    small, _ = reduced(micrograph.pixels, IMAGE_SIDE)
    image = encode_jpeg(for_display(small))
    shrunk, to_home, xy = _at_crop_scale(micrograph, picks)
    radius = 0.0 if picks.diameter_px is None else picks.diameter_px / to_home.length / 2
    whole = (
        np.flatnonzero(inside(xy, (shrunk.shape[0], shrunk.shape[1]), border=CROP_SIDE / 2)) if radius else np.zeros(0, np.int64)
    )
    rng = generator(0, "glimpse", picks.micrograph)  # the earlier name, so that thumbnails of the same picks do not change
    cropped = np.sort(rng.choice(whole, min(CROPS, len(whole)), replace=False))
    crops = [_crop(shrunk, xy[index], radius) for index in cropped]
    greys = np.array(crops, np.float32).reshape(-1, CROP_SIDE, CROP_SIDE) * GREY_PER_DEVIATION + 128
    bands = np.array_split(_best_first(picks, whole), BANDS)
    means = [_mean(shrunk, xy[band], radius) for band in bands]
    counts = np.array([len(band) for band in bands], np.int64)
    return Thumbnail(image, np.clip(np.rint(greys), 0, 255).astype(np.uint8), cropped, np.array(means, np.float32), counts)


FLOAT16 = (-6e4, 6e4)
"""Values that float16 can hold; averages beyond are of damaged pixels."""


def write_thumbnail(thumbnail: Thumbnail, path: Path) -> None:
    """Write a thumbnail as ``.npz``, atomically; equal thumbnails give equal bytes."""
    stream = io.BytesIO()
    np.savez_compressed(
        stream,
        picture=np.frombuffer(thumbnail.image, np.uint8),
        crops=thumbnail.crops,
        cropped=thumbnail.cropped.astype(np.int32),
        means=np.clip(thumbnail.means, *FLOAT16).astype(np.float16),
        counts=thumbnail.counts,
    )
    write_bytes(path, stream.getvalue())


def read_thumbnail(path: Path) -> Thumbnail:
    """Read a thumbnail. Raises `FileError` for a damaged or any other file."""
    try:
        with ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise ValueError("it is too large")
        with np.load(path, allow_pickle=False) as stored:
            means = stored["means"].astype(np.float32)
            cropped, counts = stored["cropped"].astype(np.int64), stored["counts"].astype(np.int64)
            return _checked(Thumbnail(stored["picture"].tobytes(), stored["crops"], cropped, means, counts))
    except _DAMAGE as error:
        remedy = "Remove it and run the same `cryopick pick` again, which makes it again"
        raise FileError(path, f"is not a thumbnail ({error})", remedy) from error


_DAMAGE = (
    *(OSError, ValueError, LookupError, TypeError, ArithmeticError, EOFError, MemoryError, RuntimeError),  # of numpy and zipfile
    *(BadZipFile, zlib.error, struct.error, SyntaxError, tokenize.TokenError),
)


def _checked(thumbnail: Thumbnail) -> Thumbnail:
    """Return the thumbnail. Raises `ValueError` where its arrays do not fit together."""
    count = len(thumbnail.crops)
    shapes = thumbnail.crops.shape, thumbnail.cropped.shape, thumbnail.means.shape, thumbnail.counts.shape
    if shapes != ((count, CROP_SIDE, CROP_SIDE), (count,), (BANDS, CROP_SIDE, CROP_SIDE), (BANDS,)):
        raise ValueError("its arrays do not fit together")
    if thumbnail.crops.dtype != np.uint8 or not np.isfinite(thumbnail.means).all() or min(*thumbnail.counts, 0) < 0:
        raise ValueError("its arrays hold other values")
    if (count and thumbnail.cropped.min() < 0) or thumbnail.counts.max() > MOST_PICKS:
        raise ValueError("its numbers are senseless")
    if not (thumbnail.image.startswith(b"\xff\xd8") and thumbnail.image.endswith(b"\xff\xd9")):
        raise ValueError("its image is no JPEG")
    return thumbnail


def encode_jpeg(image: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """Encode a grey image (h, w) as JPEG."""
    encoded: NDArray[np.uint8] = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return encoded.tobytes()


def _at_crop_scale(micrograph: Micrograph, picks: Picks) -> tuple[Pixels, PixelMap, NDArray[np.float64]]:
    """Reduce a micrograph until a particle with surroundings fits a crop; also return the map to it and the points (n, 2)."""
    height, width = micrograph.shape_hw
    box = CROP_DIAMETERS * (picks.diameter_px or 0.0)
    factor = max(1.0, box / CROP_SIDE)
    shrunk, to_home = reduced(micrograph.pixels, max(1, round(max(height, width) / factor)))
    return shrunk, to_home, to_home.from_home(picks.xy)


def _best_first(picks: Picks, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    if picks.scores is None:
        return indices
    return np.asarray(indices[np.argsort(-picks.scores[indices], kind="stable")])


def _mean(pixels: Pixels, xy: NDArray[np.float64], radius: float) -> Pixels:
    total = np.zeros((CROP_SIDE, CROP_SIDE), np.float32)
    for point in xy:
        total += _crop(pixels, point, radius)
    return total / np.float32(max(1, len(xy)))


def _crop(pixels: Pixels, point: NDArray[np.float64], radius: float) -> Pixels:
    """Cut out the surroundings of a point, with background mean 0 and deviation 1; zeros if the background is constant."""
    centre = float(point[0]), float(point[1])
    patch = np.asarray(cv2.getRectSubPix(pixels, (CROP_SIDE, CROP_SIDE), centre), np.float32)
    around = patch[distance_from_middle() > min(radius, CROP_SIDE / 2 - 1)]
    deviation = float(around.std())
    if deviation == 0:
        return np.zeros_like(patch)
    return np.asarray((patch - around.mean()) / deviation, np.float32)


def distance_from_middle() -> Pixels:
    """Return the distance of each pixel of a crop from its middle, (`CROP_SIDE`, `CROP_SIDE`), in pixels of the crop."""
    offset = np.arange(CROP_SIDE) - (CROP_SIDE - 1) / 2
    return np.asarray(np.hypot(offset[:, None], offset[None, :]), np.float32)
