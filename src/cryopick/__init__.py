"""Pick protein particles in cryo-EM micrographs.

>>> import cryopick
>>> micrograph = cryopick.read_micrograph("mic_001.mrc")
>>> picks = cryopick.pick(micrograph, diameter=190)
>>> cryopick.write_picks(picks, "particles.star")

The names below are the public API. They are imported when first used, so `import cryopick` takes a few milliseconds.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryopick.api import convert, finetune, list_pickers, pick
    from cryopick.coordinates import Frame, PixelMap
    from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
    from cryopick.evaluate.metrics import Evaluation, evaluate_picks
    from cryopick.io.micrographs.files import read_micrograph, write_micrograph
    from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
    from cryopick.io.picks.formats import list_formats, read_picks, write_picks
    from cryopick.pickers import picker
    from cryopick.pickers.base import Picker
    from cryopick.simulate.micrograph import SimulatedMicrograph, simulate_micrograph
    from cryopick.train.finetune.supervised import FinetuneResult
    from cryopick.types import Micrograph, Pick, Picks

__version__ = "0.1.0"

__all__ = [
    "CryopickError",
    "Evaluation",
    "FileError",
    "FinetuneResult",
    "Frame",
    "Micrograph",
    "MicrographSource",
    "NameMatchError",
    "Pick",
    "Picker",
    "Picks",
    "PixelMap",
    "SettingError",
    "SimulatedMicrograph",
    "__version__",
    "convert",
    "evaluate_picks",
    "find_micrographs",
    "finetune",
    "list_formats",
    "list_pickers",
    "pick",
    "picker",
    "read_micrograph",
    "read_picks",
    "simulate_micrograph",
    "write_micrograph",
    "write_picks",
]

_MODULES = {
    "CryopickError": "cryopick.errors",
    "Evaluation": "cryopick.evaluate.metrics",
    "FileError": "cryopick.errors",
    "FinetuneResult": "cryopick.train.finetune.supervised",
    "Frame": "cryopick.coordinates",
    "Micrograph": "cryopick.types",
    "MicrographSource": "cryopick.io.micrographs.sources",
    "NameMatchError": "cryopick.errors",
    "Pick": "cryopick.types",
    "Picker": "cryopick.pickers.base",
    "Picks": "cryopick.types",
    "PixelMap": "cryopick.coordinates",
    "SettingError": "cryopick.errors",
    "SimulatedMicrograph": "cryopick.simulate.micrograph",
    "convert": "cryopick.api",
    "evaluate_picks": "cryopick.evaluate.metrics",
    "find_micrographs": "cryopick.io.micrographs.sources",
    "finetune": "cryopick.api",
    "list_formats": "cryopick.io.picks.formats",
    "list_pickers": "cryopick.api",
    "pick": "cryopick.api",
    "picker": "cryopick.pickers",
    "read_micrograph": "cryopick.io.micrographs.files",
    "read_picks": "cryopick.io.picks.formats",
    "simulate_micrograph": "cryopick.simulate.micrograph",
    "write_micrograph": "cryopick.io.micrographs.files",
    "write_picks": "cryopick.io.picks.formats",
}

if not TYPE_CHECKING:  # type checkers would take every name for one that exists

    def __getattr__(name):
        if name not in _MODULES:
            raise AttributeError(f"module 'cryopick' has no attribute {name!r}")
        return getattr(_import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
