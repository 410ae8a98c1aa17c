"""`cryopick denoise`: write micrographs as the published pickers want to see them."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cryopick.cli.arguments import Inputs

if TYPE_CHECKING:
    from cryopick.coordinates import PixelMap
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.preprocess.denoise import DenoiseSettings


@dataclass(frozen=True)
class Outcome:
    """What became of one micrograph: where the written pixels lie in it, or the error."""

    name: str
    to_home: "PixelMap | None" = None
    error: str = ""


@dataclass(frozen=True)
class Job:
    """The same for every micrograph; a worker calls it with one after another."""

    out: Path
    suffix: str
    settings: "DenoiseSettings"
    diameter: float | None

    def target(self, source: "MicrographSource") -> Path:
        from cryopick.io.names import stem

        return self.out / f"{stem(source.name)}{self.suffix}"

    def __call__(self, source: "MicrographSource") -> Outcome:
        """Denoise one micrograph into the folder; an error is told, not raised, so that the others go on."""
        from cryopick.errors import CryopickError
        from cryopick.io.micrographs.files import write_micrograph
        from cryopick.preprocess.denoise import denoise

        try:
            micrograph = source.read()
            diameter_px = None if self.diameter is None else micrograph.to_px(self.diameter)
            pixels, to_home = denoise(micrograph.pixels, self.settings.for_diameter(diameter_px))
            write_micrograph(self.target(source), pixels, pixel_size=micrograph.pixel_size)
        except (CryopickError, OSError, MemoryError) as error:
            return Outcome(source.name, error=str(error) or type(error).__name__)
        return Outcome(source.name, to_home)


def denoise(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the denoised micrographs.")],
    format: Annotated[Literal["mrc", "tiff", "png", "jpg"], typer.Option(help="What to write.")] = "mrc",
    mode: Annotated[
        Literal["published", "corrected", "faithful", "robust"],
        typer.Option(
            metavar="[published|corrected]", help="The published chain, which shifts the image by 3 pixels, or the corrected one."
        ),
    ] = "published",
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel, in place of the files' own.")] = None,
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); scales the corrected mode.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes, of one thread each.  [default: the cores]")] = None,
) -> None:
    """Denoise micrographs as the published systems do.

    With the chain that CryoSegNet and CryoTransformer were trained on, to 8 bits.
    """
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.parallel.pool import run_tasks
    from cryopick.parallel.process import available_cores
    from cryopick.preprocess.denoise import FORMER_PRESETS, load_denoise_settings

    if diameter is not None and FORMER_PRESETS.get(mode, mode) == "published":
        raise typer.BadParameter("the published chain knows no diameter; leave it out, or use --mode corrected")
    if diameter is not None and diameter <= 0:
        raise typer.BadParameter(f"a diameter of {diameter:g} cannot be; give a positive number, or leave it out")
    job = Job(out, f".{format}", load_denoise_settings(mode), diameter)
    sources = find_micrographs(inputs, pixel_size=pixel_size)
    _check_targets(job, sources)
    out.mkdir(parents=True, exist_ok=True)  # what cannot be a folder ends the run here, not micrograph by micrograph
    tasks = run_tasks(sources, partial(_same, job), workers=min(workers or available_cores(), len(sources)), lost=_lost)
    with typer.progressbar(tasks, length=len(sources), label="denoising") as results:
        outcomes = list(results)
    _tell(outcomes, out)


def _same(job: Job) -> Job:
    return job


def _lost(source: "MicrographSource", reason: str) -> Outcome:
    return Outcome(source.name, error=reason)


def _check_targets(job: Job, sources: "list[MicrographSource]") -> None:
    """Raises `CryopickError` where two micrographs would be written to one file, or one over a micrograph."""
    from cryopick.errors import CryopickError

    originals = {source.path.resolve() for source in sources}
    writers: dict[Path, MicrographSource] = {}
    for source in sources:
        target = job.target(source)
        other = writers.setdefault(target, source)
        if other is not source:
            raise CryopickError(f"{other.path} and {source.path} would both be written to {target}; denoise them in two runs")
        if target.resolve() in originals:
            raise CryopickError(f"{target} is a micrograph itself and would be lost; give another folder with --out")


def _tell(outcomes: list[Outcome], out: Path) -> None:
    failed = [outcome for outcome in outcomes if outcome.error]
    typer.echo(f"{len(outcomes) - len(failed)} of {len(outcomes)} micrographs denoised: {out}")
    moved = {outcome.to_home.shift for outcome in outcomes if outcome.to_home} - {(0.0, 0.0)}
    for x, y in moved:
        typer.echo(
            f"Their pixel (0, 0) shows the micrographs' pixel ({x:g}, {y:g}): take account of it, or use --mode corrected."
        )
    for outcome in failed:
        typer.echo(f"{outcome.name}: {outcome.error}", err=True)
    if failed:
        raise typer.Exit(1)
