"""The methods that are compared: pickers of this package, and files of picks from any program."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cryopick.benchmark.sets import SET, BenchmarkSet, files_at, on_same_micrographs
from cryopick.errors import FileError, SettingError
from cryopick.io.picks.formats import read_picks
from cryopick.runs.results import is_run, run_picks
from cryopick.runs.settings import run_settings
from cryopick.types import Picks

FLOOR = 0.1
"""Lowest score of picks of this package's pickers, so that the curve continues below their threshold."""


class Method(Protocol):
    """A picker in the benchmark."""

    @property
    def name(self) -> str:
        """Its name in tables and file names."""
        ...

    @property
    def threshold(self) -> float | None:
        """Lowest score of its picks by default; None where all picks count."""
        ...

    @property
    def identity(self) -> Any:
        """Everything that its picks depend on, as plain values."""
        ...

    def commands(self, task: BenchmarkSet, folder: Path, *, workers: int) -> list[list[str]]:
        """Commands that write the picks of a set to `folder`, in the order in which they are run."""
        ...

    def read(self, task: BenchmarkSet, folder: Path) -> list[Picks]:
        """Read the picks after the commands have run."""
        ...


@dataclass(frozen=True)
class OwnPicker:
    """A picker of this package by name, with a preset and settings.

    `words` are of the form ``key=value``; ``{set}`` in a value is the set's name.
    """

    picker: str
    preset: str | None = None
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """See `Method`."""
        return self.picker if self.preset is None else f"{self.picker}-{self.preset}"

    @property
    def threshold(self) -> float | None:
        """See `Method`."""
        given = self._settings().get("threshold")
        return None if given is None else float(given)

    @property
    def identity(self) -> Any:
        """See `Method`."""
        settings = self._settings()
        references = settings.get("references")
        given = [] if references is None else [files_at(references)]
        return [self.picker, settings, _digest_of_weights(settings.get("weights")), *given]

    def commands(self, task: BenchmarkSet, folder: Path, *, workers: int) -> list[list[str]]:
        """See `Method`."""
        command = self.command(task, folder, workers=workers)
        if self.preset is None and (self.threshold or 0) > FLOOR:  # thresholds of presets have other meanings
            command += ["--threshold", f"{FLOOR:g}"]
        return [command]

    def command(self, task: BenchmarkSet, folder: Path, *, workers: int, device: str = "cpu") -> list[str]:
        """Return the command `cryopick pick` for the micrographs of a set, with the run in `folder`, at the default threshold."""
        command = [sys.executable, "-m", "cryopick", "pick", *(str(source.path) for source in task.sources)]
        command += ["--picker", self.picker, "--out", str(folder / "run"), "--diameter", f"{task.diameter:g}"]
        command += [] if task.pixel_size is None else ["--pixel-size", f"{task.pixel_size:g}"]
        command += [] if self.preset is None else ["--preset", self.preset]
        for word in self.words:
            command += ["--set", word.replace(SET, task.name)]
        return [*command, "--workers", str(workers), "--device", device, "--no-previews", "--no-report"]

    def read(self, task: BenchmarkSet, folder: Path) -> list[Picks]:
        """See `Method`."""
        return run_picks(folder / "run", micrographs=task.sources, pixel_size=task.pixel_size)

    def _settings(self) -> dict[str, Any]:
        from cryopick.config import parse_words

        return run_settings(self.picker, preset=self.preset, settings=parse_words(self.words), device="cpu").settings


@dataclass(frozen=True)
class PickFiles:
    """Picks of any program: a file or folder in any format, or a run; ``{set}`` in the path is the set's name.

    `downsample` is the factor by which the images of a file's coordinates were reduced.
    """

    name: str
    path: str
    downsample: float = 1.0

    @property
    def threshold(self) -> float | None:
        """See `Method`."""
        return None

    @property
    def identity(self) -> Any:
        """See `Method`: the sizes and times of the files, so that changed picks are scored again."""
        return [self.name, files_at(self.path), *([] if self.downsample == 1 else [self.downsample])]

    def commands(self, task: BenchmarkSet, folder: Path, *, workers: int) -> list[list[str]]:
        """See `Method`."""
        return []

    def read(self, task: BenchmarkSet, folder: Path) -> list[Picks]:
        """See `Method`."""
        path = Path(self.path.replace(SET, task.name))
        if is_run(path):
            if self.downsample != 1:
                raise SettingError(f"--picks {self.name}={path}: --downsample does not apply to runs; omit it")
            return on_same_micrographs(run_picks(path, pixel_size=task.pixel_size), task)
        unknown: set[str] = set()
        found = read_picks(
            path, micrographs=task.sources, unknown=unknown, pixel_size=task.pixel_size, downsample=self.downsample
        )
        if not found:
            raise FileError(path, f"has no picks on micrographs of {task.name}", "Put {set} into the path for one file per set")
        return found


def _digest_of_weights(weights: Any) -> str | None:
    if not isinstance(weights, str):
        return None
    from cryopick.models.checkpoints import file_sha256
    from cryopick.models.weights import find

    return file_sha256(Path(find(weights)))
