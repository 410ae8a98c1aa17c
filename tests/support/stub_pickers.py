"""A quick picker for the tests of runs; spawned processes import it by this name."""

import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from cryopick.config import resolve
from cryopick.errors import CryopickError
from cryopick.pickers.base import Picker
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.runs.settings import RunSettings
from cryopick.types import Micrograph, Picks

SETTINGS = RunSettings(picker="stub", formats=["box", "csv"], seed=3)


@dataclass(frozen=True)
class StubSettings:
    """How many picks, on which micrographs to misbehave, and whether to estimate an unknown diameter."""

    count: int = 7
    device: str = "cpu"
    kill_on: str = ""
    fail_on: str = ""
    stop_on: str = ""
    measure: bool = False


class StubPicker:
    """Picks the brightest pixels, a third of a pixel off; scores and points have no short decimal form."""

    Settings: ClassVar[type[StubSettings]] = StubSettings

    def __init__(self, settings: StubSettings) -> None:
        self.settings = settings

    def estimate_diameter(self, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
        if self.settings.measure:
            means = [float(micrograph.pixels.mean()) for micrograph in micrographs]
            return DiameterEstimate(50 + sum(means), 50, 60, len(means), "Å")
        return None

    def pick(self, micrograph: Micrograph, *, diameter: float | None = None) -> Picks:
        time.sleep(float(os.environ.get("STUB_SLEEP", "0")))
        if os.environ.get("STUB_BROKEN"):
            raise OSError("this machine has no such disk")
        if (marker := os.environ.get("STUB_KILL_ONCE")) and not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        stem = Path(micrograph.name).stem
        if stem == self.settings.kill_on:
            os.kill(os.getpid(), signal.SIGKILL)
        if stem == self.settings.fail_on:
            raise ZeroDivisionError("no reason")
        if stem == self.settings.stop_on:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)  # the signal cuts it short
        brightest = np.argsort(-micrograph.pixels, axis=None, kind="stable")[: self.settings.count]
        rows, columns = np.unravel_index(brightest, micrograph.shape_hw)
        scores = np.linspace(0.9, 0.1, 7, dtype=np.float32)[: len(brightest)]
        xy = np.stack([columns, rows], axis=1) + 1 / 3
        about = (micrograph.shape_hw, micrograph.pixel_size, micrograph.optics_group, micrograph.uid)
        return Picks(micrograph.name, xy, scores, diameter or 30.0, *about)


def build(settings: RunSettings) -> Picker:
    """The picker of a worker."""
    return StubPicker(resolve(StubSettings, settings.settings))


class InParts(StubPicker):
    """The stub as a `BatchPicker` that fails with more than two micrographs in a batch, and with m3."""

    def prepare(self, micrograph: Micrograph, *, diameter: float | None = None) -> Micrograph:
        if micrograph.name == "m1.mrc":
            logging.getLogger("cryopick.test").warning("too thick")
        return micrograph

    def predict(self, ready: Sequence[Micrograph]) -> list[str]:
        if len(ready) > 2 or any(one.name == "m3.mrc" for one in ready):
            raise MemoryError("of the GPU")
        return [f"seen {one.name}" for one in ready]

    def finish(self, ready: Micrograph, seen: str) -> Picks:
        assert seen == f"seen {ready.name}"
        return self.pick(ready)


def build_in_parts(settings: RunSettings) -> Picker:
    """The picker of a worker on a GPU."""
    return InParts(resolve(StubSettings, settings.settings))


def build_without_weights_in_workers(settings: RunSettings) -> Picker:
    """A picker that can be made in the process of the tests alone."""
    if "PYTEST_CURRENT_TEST" in os.environ and multiprocessing.parent_process() is None:
        return build(settings)
    raise CryopickError("weights are missing")


def build_without_weights(settings: RunSettings) -> Picker:
    """A picker that cannot be made."""
    raise CryopickError("weights are missing")
