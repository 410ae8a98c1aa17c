"""`cryopick check`: faults of micrographs and files of picks, with their remedies."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import Downsample
from cryopick.cli.console import say
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.io.check import CheckResult
    from cryopick.io.micrographs.sources import MicrographSource


def check(
    files: Annotated[
        list[str], typer.Argument(metavar="FILE", help="Micrographs (files, folders, patterns, lists) or files of picks.")
    ],
    micrographs: Annotated[
        list[str] | None, typer.Option(metavar="INPUT", help="Micrographs of the picks, to check names and edges; repeatable.")
    ] = None,
    downsample: Downsample = 1.0,
) -> None:
    """Check micrographs and files of picks for faults.

    The exit code is 1 if any file has a fault.
    """
    from cryopick.io.micrographs.sources import find_micrographs

    known = find_micrographs(micrographs) if micrographs else None
    count = faulty = 0
    for given in files:
        for name, examination in _examine(given, known, downsample):
            _show(name, examination)
            count += 1
            faulty += bool(examination.faults)
    say(f"{counted(count, 'file')} checked, {faulty:,} with faults")
    raise typer.Exit(1 if faulty else 0)


def _examine(given: str, known: "list[MicrographSource] | None", downsample: float) -> "Iterator[tuple[str, CheckResult]]":
    from cryopick.errors import CryopickError, SettingError
    from cryopick.io.check import CheckResult, check_micrograph, check_picks
    from cryopick.io.micrographs.sources import list_micrographs
    from cryopick.runs.results import is_run

    path = Path(given)
    if is_run(path):
        if downsample != 1:
            raise SettingError(f"{path}: --downsample does not apply to runs; give its particles.star if its images were reduced")
        yield given, _examine_run(path, known)
        return
    holds_picks = _holds_picks(path)
    if holds_picks:
        yield given, check_picks(path, micrographs=known, downsample=downsample)
        if not path.is_dir():
            return
    try:
        sources = list_micrographs([given])
    except CryopickError as fault:
        if not holds_picks:
            yield given, CheckResult((fault,))
        return
    for source in sources:
        yield str(source.path), check_micrograph(source.path, pixel_size=source.pixel_size)


def _examine_run(path: Path, known: "list[MicrographSource] | None") -> "CheckResult":
    from cryopick.errors import CryopickError
    from cryopick.io.check import CheckResult, check_read_picks
    from cryopick.runs.results import run_picks

    try:
        return check_read_picks(run_picks(path, micrographs=known), path, "run of cryopick")
    except CryopickError as fault:
        return CheckResult((fault,))


def _holds_picks(path: Path) -> bool:
    """Return whether a file holds picks, by its content or by a suffix that micrographs and lists of them do not have."""
    from cryopick.errors import FileError
    from cryopick.io.micrographs.files import suffix_kind
    from cryopick.io.micrographs.sources import LISTING_SUFFIXES
    from cryopick.io.picks.formats import detect_format, formats_by_suffix
    from cryopick.io.tables.cryosparc import lists_exposures

    if not path.exists() or suffix_kind(path) or lists_exposures(path):
        return False
    try:
        detect_format(path)
    except FileError:
        return path.suffix.lower() in formats_by_suffix().keys() - LISTING_SUFFIXES
    return True


def _show(name: str, examination: "CheckResult") -> None:
    from cryopick.errors import FileError

    count = len(examination.faults)
    say(f"{name}: " + (counted(count, "fault") if count else "good"))
    for fault in examination.faults:
        text = f"{fault.found}. {fault.remedy}" if isinstance(fault, FileError) else str(fault)
        typer.secho(f"  fault: {text}", fg="red")
    for note in examination.notes:
        typer.secho(f"  note: {note}", fg="yellow")
    for fact, text in examination.facts.items():
        say(f"  {fact}: {text}")
