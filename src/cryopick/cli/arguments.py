"""Arguments and options shared by several commands, single and in groups."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from cryopick.pickers import DEFAULT, PICKERS

if TYPE_CHECKING:
    from cryopick.parallel.dask_cluster import Jobs
    from cryopick.runs.settings import RunSettings

Inputs = Annotated[
    list[str],
    typer.Argument(
        metavar="INPUT",
        help="Micrographs, folders, patterns, lists, RELION's micrographs.star or CryoSPARC's exposures .cs.",
        show_default=False,
    ),
]


def not_nan(value: float | None) -> float | None:
    """Return the value of an option, unless it is `nan`, which would silently remove every pick."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("must be a number, got nan")
    return value


Threshold = Annotated[
    float | None, typer.Option(metavar="SCORE", callback=not_nan, help="Lowest score of the picks to keep.  [default: keep all]")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Remove the earlier results in the folder and start again.")]
PixelSize = Annotated[float | None, typer.Option(metavar="ANGSTROM", help="Pixel size [Å]; replaces the files' own.")]
Diameter = Annotated[
    float | None,
    typer.Option(
        metavar="ANGSTROM", help="Particle diameter [Å; pixels if the pixel size is unknown]; the picks' own if omitted."
    ),
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting, such as loop.steps=500; repeatable.")
]
Simulate = Annotated[bool, typer.Option("--simulate", help="Train on simulated micrographs instead of DATA.")]
TruthDiameter = Annotated[float | None, typer.Option(metavar="ANGSTROM", help="Particle diameter [Å], if the picks have none.")]
PicksOfData = Annotated[
    Path | None, typer.Option(metavar="PATH", help="File or folder of picks, if DATA holds micrographs only.")
]
Box = Annotated[int | None, typer.Option(metavar="PIXELS", min=1, help="Side of the boxes [px]; the diameter if omitted.")]


def finite(value: float) -> float:
    """Return the value of an option, unless it is `nan` or infinite."""
    if not math.isfinite(value):
        raise typer.BadParameter(f"must be a number, got {value:g}")
    return value


Downsample = Annotated[
    float,
    typer.Option(
        metavar="FACTOR",
        min=1,
        callback=finite,
        help="Factor by which the images of the picks' coordinates are reduced.",
    ),
]
ReadFormat = Annotated[
    str | None, typer.Option("--from", metavar="FORMAT", help="Format of the picks; detected from the content if omitted.")
]


def data_or_simulate(data: str | None, simulate: bool) -> None:
    """Raise `typer.BadParameter` unless exactly one of DATA and `--simulate` is given."""
    if (data is None) is not simulate:
        raise typer.BadParameter("give either DATA or --simulate" + (", not both" if simulate else ""))


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command for typer so that its dataclass parameters are replaced by their fields, one option each."""
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, Any] = {name: hint for name, hint in hints.items() if is_dataclass(hint)}
    parameters = []
    for parameter in signature(command).parameters.values():
        if parameter.name in groups:
            parameters += _parameters(groups[parameter.name])
        else:
            parameters.append(parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[parameter.name]))

    @wraps(command)
    def grouped(**given: Any) -> None:
        for name, group in groups.items():
            given[name] = group(**{field.name: given.pop(field.name) for field in fields(group)})
        command(**given)

    grouped.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    grouped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return grouped


def _parameters(group: Any) -> list[Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        Parameter(field.name, Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name])
        for field in fields(group)
    ]


@dataclass(frozen=True, kw_only=True)
class PickOptions:
    """Options that determine the picks and the output."""

    picker: Annotated[
        str | None, typer.Option(metavar="NAME", help=f"Picker: {', '.join(PICKERS.own)}.  [default: {DEFAULT}]")
    ] = None
    preset: Annotated[str | None, typer.Option(metavar="NAME", help="Preset of the picker's settings.")] = None
    words: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting of the picker; repeatable.")] = (
        None
    )
    weights: Annotated[str | None, typer.Option(metavar="NAME", help="Weights of the network: a file or a name.")] = None
    sam: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Weights of Segment Anything: a folder, a file or a Hugging Face id."),
    ] = None
    denoised: Annotated[
        bool, typer.Option("--denoised", help="Treat the micrographs as denoised already (by `cryopick denoise`).")
    ] = False
    maps: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Folder for the network's input and output, as MRC and PNG.")
    ] = None
    diameter: Annotated[
        float | None,
        typer.Option(
            metavar="ANGSTROM", help="Particle diameter [Å; pixels if the pixel size is unknown]; estimated if omitted."
        ),
    ] = None
    pixel_size: PixelSize = None
    salvage: Annotated[bool, typer.Option("--salvage", help="Pick the readable part of truncated MRC files.")] = False
    threshold: Annotated[
        float | None,
        typer.Option(metavar="SCORE", callback=not_nan, help="Lowest score of a pick [0 to 1].  [default: the picker's]"),
    ] = None
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="Format to write besides RELION's (listed by `cryopick convert -h`); repeatable.",
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Processor to use; auto takes CUDA if the picker supports it.")
    ] = "auto"
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed.")] = 0
    previews: Annotated[bool, typer.Option(help="Draw the picks of each micrograph into a PNG.")] = True

    def run_settings(self, *, thumbnails: bool = True, elsewhere: bool = False) -> "RunSettings":
        """Return the checked settings of the run; `thumbnails` as in `RunSettings`, `elsewhere` as in `run_settings`.

        Raises `SettingError`.
        """
        from cryopick.config import parse_words
        from cryopick.runs.settings import run_settings

        maps = None if self.maps is None else str(self.maps)
        named = {"weights": self.weights, "sam": self.sam, "denoised": self.denoised or None, "maps": maps}
        return run_settings(
            self.picker or DEFAULT,
            preset=self.preset,
            settings={**parse_words(self.words or []), **{key: value for key, value in named.items() if value is not None}},
            threshold=self.threshold,
            device=self.device,
            elsewhere=elsewhere,
            seed=self.seed,
            diameter=self.diameter,
            pixel_size=self.pixel_size,
            salvage=self.salvage,
            formats=self.to,
            previews=self.previews,
            thumbnails=thumbnails,
        )


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Options of a run whose workers are jobs of a cluster."""

    cluster: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Cluster: slurm, pbs, lsf, local or a Dask scheduler (tcp://host:8786)."),
    ] = None
    jobs: Annotated[int, typer.Option(metavar="N", min=1, help="Number of jobs on the cluster at a time.")] = 1
    job_cores: Annotated[int, typer.Option(metavar="N", min=1, help="Cores of each job; one worker runs on each.")] = 1
    job_memory: Annotated[str, typer.Option(metavar="SIZE", help="Memory of each job.")] = "4GB"
    job_time: Annotated[str, typer.Option(metavar="HH:MM:SS", help="Time limit of each job; ended jobs are replaced.")] = (
        "04:00:00"
    )
    job_queue: Annotated[str | None, typer.Option(metavar="NAME", help="Queue or partition of the jobs.")] = None
    job_setup: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE", help="Shell line to run first in each job, such as 'module load cuda'; repeatable."),
    ] = None
    job_extra: Annotated[
        list[str] | None,
        typer.Option(metavar="DIRECTIVE", help="Directive of the job script, such as --gres=gpu:1; repeatable."),
    ] = None
    job_interface: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network interface through which jobs reach this machine, such as ib0.")
    ] = None
    print_job: Annotated[bool, typer.Option("--print-job", help="Print the job script and exit.")] = False

    def resources(self, out: Path) -> "Jobs":
        """Return the resources of a run's jobs, which write their logs into the run's folder."""
        from cryopick.parallel.dask_cluster import Jobs

        return Jobs(
            count=self.jobs,
            cores=self.job_cores,
            memory=self.job_memory,
            time=self.job_time,
            queue=self.job_queue,
            setup=tuple(self.job_setup or ()),
            extra=tuple(self.job_extra or ()),
            interface=self.job_interface,
            logs=out / ".jobs",
        )
