"""Functions of the Python API that combine several layers: pick, convert, fine-tune."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, overload

from cryopick.checks import checked_path, checked_positive
from cryopick.errors import CryopickError, SettingError
from cryopick.io.micrographs.sources import MicrographInputs, MicrographSource, find_micrographs
from cryopick.io.picks.formats import check_box, conversion_factors, detect_format, format_of_name, write_picks
from cryopick.pickers import PICKERS
from cryopick.pickers import picker as make_picker
from cryopick.preprocess.resample import check_fit
from cryopick.types import Micrograph, Picks

if TYPE_CHECKING:
    from cryopick.pickers.base import Picker
    from cryopick.train.finetune.supervised import FinetuneResult

logger = logging.getLogger(__name__)


def list_pickers() -> list[str]:
    """List the names that `picker` and `pick` take.

    Examples
    --------
    >>> "log" in list_pickers()
    True
    """
    return PICKERS.names


@overload
def pick(
    micrographs: Micrograph,
    *,
    picker: str = ...,
    preset: str | None = ...,
    diameter: float | None = ...,
    threshold: float | None = ...,
    **settings: Any,
) -> Picks: ...


@overload
def pick(
    micrographs: Sequence[Micrograph],
    *,
    picker: str = ...,
    preset: str | None = ...,
    diameter: float | None = ...,
    threshold: float | None = ...,
    **settings: Any,
) -> list[Picks]: ...


@overload
def pick(
    micrographs: MicrographInputs,
    *,
    picker: str = ...,
    preset: str | None = ...,
    diameter: float | None = ...,
    pixel_size: float | None = ...,
    threshold: float | None = ...,
    out: Path | str | None = ...,
    workers: int = ...,
    **settings: Any,
) -> list[Picks]: ...


def pick(
    micrographs: Micrograph | MicrographInputs | Sequence[Micrograph],
    *,
    picker: str = "unet",
    preset: str | None = None,
    diameter: float | None = None,
    pixel_size: float | None = None,
    threshold: float | None = None,
    out: Path | str | None = None,
    workers: int = 1,
    **settings: Any,
) -> Picks | list[Picks]:
    """Find the particles of one micrograph, or of every micrograph in a folder, file, pattern or list.

    With `out`, the results are written to disk as by `cryopick pick`: the same call again resumes the run, a micrograph that
    fails is logged and skipped, and if no diameter is given, one is estimated for all micrographs together. Without `out`,
    nothing is written, and the diameter is estimated for each micrograph separately.

    Parameters
    ----------
    micrographs : a `Micrograph` or several; or what `find_micrographs` takes or returns.
    picker : a name in `list_pickers`.
    preset : a named set of the picker's settings, or a YAML file of your own.
    diameter : particle diameter in Å, or in pixels when the pixel size is unknown; estimated if omitted.
    pixel_size : Å per pixel of micrographs in files; overrides the files' own.
    threshold : lowest score of a pick, in [0, 1]; the picker's own if omitted.
    out : folder for a run on disk, of micrographs in files.
    workers : processes of a run on disk.
    settings : the picker's other settings by name, as its page in the documentation lists them.

    Returns
    -------
    Picks or list of Picks
        The picks of a `Micrograph`, best first; otherwise a list with one entry per micrograph, also where there is only one.

    Raises
    ------
    SettingError
        For an unknown picker, preset or setting, an invalid value, `workers` without `out`, and an `out` that holds a run with
        other settings.
    FileError
        For micrographs that cannot be found or, without `out`, cannot be read.
    CryopickError
        When every micrograph of a run fails or, without `out`, for particles that are larger than the micrograph.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:256, :256]
    >>> image = np.random.default_rng(0).normal(0, 0.3, (256, 256))
    >>> for x, y in [(80, 120), (150, 200), (200, 60)]:
    ...     image[(columns - x) ** 2 + (rows - y) ** 2 < 15**2] -= 1
    >>> picks = pick(Micrograph(image), picker="log", diameter=30)
    >>> sorted(picks.xy.round().tolist())
    [[80.0, 120.0], [150.0, 200.0], [200.0, 60.0]]
    """
    if diameter is not None:
        diameter = checked_positive(diameter, "the diameter", error=SettingError)
    in_memory = [micrographs] if isinstance(micrographs, Micrograph) else _in_memory(micrographs)
    if in_memory:
        if not (pixel_size is None and out is None and workers == 1):
            raise SettingError("pixel_size, out and workers apply to files; a Micrograph has its own pixel size")
        made = _make(picker, preset, threshold, settings)
        picked = [_pick_one(made, micrograph, diameter) for micrograph in in_memory]
        return picked[0] if isinstance(micrographs, Micrograph) else picked
    if not (isinstance(workers, int) and workers >= 1):
        raise SettingError(f"workers must be a whole number of at least 1, got {workers!r}")
    sources = find_micrographs(cast(MicrographInputs, micrographs), pixel_size=pixel_size)
    if out is not None:
        options = {"preset": preset, "settings": settings, "threshold": threshold, "diameter": diameter, "pixel_size": pixel_size}
        return _pick_on_disk(sources, checked_path(out, "out"), picker, workers, options)
    if workers != 1:
        raise SettingError(f"workers={workers} needs out, a folder for the results: only a run on disk uses several processes")
    made = _make(picker, preset, threshold, settings)
    return [_pick_one(made, source.read(), diameter) for source in sources]


def convert(
    source: Path | str,
    target: Path | str,
    *,
    from_format: str | None = None,
    to_format: str | None = None,
    micrographs: MicrographInputs | None = None,
    pixel_size: float | None = None,
    diameter: float | None = None,
    threshold: float | None = None,
    box: int | None = None,
    downsample: float = 1.0,
) -> list[Picks]:
    """Convert picks from one program's format to another's.

    Parameters
    ----------
    source : a file or folder of picks, or the output folder of a run.
    target : the file or folder to write; existing files are replaced.
    from_format : a name in `list_formats`, for `source`; recognised from the content if omitted.
    to_format : a name in `list_formats`, for `target`; chosen by its suffix if omitted.
    micrographs : the micrographs, as `find_micrographs` takes them: their names, shapes and pixel sizes are used.
    pixel_size : Å per pixel; overrides the files' own.
    diameter : particle diameter in Å, or in pixels when the pixel size is unknown; replaces the picks' own.
    threshold : lowest score to keep.
    box : box size in pixels for formats with boxes; the diameter if omitted.
    downsample : the factor by which the images of the coordinates in `source` were reduced or, if `target` is Topaz's table,
        of those in `target`.

    Returns
    -------
    list of Picks
        What was written.

    Raises
    ------
    SettingError
        For a threshold on picks without scores, and as `write_picks`.
    FileError, NameMatchError, CryopickError
        As `read_picks` and `write_picks`.

    Examples
    --------
    >>> write_picks(Picks("a.mrc", [[10, 20], [30, 40]], [0.9, 0.4], diameter=30), "all.csv")
    >>> (kept,) = convert("all.csv", "best.box", threshold=0.5)
    >>> open("best.box").read().split()
    ['-5', '5', '30', '30']
    """
    from cryopick.runs.results import is_run, read_picks_or_run

    source, target = (checked_path(each, "convert(source, target)") for each in (source, target))
    diameter = None if diameter is None else checked_positive(diameter, "the diameter", error=SettingError)
    to_format = to_format or format_of_name(target)
    sources = None if micrographs is None else find_micrographs(micrographs, pixel_size=pixel_size)
    check_box(to_format, box)
    from_format = from_format or (None if is_run(source) else detect_format(source))
    reading, writing = conversion_factors(downsample, from_format, to_format)
    picks = read_picks_or_run(source, format=from_format, micrographs=sources, pixel_size=pixel_size, downsample=reading)
    if threshold is not None:
        picks = [_above(each, threshold) for each in picks]
    if diameter is not None:
        picks = [replace(each, diameter=diameter, diameters=None) for each in picks]
    write_picks(picks, target, format=to_format, box=box, downsample=writing)
    return picks


def finetune(
    micrographs: MicrographInputs,
    picks: Path | str | None = None,
    *,
    out: Path | str,
    diameter: float | None = None,
    pixel_size: float | None = None,
    format: str | None = None,  # noqa: A002
    downsample: float = 1.0,
    **settings: Any,
) -> "FinetuneResult":
    """Fine-tune the default picker's weights on micrographs with picked particles.

    Some of the micrographs are held out to compare the new weights with the old; the better ones are written to
    ``OUT/weights.safetensors``, for `picker("unet", weights=...)`. The same call again resumes a run that was stopped.

    Parameters
    ----------
    micrographs : micrographs as `find_micrographs` takes them, or a folder with micrographs and their picks.
    picks : a file or folder of picks in any format; omitted where `micrographs` has its own.
    out : folder for the weights.
    diameter : particle diameter in Å, or in pixels when the pixel size is unknown; the picks' own if omitted.
    pixel_size : Å per pixel; overrides the files' own.
    format : a name in `list_formats`, for the picks; recognised from the content if omitted.
    downsample : the factor by which the images of the picks' coordinates were reduced.
    settings : settings of the fine-tuning by name, for instance ``labels="partial"`` or ``loop={"steps": 300}``; an unknown one
        raises an error that lists them.

    Returns
    -------
    FinetuneResult
        The file of weights, and the scores on the held-out micrographs before and after.

    Raises
    ------
    SettingError
        For an unknown setting or an invalid value, and an `out` that holds a run with other settings.
    CryopickError
        When no micrograph with picks is left to train on.

    Examples
    --------
    >>> outcome = finetune("micrographs", "picks.star", out="tuned", diameter=180)  # doctest: +SKIP
    >>> outcome.weights, outcome.better  # doctest: +SKIP
    (PosixPath('tuned/weights.safetensors'), True)
    """
    from cryopick.config import resolve
    from cryopick.train.data.labelled import find_labelled
    from cryopick.train.finetune.supervised import FinetuneSettings, finetune_unet

    resolved = resolve(FinetuneSettings, settings)
    folder = checked_path(out, "out")
    if picks is not None:
        picks = checked_path(picks, "picks")
    found = find_labelled(micrographs, picks, diameter=diameter, pixel_size=pixel_size, format=format, downsample=downsample)
    return finetune_unet(found, resolved, folder)


def _in_memory(micrographs: MicrographInputs | Sequence[Micrograph]) -> list[Micrograph]:
    """Several micrographs that have been read; none for anything else."""
    given = micrographs if isinstance(micrographs, list | tuple) else []
    found = [each for each in given if isinstance(each, Micrograph)]
    return found if len(found) == len(given) else []


def _pick_one(made: "Picker", micrograph: Micrograph, diameter: float | None) -> Picks:
    try:
        check_fit(micrograph, diameter)
    except CryopickError as error:
        raise CryopickError(f"{micrograph.name}: {error}") from None
    return made.pick(micrograph, diameter=diameter)


def _make(name: str, preset: str | None, threshold: float | None, settings: dict[str, Any]) -> "Picker":
    given = settings if threshold is None else {**settings, "threshold": threshold}
    return make_picker(name, preset=preset, settings=given)


def _pick_on_disk(sources: list[MicrographSource], out: Path, picker: str, workers: int, options: dict[str, Any]) -> list[Picks]:
    from cryopick.runs.pick import run_picking
    from cryopick.runs.results import run_picks
    from cryopick.runs.settings import run_settings

    result = run_picking(sources, out, run_settings(picker, **options), workers=workers)
    if result.interrupted:
        raise KeyboardInterrupt
    for failed in result.failed:
        logger.warning("%s: failed and skipped (%s)", failed.name, failed.error)
    if len(result.failed) == len(sources):
        raise CryopickError(f"all {len(sources)} micrographs failed; the first: {result.failed[0].error}")
    return run_picks(out, micrographs=sources, unknown=set(), pixel_size=options["pixel_size"])


def _above(picks: Picks, threshold: float) -> Picks:
    if picks.scores is None:
        raise SettingError(f"{picks.micrograph}: its picks have no scores; omit the threshold")
    return picks[picks.scores >= threshold]
