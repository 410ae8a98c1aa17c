"""Script that times the stages of a picker on one micrograph, or training steps.

    python -m cryopick.benchmark.timing.profile JOB SAMPLES

JOB is a `StageJob` or `TrainingJob` as JSON; the samples are written to the file SAMPLES.
"""

import cProfile
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from cryopick.config import resolve
from cryopick.files import write_bytes
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.relion import write_coordinates
from cryopick.pickers import PICKERS
from cryopick.runs.settings import RunSettings, build_picker

if TYPE_CHECKING:
    from cryopick.pickers.base import Picker

Device = Literal["cpu", "cuda"]
Clock = Callable[[], float]
T = TypeVar("T")
STAGES = ("read", "prepare", "network", "find", "write")
SLOW_RUN = 20.0
"""Seconds above which the first run is timed and not repeated; faster functions are first run once without timing."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """Time for one micrograph or one training step.

    Attributes
    ----------
    wall, cpu : wall and processor seconds.
    stages : seconds by stage: processor time on the CPU, wall time on a GPU.
    """

    wall: float
    cpu: float
    stages: dict[str, float] = {}


class StageJob(msgspec.Struct, frozen=True, kw_only=True, tag="stages"):
    """Job: pick a micrograph `repeats` times with the picker of `settings`, with `random_weights` if others are not available."""

    settings: RunSettings
    path: str
    pixel_size: float
    diameter: float
    device: Device
    repeats: int
    random_weights: bool = False

    def run(self) -> list[Sample]:
        """Return one sample per repeat."""
        source = MicrographSource(Path(self.path), Path(self.path).name, self.pixel_size)
        picker = untrained(self.settings) if self.random_weights else build_picker(self.settings)
        clock = time.perf_counter if self.device == "cuda" else time.process_time
        functions = stage_functions(self.settings.picker)

        def once() -> Sample:
            wall, cpu, start = time.perf_counter(), time.process_time(), clock()
            micrograph = source.read()
            read = clock() - start
            picks, inside = profile_stages(lambda: picker.pick(micrograph, diameter=self.diameter), functions, clock)
            start = clock()
            write_coordinates(picks, Path(folder))
            stages = {"read": read, **inside, "write": clock() - start}
            return Sample(wall=time.perf_counter() - wall, cpu=time.process_time() - cpu, stages=stages)

        with TemporaryDirectory() as folder:
            return repeat_timing(once, repeats=self.repeats)


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True, tag="training"):
    """Job: take `repeats` training steps of a recipe's default settings, with few structures, after one that is not timed."""

    model: str
    device: Device
    repeats: int

    def run(self) -> list[Sample]:
        """Return one sample per step, including the simulation of its batch."""
        from cryopick.config import load_preset
        from cryopick.train.recipe import RECIPES

        recipe, steps = RECIPES.get(self.model), self.repeats + 1
        small = {"structures": 32, "held_out_structures": 2, "held_out_crops": 4, "accelerator": self.device}
        loop = {"loop": {"steps": steps, "validate_every": steps, "tensorboard": False}}
        settings = resolve(recipe.settings, load_preset(f"train-{self.model}", "default"), small, loop)
        times: list[tuple[float, float]] = []
        with TemporaryDirectory() as folder:
            trainer = recipe.prepare(settings, Path(folder)).trainer
            trainer.run(on_step=lambda step, losses: times.append((time.perf_counter(), time.process_time())))
        return [Sample(wall=after[0] - before[0], cpu=after[1] - before[1]) for before, after in pairwise(times)]


@dataclass(frozen=True)
class TimedFunctions:
    """Functions whose time, including everything they call, is that of a stage; none of them may call another."""

    prepare: Sequence[Callable[..., Any]]
    network: Sequence[Callable[..., Any]]


def profile_stages(work: Callable[[], T], functions: TimedFunctions, clock: Clock) -> tuple[T, dict[str, float]]:
    """Run `work` and return its result and the seconds of its stages; "find" is the time outside of the functions."""
    profile = cProfile.Profile(clock, subcalls=False, builtins=False)
    start = clock()
    profile.enable()
    result = work()
    profile.disable()
    whole = clock() - start
    taken = {entry.code: entry.totaltime for entry in profile.getstats()}
    seconds = {
        stage: sum(taken.get(function.__code__, 0.0) for function in group)
        for stage, group in (("prepare", functions.prepare), ("network", functions.network))
    }
    return result, {**seconds, "find": whole - sum(seconds.values())}


def repeat_timing(once: Callable[[], Sample], *, repeats: int) -> list[Sample]:
    """Return `repeats` samples after a first one that does not count, or only the first if it takes longer than `SLOW_RUN`."""
    first = once()
    return [first] if first.wall > SLOW_RUN else [once() for _ in range(repeats)]


def stage_functions(picker: str) -> TimedFunctions:
    """Return the functions of a picker's stages, as its class declares them."""
    declared: Mapping[str, Sequence[Callable[..., Any]]] = getattr(PICKERS.get(picker), "STAGES", {})
    return TimedFunctions(prepare=declared.get("prepare", ()), network=declared.get("network", ()))


def untrained(settings: RunSettings) -> "Picker":
    """Return the picker of some settings with random weights, which take as long as trained ones."""
    picker_class: Any = PICKERS.get(settings.picker)
    picker: Picker = picker_class.untrained(resolve(picker_class.Settings, settings.settings, subject=settings.picker))
    return picker


def main(job: str, samples: Path) -> None:
    """Run a job and write its samples."""
    from cryopick.parallel.process import one_thread

    todo: StageJob | TrainingJob = msgspec.json.decode(job, type=StageJob | TrainingJob)
    one_thread()
    write_bytes(samples, msgspec.json.encode(todo.run()))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
