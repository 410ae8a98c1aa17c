"""Arguments that several commands take, alone and in groups."""

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
        metavar="INPUT...",
        help="Micrographs, folders, patterns, lists, a RELION micrographs.star, or a CryoSPARC exposures .cs.",
        show_default=False,
    ),
]


def a_number(value: float | None) -> float | None:
    """What an option was given, unless it is `nan`, which leaves out every pick without a word."""
    if value is not None and math.isnan(value):
        raise typer.BadParameter("nan is no number")
    return value


Threshold = Annotated[float | None, typer.Option(callback=a_number, help="Leave out picks with a lower score.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Start afresh: remove what cryopick wrote in the folder.")]


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command for typer, of whose parameters each dataclass is taken apart: one option a field, annotated as parameters are."""
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
    """All that decides the picks and what is written of them."""

    picker: Annotated[str | None, typer.Option(help=f"Picker: {', '.join(PICKERS.own)}.  [default: {DEFAULT}]")] = None
    preset: Annotated[str | None, typer.Option(help="Named settings of the picker.")] = None
    words: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="One setting of the picker; repeat.")] = (
        None
    )
    weights: Annotated[str | None, typer.Option(help="File or name of the network's weights.")] = None
    sam: Annotated[str | None, typer.Option(help="Segment Anything's weights: a folder, a file, or a Hugging Face id.")] = None
    denoised: Annotated[
        bool, typer.Option("--denoised", help="The micrographs have been through `cryopick denoise` or the like.")
    ] = False
    maps: Annotated[Path | None, typer.Option(help="Folder for what the network saw and made of it, as MRC and PNG.")] = None
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); estimated when not given.")
    ] = None
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None
    salvage: Annotated[bool, typer.Option("--salvage", help="Pick what there is of truncated MRC files.")] = False
    threshold: Annotated[float | None, typer.Option(help="Least score of a pick, from 0 to 1; the picker's own by default.")] = (
        None
    )
    formats: Annotated[
        list[str] | None,
        typer.Option(
            "--format", metavar="NAME", help="A further format beside RELION's (`cryopick convert -h` lists them); repeat."
        ),
    ] = None
    device: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="Where to compute; auto takes CUDA where the picker can use it.")
    ] = "auto"
    seed: Annotated[int, typer.Option(help="Of all random numbers.")] = 0
    previews: Annotated[bool, typer.Option(help="Draw a PNG with circles for each micrograph.")] = True

    def run_settings(self, *, glimpses: bool = True, elsewhere: bool = False) -> "RunSettings":
        """The settings of the run, checked; `glimpses` as in `RunSettings`, `elsewhere` as in `run_settings`.

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
            formats=self.formats,
            previews=self.previews,
            glimpses=glimpses,
        )


@dataclass(frozen=True, kw_only=True)
class ClusterOptions:
    """Where workers run that are not processes of this machine, and what is asked for them."""

    cluster: Annotated[
        str | None, typer.Option(metavar="WHERE", help="slurm, pbs, lsf, local, or a Dask scheduler as tcp://host:8786.")
    ] = None
    jobs: Annotated[int, typer.Option(min=1, help="Jobs of the cluster at a time; local: worker processes.")] = 1
    job_cores: Annotated[int, typer.Option(min=1, help="Cores of each job: as many workers of one thread each.")] = 1
    job_memory: Annotated[str, typer.Option(help="Memory of each job.")] = "4GB"
    job_time: Annotated[str, typer.Option(help="Time after which a job ends; another one follows.")] = "04:00:00"
    job_queue: Annotated[str | None, typer.Option(help="Queue or partition.")] = None
    job_setup: Annotated[
        list[str] | None,
        typer.Option(metavar="LINE", help="Line of shell before a job's workers, as 'module load cuda'; repeat."),
    ] = None
    job_extra: Annotated[
        list[str] | None, typer.Option(metavar="DIRECTIVE", help="Directive of the job script, as --gres=gpu:1; repeat.")
    ] = None
    job_interface: Annotated[
        str | None, typer.Option(metavar="NAME", help="Network through which jobs reach this machine, as ib0.")
    ] = None
    print_job: Annotated[
        bool, typer.Option("--print-job", help="Print the script of a job as it would be submitted, and stop.")
    ] = False

    def asked(self, out: Path) -> "Jobs":
        """What the jobs of a run are asked for; they write their logs into the run's folder."""
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
