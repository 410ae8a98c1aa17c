"""`cryopick denoise`: the denoised micrographs that the published pickers expect."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryopick.cli.arguments import Inputs, PixelSize
from cryopick.cli.console import Progress, print_errors, say
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.coordinates import PixelMap
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.preprocess.denoise import DenoiseSettings


PUBLISHED, CORRECTED = "published", "corrected"


@dataclass(frozen=True)
class DenoiseResult:
    """Result for one micrograph: the map from the written pixels to its own, or the error."""

    name: str
    to_home: "PixelMap | None" = None
    error: str = ""


@dataclass(frozen=True)
class DenoiseJob:
    """Settings common to all micrographs; a worker calls it with one micrograph after another."""

    out: Path
    suffix: str
    settings: "DenoiseSettings"
    diameter: float | None

    def target(self, source: "MicrographSource") -> Path:
        """Return the file that a denoised micrograph is written to."""
        from cryopick.io.names import stem

        return self.out / f"{stem(source.name)}{self.suffix}"

    def __call__(self, source: "MicrographSource") -> DenoiseResult:
        """Denoise one micrograph into the folder; errors are returned, not raised, so that the others are not lost."""
        from cryopick.errors import CryopickError
        from cryopick.io.micrographs.files import write_micrograph
        from cryopick.preprocess.denoise import denoise

        try:
            micrograph = source.read()
            diameter_px = None if self.diameter is None else micrograph.to_px(self.diameter)
            pixels, to_home = denoise(micrograph.pixels, self.settings.for_diameter(diameter_px))
            write_micrograph(self.target(source), pixels, pixel_size=micrograph.pixel_size)
        except (CryopickError, OSError, MemoryError) as error:
            return DenoiseResult(source.name, error=str(error) or type(error).__name__)
        return DenoiseResult(source.name, to_home)


def denoise(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the denoised micrographs.")],
    to: Annotated[Literal["mrc", "tiff", "png", "jpg"], typer.Option("--to", help="Format to write.")] = "mrc",
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Preset: published (shifts images by 3 px) or corrected.")
    ] = PUBLISHED,
    words: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting of the preset; repeatable.")
    ] = None,
    pixel_size: PixelSize = None,
    diameter: Annotated[
        float | None,
        typer.Option(
            metavar="ANGSTROM", help="Particle diameter to scale the preset corrected [Å; pixels if the pixel size is unknown]."
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of processes.  [default: all cores]")] = None,
) -> None:
    """Denoise micrographs as CryoSegNet and CryoTransformer do.

    The output has 8-bit grey values.
    """
    from cryopick.config import parse_words
    from cryopick.files import remove_leftovers
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.parallel.pool import run_tasks
    from cryopick.parallel.process import available_cores
    from cryopick.preprocess.denoise import FORMER_PRESETS, load_denoise_settings

    if diameter is not None and FORMER_PRESETS.get(preset, preset) == PUBLISHED:
        raise typer.BadParameter(f"--diameter has no effect with --preset {PUBLISHED}; omit it, or use --preset {CORRECTED}")
    if diameter is not None and diameter <= 0:
        raise typer.BadParameter(f"--diameter must be positive, got {diameter:g}")
    job = DenoiseJob(out, f".{to}", load_denoise_settings(preset, parse_words(words or [])), diameter)
    sources = find_micrographs(inputs, pixel_size=pixel_size)
    _check_targets(job, sources)
    remove_leftovers(out)
    out.mkdir(parents=True, exist_ok=True)  # an unusable --out ends the run here, not once for every micrograph
    tasks = run_tasks(sources, partial(_same, job), workers=min(workers or available_cores(), len(sources)), lost=_lost)
    with Progress("denoising", len(sources)) as progress:
        outcomes = list(progress.track(tasks))
    _print_result(outcomes, out)


def _same(job: DenoiseJob) -> DenoiseJob:
    return job


def _lost(source: "MicrographSource", reason: str) -> DenoiseResult:
    return DenoiseResult(source.name, error=reason)


def _check_targets(job: DenoiseJob, sources: "list[MicrographSource]") -> None:
    """Raise `CryopickError` if two micrographs would be written to one file, or one over a micrograph."""
    from cryopick.errors import CryopickError

    originals = {source.path.resolve() for source in sources}
    writers: dict[Path, MicrographSource] = {}
    for source in sources:
        target = job.target(source)
        other = writers.setdefault(target, source)
        if other is not source:
            raise CryopickError(f"{other.path} and {source.path} would both be written to {target}; denoise them separately")
        if target.resolve() in originals:
            raise CryopickError(f"{target} is an input and would be overwritten; choose another --out")


def _print_result(outcomes: list[DenoiseResult], out: Path) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    say(f"{len(outcomes) - len(failed):,} of {counted(len(outcomes), 'micrograph')} denoised: {out}")
    moved = {outcome.to_home.shift for outcome in outcomes if outcome.to_home} - {(0.0, 0.0)}
    for x, y in moved:
        say(f"pixel (0, 0) of the output is pixel ({x:g}, {y:g}) of the micrographs; --preset {CORRECTED} does not shift them")
    print_errors(f"{outcome.name}: {outcome.error}" for outcome in failed)
    if failed:
        raise typer.Exit(1)
