"""A quick picker for the tests of runs; spawned processes import it by this name."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from cryopick.distributed.settings import RunSettings
from cryopick.errors import CryopickError
from cryopick.pickers.base import Picker
from cryopick.types import Micrograph, Picks

SETTINGS = RunSettings(picker="stub", formats=["box", "csv"], seed=3)


class StubPicker:
    """Picks the seven brightest pixels, a third of a pixel off; scores and points have no short decimal form."""

    def __init__(self, settings: RunSettings) -> None:
        self.settings = settings.settings

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
        if Path(micrograph.name).stem == self.settings.get("killer"):
            os.kill(os.getpid(), signal.SIGKILL)
        if Path(micrograph.name).stem == self.settings.get("faulty"):
            raise ZeroDivisionError("no reason")
        if Path(micrograph.name).stem == self.settings.get("interrupting"):
            raise KeyboardInterrupt
        brightest = np.argsort(-micrograph.pixels, axis=None, kind="stable")[: self.settings.get("count", 7)]
        rows, columns = np.unravel_index(brightest, micrograph.shape_hw)
        scores = np.linspace(0.9, 0.1, 7, dtype=np.float32)[: len(brightest)]
        xy = np.stack([columns, rows], axis=1) + 1 / 3
        return Picks(micrograph.name, xy, scores, diameter or 30.0, micrograph.shape_hw, micrograph.pixel_size)


def build(settings: RunSettings) -> Picker:
    """The picker of a worker."""
    return StubPicker(settings)


def build_without_weights(settings: RunSettings) -> Picker:
    """A picker that cannot be made."""
    raise CryopickError("weights are missing")
