"""Images beside micrographs that must not be picked, too: copies of an exposure, half sums, thumbnails, backgrounds.

RELION, MotionCor and CryoSPARC write several images of each exposure to one folder. The dose-weighted sum is picked, as in RELION
and CryoSPARC, because particles have the most contrast in it.
"""

import bisect
import logging
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from cryopick.io.micrographs.files import split_name

logger = logging.getLogger(__name__)

COPIES = (
    ("_DW", "_DWS", ""),  # MotionCor: all frames, or those of a selected dose
    ("", "_noDW"),  # RELION
    ("_doseweighted", ""),  # CryoSPARC
    ("_patch_aligned_doseweighted", "_patch_aligned", ""),
    ("_rigid_aligned_doseweighted", "_rigid_aligned", ""),
    ("", "_denoised"),
)
"""Ends of the names of an exposure's sums; the first is picked."""
SIDE_ENDS = ("_PS", "_EVN", "_ODD", "_even", "_odd", "_ctf", "_diag")
"""Ends of power spectra, half sums and diagnostic images, which are named after their micrograph."""
NEVER = ("_thumb_@1x", "_thumb_@2x", "_thumb", "_thumbnail", "_background_estimate", "_background")
"""Ends of names of other images that begin like that of a micrograph."""

_told: set[str] = set()
"""Inputs with a previous warning, since a watched folder is listed repeatedly."""


def without_side_images(paths: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    """Split paths into those to pick, in their order, and the others, each with the path that is picked instead.

    Paths are compared within their folders. An image is excluded only beside its micrograph.
    """
    known = {_place(path): path for path in paths}
    ordered = sorted(known)
    instead = {}
    for place, path in known.items():
        other = _better(place, known) or _partner(place, known, ordered)
        if other is not None:
            instead[path] = known[other]
    for path in instead:
        while instead[path] in instead:
            instead[path] = instead[instead[path]]
    return [path for path in paths if path not in instead], {path: instead[path] for path in paths if path in instead}


def tell_left_out(given: str, instead: dict[str, str]) -> None:
    """Warn, once for each input, about excluded images."""
    if not instead or given in _told:
        return
    _told.add(given)
    path, other = next(iter(instead.items()))
    logger.warning(
        "%s: of several images of one exposure, only the dose-weighted sum is used, and no half sums, power spectra, thumbnails "
        "or backgrounds: %s, not %s. Give files by name to use others",
        given,
        PurePath(other).name,
        PurePath(path).name,
    )


def tell_copies(names: Iterable[str]) -> None:
    """Warn about files given by name that are images of one exposure; all of them are picked."""
    _, instead = without_side_images(list(names))
    if instead:
        path, other = next(iter(instead.items()))
        many = "" if len(instead) == 1 else f" (and {len(instead) - 1:,} more)"
        logger.warning(
            "%s and %s seem to be images of one exposure%s; all are used, because they were given by name. To use one of "
            "each, give their folder or a pattern such as '*%s'",
            path,
            PurePath(other).name,
            many,
            _end_of(other),
        )


Place = tuple[str, str, str]
"""Folder, stem and suffix of a path."""


def _place(path: str) -> Place:
    folder, slash, name = path.rpartition("/")
    stem, _ = split_name(name)
    return folder + slash, stem, name.removeprefix(stem)


def _better(place: Place, known: dict[Place, str]) -> Place | None:
    """Return the best image of this exposure, if that is another one."""
    folder, stem, suffix = place
    for ends in COPIES:
        own = max((end for end in ends if stem.endswith(end)), key=len)
        root = stem.removesuffix(own)
        for end in ends[: ends.index(own)]:
            if root and (folder, root + end, suffix) in known:
                return folder, root + end, suffix
    return None


def _partner(place: Place, known: dict[Place, str], ordered: list[Place]) -> Place | None:
    """Return the micrograph that a power spectrum, half sum, thumbnail or background belongs to."""
    folder, stem, suffix = place
    for end in SIDE_ENDS:
        other = folder, stem.removesuffix(end), suffix
        if stem.endswith(end) and other in known:
            return other
    for end in NEVER:
        root = stem.removesuffix(end)
        if root == stem or not root:
            continue
        for index in range(bisect.bisect_left(ordered, (folder, root, "")), len(ordered)):
            other = ordered[index]
            if not (other[0] == folder and other[1].startswith(root)):
                break
            if not other[1].endswith((*NEVER, *SIDE_ENDS)):
                return other
    return None


def _end_of(path: str) -> str:
    """Return the part of a name by which a pattern finds this kind of image."""
    _, stem, suffix = _place(path)
    ends = [end for ends in COPIES for end in ends if end and stem.endswith(end)]
    return max(ends, key=len, default="") + suffix
