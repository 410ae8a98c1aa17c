"""Pick protein particles in cryo-EM micrographs.

>>> import cryopick
>>> micrograph = cryopick.read_micrograph("mic_001.mrc")
>>> picks = cryopick.picker("log").pick(micrograph, diameter=190)

Names below are imported when first used, so that `import cryopick` costs nothing.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Micrograph": "cryopick.types",
    "Picks": "cryopick.types",
    "Frame": "cryopick.coordinates",
    "PixelMap": "cryopick.coordinates",
    "CryopickError": "cryopick.errors",
    "read_micrograph": "cryopick.io.micrographs.files",
    "find_micrographs": "cryopick.io.micrographs.sources",
    "read_picks": "cryopick.io.picks.formats",
    "write_picks": "cryopick.io.picks.formats",
    "picker": "cryopick.pickers",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'cryopick' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
