"""What a review leaves: picks in any format beside the untouched originals, what is bad, and labels to learn from."""

import csv
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cryopick.errors import SettingError
from cryopick.files import write_text
from cryopick.io.datasets.cryoppp import BadArea, DatasetFolder, write_areas
from cryopick.io.picks.base import text_file
from cryopick.io.picks.formats import FORMATS, place_in, write_picks
from cryopick.review.session import Review

LABELS = "labels"
COLUMNS = ["name", "path", "state", "picks", "found", "taken_away", "set_by_hand", "threshold"]


@dataclass(frozen=True)
class Labels:
    """A data set of reviewed micrographs in CryoPPP's layout.

    Attributes
    ----------
    micrographs, particles : how many there are.
    """

    folder: Path
    micrographs: int
    particles: int


def write_result(review: Review, name: str = "star") -> Path:
    """Write the picks that are left in one format, bad micrographs left out, and the tables that go with them.

    ``picks.star`` is the format "star"; others get a folder of their own, which is made anew. Beside them lie ``areas.json``
    with the bad areas and ``micrographs.csv`` with a row for each micrograph. Raises `CryopickError` when the format cannot hold
    these picks.
    """
    FORMATS.get(name)
    good = [index for index in range(len(review.subjects)) if not review.sheet(index).state.bad]
    picks = (review.result(index) for index in good)
    if name == "star":
        place = review.folder / "picks.star"
    else:
        own = review.folder / name
        shutil.rmtree(own, ignore_errors=True)
        place = place_in(own, "picks", format=name)
    write_picks(picks, place, format=name)
    write_tables(review)
    return place


def write_tables(review: Review) -> None:
    """Write ``areas.json`` and ``micrographs.csv``."""
    areas = {subject.source.name: _areas(review, index) for index, subject in enumerate(review.subjects)}
    write_areas({name: each for name, each in areas.items() if each}, review.folder / "areas.json")
    with text_file(review.folder / "micrographs.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for index in range(len(review.subjects)):
            table.writerow(_row(review, index))


def write_labels(review: Review) -> Labels:
    """Write the reviewed micrographs, as links, with particles, false picks and bad areas, as a data set to learn from.

    The data set is made anew. Bad micrographs and those that nobody has marked as reviewed are not in it. Raises `SettingError`
    when none is left.
    """
    chosen = [index for index in range(len(review.subjects)) if _is_truth(review, index)]
    if not chosen:
        raise SettingError("no micrograph is marked as reviewed; mark at least one first")
    folder = DatasetFolder(review.folder / LABELS)
    shutil.rmtree(folder.root, ignore_errors=True)
    folder.micrographs.mkdir(parents=True)
    particles = 0
    areas = {Path(review.subjects[index].source.name).name: _areas(review, index) for index in chosen}
    write_areas({name: each for name, each in areas.items() if each}, folder.areas)
    for index in chosen:
        source = review.subjects[index].source
        name = Path(source.name).name
        (folder.micrographs / name).symlink_to(source.path.resolve())
        truth, rejected = review.result(index), review.sheet(index).rejected()
        particles += len(truth)
        write_picks([replace(truth, micrograph=name)], folder.coordinates, format="cryoppp")
        write_picks([replace(rejected, micrograph=name)], folder.false_positives, format="cryoppp")
    return Labels(folder.root, len(chosen), particles)


def labelled_names(review: Review) -> set[str]:
    """Names of the micrographs in the labels that were written last, so that others are known to be new to what they taught."""
    folder = DatasetFolder(review.folder / LABELS).micrographs
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {subject.source.name for subject in review.subjects if Path(subject.source.name).name in present}


def training_commands(review: Review, reviewed: Path) -> list[str]:
    """The way from corrections to better picks, as commands to type: learn, pick again, compare."""
    picks = review.subjects[0].picks
    run = review.folder / "finetuned"
    again = reviewed.with_name(f"{reviewed.name}-finetuned")
    size = f" --diameter {picks.diameter:g}" if picks.diameter else ""
    scale = f" --pixel-size {picks.pixel_size:g}" if picks.pixel_size else ""
    weights = shlex.quote(str(run / "weights.safetensors"))
    labels = shlex.quote(str(review.folder / LABELS))
    return [
        f"cryopick finetune {labels} --complete --out {shlex.quote(str(run))}{size}{scale}",
        f"cryopick pick {_inputs(review)} --picker segnet --weights {weights}{size}{scale} --out {shlex.quote(str(again))}",
        f"cryopick review {shlex.quote(str(reviewed))} --compare {shlex.quote(str(again))}",
    ]


def _is_truth(review: Review, index: int) -> bool:
    state = review.sheet(index).state
    return state.reviewed and not state.bad


def _areas(review: Review, index: int) -> list[BadArea]:
    return [BadArea(area.radius, area.points) for area in review.sheet(index).state.areas.values()]


def _inputs(review: Review) -> str:
    """What to give `cryopick pick` for the same micrographs: their folder, or a list where they lie in several."""
    folders = {subject.source.path.parent for subject in review.subjects}
    if len(folders) == 1:
        return shlex.quote(str(folders.pop()))
    listed = review.folder / "micrographs.txt"
    write_text(listed, "".join(f"{subject.source.path.resolve()}\n" for subject in review.subjects))
    return shlex.quote(str(listed))


def _row(review: Review, index: int) -> list[object]:
    subject, sheet = review.subjects[index], review.sheet(index)
    state = sheet.state
    threshold = review.threshold if state.threshold is None else state.threshold
    word = "bad" if state.bad else "reviewed" if state.reviewed else "edited" if sheet.touched else "untouched"
    by_hand = int((state.by_hand & state.present).sum())
    kept = 0 if state.bad else len(review.result(index))
    found = len(sheet.original)
    return [subject.source.name, subject.source.path, word, kept, found, len(sheet.rejected()), by_hand, threshold]
