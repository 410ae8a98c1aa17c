"""Reader and writer of micrographs and picks for napari, named by ``napari.yaml``; napari itself is not imported.

napari's layers are tuples `(data, attributes, kind)`. Its points are (row, column) in pixels of the image, the first pixel's
centre at (0, 0): the image frame with its axes in the other order.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import read_micrograph, suffix_kind
from cryopick.io.picks.formats import detect_format, read_picks, write_picks
from cryopick.types import Picks

Layer = tuple[Any, dict[str, Any], str]
Reader = Callable[[str | list[str]], list[Layer]]

MOST_LAYERS = 100
"""Largest number of micrographs in one file; with more, napari becomes too slow."""
FALLBACK_DIAMETER_PX = 20.0
CONTRAST = (0.5, 99.5)
"""Percentiles of the pixels shown as black and white."""
OURS = "cryopick"


def get_reader(path: str | list[str]) -> Reader | None:
    """Return the reader for these files, as napari requires; None if they are neither micrographs nor picks."""
    paths = [path] if isinstance(path, str) else path
    return read_layers if paths and all(_can_be_read(Path(one)) for one in paths) else None


def read_layers(path: str | list[str]) -> list[Layer]:
    """Read micrographs as image layers, and picks as one points layer per micrograph, of which the first is visible.

    Raises `FileError` for damaged files, and `CryopickError` for picks on more than `MOST_LAYERS` micrographs.
    """
    paths = [Path(one) for one in ([path] if isinstance(path, str) else path)]
    return [layer for one in paths for layer in ([_image(one)] if suffix_kind(one) else _points(one))]


def write_points(path: str, layers: Sequence[tuple[Any, Mapping[str, Any], str]]) -> list[str]:
    """Write points layers as picks, in the format of the suffix, and return the paths written.

    A layer from a file of picks keeps its micrograph's name, shape, pixel size and scores; points that were added have score 1.
    A new layer belongs to the micrograph that it is named after. Raises `CryopickError` if a layer lacks what the format needs.
    """
    write_picks([_picks(data, attributes) for data, attributes, _ in layers], path)
    return [path]


def _can_be_read(path: Path) -> bool:
    if not path.is_file():
        return False
    if suffix_kind(path):
        return True
    try:
        return bool(detect_format(path))
    except CryopickError:
        return False


def _image(path: Path) -> Layer:
    micrograph = read_micrograph(path)
    step = max(1, max(micrograph.shape_hw) // 1024)
    low, high = np.percentile(micrograph.pixels[::step, ::step], CONTRAST)
    about = {"micrograph": micrograph.name, "pixel_size": micrograph.pixel_size}
    limits = [float(low), float(max(high, np.nextafter(low, np.inf)))]
    return micrograph.pixels, {"name": micrograph.name, "contrast_limits": limits, "metadata": {OURS: about}}, "image"


def _points(path: Path) -> list[Layer]:
    found = read_picks(path)
    if len(found) > MOST_LAYERS:
        raise CryopickError(
            f"{path} has picks on {len(found)} micrographs, too many layers for napari; open a file with one of them, "
            "as `cryopick convert` writes with --to box"
        )
    return [_layer(picks, shown=index == 0) for index, picks in enumerate(found)]


def _layer(picks: Picks, *, shown: bool) -> Layer:
    about = {
        "micrograph": picks.micrograph,
        "diameter": picks.diameter,
        "shape_hw": picks.shape_hw,
        "pixel_size": picks.pixel_size,
        "optics_group": picks.optics_group,
        "uid": picks.uid,
    }
    attributes = {
        "name": f"picks of {picks.micrograph}",
        "size": picks.diameter_px or FALLBACK_DIAMETER_PX,
        "face_color": "transparent",
        "border_color": "lime",
        "border_width": 0.08,
        "visible": shown,
        "features": {} if picks.scores is None else {"score": picks.scores},
        "metadata": {OURS: about},
    }
    return _swapped(picks.xy), attributes, "points"


def _picks(data: Any, attributes: Mapping[str, Any]) -> Picks:
    points = np.asarray(data, np.float64).reshape(len(data), -1)
    if points.size and points.shape[1] != 2:
        raise CryopickError(f"layer {attributes.get('name')!r} has points of {points.shape[1]} dimensions; picks have two")
    about = dict((attributes.get("metadata") or {}).get(OURS, {}))
    name = about.pop("micrograph", None) or str(attributes.get("name") or "micrograph")
    features = attributes.get("features")
    known = features is not None and "score" in features and len(features["score"]) == len(points)
    scores = np.nan_to_num(np.asarray(features["score"], np.float32), nan=1.0) if known and features is not None else None
    return Picks(name, _swapped(points), scores, **about)


def _swapped(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Swap (x, y) to (row, column), or back."""
    return points.reshape(-1, 2)[:, ::-1].copy()
