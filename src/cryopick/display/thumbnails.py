"""What a worker leaves behind of a micrograph so that a report can show it without reading the micrograph again.

A glimpse is a few ten thousand bytes: a small picture without marks, so that circles can follow a threshold; some particles cut
out at random; and the mean of all its particles in bands of score.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

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

PICTURE_SIDE = 512
JPEG_QUALITY = 80
CROP_SIDE = 48
CROP_DIAMETERS = 1.6
"""Side of a crop over the particle's diameter."""
CROPS = 16
BANDS = 4
GREY_PER_DEVIATION = 32
"""A crop's grey is 128 plus this for each standard deviation of its background."""


@dataclass(frozen=True, eq=False)
class Glimpse:
    """A micrograph and its particles in small.

    Attributes
    ----------
    picture : JPEG of the whole micrograph, its longest side at most `PICTURE_SIDE` pixels.
    crops : uint8 (k, `CROP_SIDE`, `CROP_SIDE`), particles as they are in the micrograph, background of grey 128.
    cropped : (k,), which pick each crop shows.
    means : float32 (`BANDS`, `CROP_SIDE`, `CROP_SIDE`), mean particle of each quarter of the picks, best scores first, in
        deviations of the background; zeros where a quarter is empty.
    counts : (`BANDS`,), how many particles each mean is of.
    """

    picture: bytes
    crops: NDArray[np.uint8]
    cropped: NDArray[np.int64]
    means: Pixels
    counts: NDArray[np.int64]


def glimpse(micrograph: Micrograph, picks: Picks) -> Glimpse:
    """The glimpse of a micrograph; which crops are cut out depends on its name and the number of its picks alone.

    Particles whose box crosses the edge are in no crop and no mean, nor is any where the diameter is unknown. A particle of
    fewer pixels than a crop shows is not enlarged: its crop shows more around it.
    """
    small, _ = reduced(micrograph.pixels, PICTURE_SIDE)
    picture = encode_jpeg(for_display(small))
    shrunk, to_home, xy = _at_crop_scale(micrograph, picks)
    radius = 0.0 if picks.diameter_px is None else picks.diameter_px / to_home.length / 2
    whole = (
        np.flatnonzero(inside(xy, (shrunk.shape[0], shrunk.shape[1]), border=CROP_SIDE / 2)) if radius else np.zeros(0, np.int64)
    )
    chance = generator(0, "glimpse", picks.micrograph)
    cropped = np.sort(chance.choice(whole, min(CROPS, len(whole)), replace=False))
    crops = [_crop(shrunk, xy[index], radius) for index in cropped]
    greys = np.array(crops, np.float32).reshape(-1, CROP_SIDE, CROP_SIDE) * GREY_PER_DEVIATION + 128
    bands = np.array_split(_best_first(picks, whole), BANDS)
    means = [_mean(shrunk, xy[band], radius) for band in bands]
    counts = np.array([len(band) for band in bands], np.int64)
    return Glimpse(picture, np.clip(np.rint(greys), 0, 255).astype(np.uint8), cropped, np.array(means, np.float32), counts)


def write_glimpse(seen: Glimpse, path: Path) -> None:
    """Write a glimpse as ``.npz``, atomically; equal ones give the same bytes."""
    stream = io.BytesIO()
    picture = np.frombuffer(seen.picture, np.uint8)
    means = seen.means.astype(np.float16)
    np.savez_compressed(
        stream, picture=picture, crops=seen.crops, cropped=seen.cropped.astype(np.int32), means=means, counts=seen.counts
    )
    write_bytes(path, stream.getvalue())


def read_glimpse(path: Path) -> Glimpse:
    """Read a glimpse. Raises `FileError` for a file that is none or is damaged."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            means = stored["means"].astype(np.float32)
            cropped, counts = stored["cropped"].astype(np.int64), stored["counts"].astype(np.int64)
            return Glimpse(stored["picture"].tobytes(), stored["crops"], cropped, means, counts)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise FileError(path, f"is no glimpse ({error})", "Remove it; `cryopick report` makes it anew") from error


def encode_jpeg(picture: NDArray[np.uint8], *, quality: int = JPEG_QUALITY) -> bytes:
    """A grey picture (h, w) as JPEG."""
    encoded: NDArray[np.uint8] = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return encoded.tobytes()


def _at_crop_scale(micrograph: Micrograph, picks: Picks) -> tuple[Pixels, PixelMap, NDArray[np.float64]]:
    """The micrograph so small that a particle with its surroundings fits a crop, and the picks on it."""
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
    """The surroundings of a point, brought to mean 0 and deviation 1 outside the particle; zeros where nothing varies."""
    centre = float(point[0]), float(point[1])
    patch = np.asarray(cv2.getRectSubPix(pixels, (CROP_SIDE, CROP_SIDE), centre), np.float32)
    around = patch[distance_from_middle() > min(radius, CROP_SIDE / 2 - 1)]
    deviation = float(around.std())
    if deviation == 0:
        return np.zeros_like(patch)
    return np.asarray((patch - around.mean()) / deviation, np.float32)


def distance_from_middle() -> Pixels:
    """How far each pixel of a crop is from its middle, (`CROP_SIDE`, `CROP_SIDE`), in pixels of the crop."""
    offset = np.arange(CROP_SIDE) - (CROP_SIDE - 1) / 2
    return np.asarray(np.hypot(offset[:, None], offset[None, :]), np.float32)
