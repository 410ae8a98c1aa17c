"""Other programs, if they are installed: Topaz with the detectors of its package, RELION's LoG and template picking.

They are given MRC files and the particle diameter; all other settings are those proposed by their manual or GUI, as listed in
each class.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from cryopick.benchmark.sets import SET, BenchmarkSet, files_at
from cryopick.coordinates import length_from_px
from cryopick.errors import SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.names import stem
from cryopick.io.picks.formats import read_picks
from cryopick.io.volumes import read_stack
from cryopick.types import Picks

TOPAZ_PARTICLE_PX = 24.0
"""Particle diameter in pixels for Topaz: its detectors are made for about 8 Å per pixel and have a field of 71 pixels."""
COARSE_PARTICLE_PX = 18.0
"""The same for ``topaz-coarse``, since no single downsampling is best for all micrographs."""

LOWPASS = 20.0
"""Low-pass filter of RELION's references in Å."""
FINEST_OF_DIAMETER = 8.0
"""Without a pixel size, the references are low-pass filtered to the diameter divided by this."""


def write_mrcs(task: BenchmarkSet, folder: Path) -> list[MicrographSource]:
    """Write the micrographs of a set to `folder` as float32 MRC files named after their stems, unless they are up to date."""
    copies = []
    for source in task.sources:
        path = folder / f"{stem(source.name)}.mrc"
        if not path.exists() or path.stat().st_mtime_ns < source.path.stat().st_mtime_ns:
            write_micrograph(path, source.read().pixels, pixel_size=length_from_px(1.0, task.pixel_size))
        copies.append(MicrographSource(path, path.name, task.pixel_size))
    return copies


@dataclass(frozen=True)
class TopazAutopick:
    """Topaz (Bepler et al. 2019): `preprocess`, then `extract` with a detector of its package.

    Micrographs are downsampled by the whole number that brings particles closest to `particle_px`; picks are at least a particle
    radius apart. Scores are log-odds: the threshold is 0, and the curve includes all picks down to Topaz's own −6.
    """

    executable: str
    model: str = "resnet16"
    name: str = "topaz"
    particle_px: float = TOPAZ_PARTICLE_PX
    threshold: float | None = 0.0

    @property
    def identity(self) -> Any:
        """See `Method.identity`."""
        return ["topaz", self.executable, self.model, self.particle_px]

    def commands(self, task: BenchmarkSet, folder: Path, *, workers: int) -> list[list[str]]:
        """See `Method.commands`."""
        files = _absolute(write_mrcs(task, folder.parent / "mrc"))
        reduced, step = folder / "reduced", max(1, round(task.diameter_px / self.particle_px))
        radius = max(1, round(task.diameter_px / step / 2))
        small = [str(reduced / Path(file).name) for file in files]
        cpu = ["--num-workers", str(workers if workers > 1 else 0), "--num-threads", "1", "--device", "-1"]
        preprocess = [self.executable, "preprocess", "--scale", str(step), *cpu, "--destdir", f"{reduced}/"]
        extract = [self.executable, "extract", "--model", self.model, "--radius", str(radius), "--up-scale", str(step), *cpu]
        return [[*preprocess, *files], [*extract, "--output", str(folder / "picks.txt"), *small]]

    def read(self, task: BenchmarkSet, folder: Path) -> list[Picks]:
        """See `Method.read`."""
        return _renamed(read_picks(folder / "picks.txt", format="topaz", micrographs=task.sources), task)


@dataclass(frozen=True)
class RelionAutopick:
    """RELION's auto-picking: `--LoG` with 0.9 to 1.1 particle diameters, or template matching if `references` are given.

    Both use the settings that RELION's GUI proposes. LoG: no downsampling, threshold 0. Templates: 5° steps, threshold 0.05,
    maximum noise deviation 1.1, downsampled as far as the references' low-pass filter allows. Picks are at least half a diameter
    apart, and micrographs are picked one after the other on one core. ``{set}`` in the path of the references is the name of
    the set.
    """

    executable: str
    references: str | None = None
    threshold: float | None = None

    @property
    def name(self) -> str:
        """See `Method.name`."""
        return "relion-log" if self.references is None else "relion-template"

    @property
    def identity(self) -> Any:
        """See `Method.identity`."""
        given = None if self.references is None else files_at(self.references)
        return ["relion", self.executable, self.references, given]

    def commands(self, task: BenchmarkSet, folder: Path, *, workers: int) -> list[list[str]]:
        """See `Method.commands`."""
        sources = write_mrcs(task, folder.parent / "mrc")
        pixel_size = length_from_px(1.0, task.pixel_size)
        common = [self.executable, "--i", str(sources[0].path.parent.absolute() / "*.mrc"), "--odir", f"{folder / 'picks'}/"]
        common += ["--pickname", "autopick", "--angpix", f"{pixel_size:g}"]
        if self.references is None:
            limits = ["--LoG_diam_min", f"{0.9 * task.diameter:g}", "--LoG_diam_max", f"{1.1 * task.diameter:g}"]
            return [[*common, "--LoG", *limits, "--shrink", "0", "--lowpass", "20", "--LoG_adjust_threshold", "0"]]
        return [[*common, *self._template_words(self.references.replace(SET, task.name), task)]]

    def read(self, task: BenchmarkSet, folder: Path) -> list[Picks]:
        """See `Method.read`."""
        found = []
        for source in write_mrcs(task, folder.parent / "mrc"):
            files = sorted((folder / "picks").rglob(f"{stem(source.name)}_autopick.star"))
            if files:  # RELION writes no file for a micrograph without picks
                found += read_picks(files[-1], format="relion", micrographs=[source], pixel_size=task.pixel_size)
        return _renamed(found, task)

    def _template_words(self, references: str, task: BenchmarkSet) -> list[str]:
        _, reference_pixel_size = read_stack(Path(references))
        finest = LOWPASS if task.pixel_size is not None else task.diameter / FINEST_OF_DIAMETER
        words = ["--ref", references, "--particle_diameter", f"{task.diameter:g}", "--invert", "--ang", "5"]
        words += [] if reference_pixel_size is None else ["--angpix_ref", f"{reference_pixel_size:g}"]
        words += ["--shrink", "0", "--lowpass", f"{finest:g}", "--threshold", "0.05", "--max_stddev_noise", "1.1"]
        return [*words, "--min_distance", f"{0.5 * task.diameter:g}"]


def find_program(word: str, *, references: str | None = None) -> TopazAutopick | RelionAutopick:
    """Return the program for ``NAME`` or ``NAME=EXECUTABLE``.

    Names are topaz, topaz-coarse, relion-log and relion-template. Raises `SettingError` for an unknown name, a program that is
    not installed, and templates without references.
    """
    name, _, given = word.partition("=")
    makers: dict[str, tuple[str, Callable[[str], TopazAutopick | RelionAutopick]]] = {
        "topaz": ("topaz", TopazAutopick),
        "topaz-coarse": ("topaz", partial(TopazAutopick, name="topaz-coarse", particle_px=COARSE_PARTICLE_PX)),
        "relion-log": ("relion_autopick", RelionAutopick),
        "relion-template": ("relion_autopick", lambda executable: RelionAutopick(executable, references)),
    }
    if name not in makers:
        raise SettingError(f"unknown program {name!r}; use one of {', '.join(makers)}")
    if name == "relion-template" and references is None:
        raise SettingError("relion-template needs --references; give a stack of class averages or a map")
    usual, make = makers[name]
    executable = shutil.which(given or usual)
    if executable is None:
        raise SettingError(f"{given or usual} is not installed; install it, or give its path as {name}=PATH")
    return make(executable)


def _absolute(sources: Sequence[MicrographSource]) -> list[str]:
    return [str(source.path.absolute()) for source in sources]


def _renamed(found: list[Picks], task: BenchmarkSet) -> list[Picks]:
    """Return picks with the names and the pixel size of the set's micrographs instead of those of their MRC copies."""
    names = {stem(source.name): source.name for source in task.sources}
    return [replace(picks, micrograph=names[stem(picks.micrograph)], pixel_size=task.pixel_size) for picks in found]
