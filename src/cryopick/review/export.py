"""The results of a review: corrected picks in any format, tables, bad areas, and labels for training."""

import csv
import logging
import shlex
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.files import write_text
from cryopick.io.datasets.cryoppp import BadArea, DatasetFolder, write_areas
from cryopick.io.picks.base import text_file
from cryopick.io.picks.formats import FORMATS, place_in, write_picks
from cryopick.io.tables.star import quoted_column
from cryopick.review.session import Review
from cryopick.runs.records import recorded

logger = logging.getLogger(__name__)
LABELS = "labels"
COLUMNS = ["name", "path", "state", "picks", "found", "taken_away", "set_by_hand", "threshold"]


@dataclass(frozen=True)
class LabelledDataset:
    """A training data set of reviewed micrographs in CryoPPP's layout.

    Attributes
    ----------
    folder : folder of the data set.
    micrographs, particles : their numbers.
    """

    folder: Path
    micrographs: int
    particles: int


def write_result(review: Review, name: str = "star") -> Path:
    """Write the kept picks in one format, without bad micrographs, and the tables of the review; return the path of the picks.

    The format "star" is written to ``picks.star``; any other to a folder of its own, which is replaced. ``areas.json`` holds the
    bad areas, and ``micrographs.csv`` has a row per micrograph. Raises `CryopickError` if the format cannot hold these picks.
    """
    FORMATS.get(name)
    good = [index for index in range(len(review.micrographs)) if not review.edited_picks(index).state.bad]
    good = [index for index in good if name != "star" or _fits_star(review.micrographs[index].source.name)]
    picks = (review.result(index) for index in good)
    if name == "star":
        place = review.folder / "picks.star"
    else:
        own = review.folder / name
        _remove_folder(own)
        place = place_in(own, "picks", format=name)
    write_picks(picks, place, format=name)
    write_tables(review)
    return place


def _fits_star(name: str) -> bool:
    """Return whether a STAR file can hold a micrograph's name; a warning says that its picks are not written where it cannot."""
    try:
        quoted_column([name])
    except CryopickError as error:
        logger.warning("the picks of one micrograph are not written: %s", error)
        return False
    return True


def write_tables(review: Review) -> None:
    """Write ``areas.json`` and ``micrographs.csv``."""
    areas = {recorded(each.source.name): _areas(review, index) for index, each in enumerate(review.micrographs)}
    write_areas({name: each for name, each in areas.items() if each}, review.folder / "areas.json")
    with text_file(review.folder / "micrographs.csv") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for index in range(len(review.micrographs)):
            table.writerow(_row(review, index))


def write_labels(review: Review) -> LabelledDataset:
    """Write a data set for training: links to the reviewed micrographs, their particles, false positives and bad areas.

    An earlier data set is replaced. Bad micrographs are excluded. Raises `SettingError` if no micrograph is reviewed.
    """
    chosen = [index for index in range(len(review.micrographs)) if _is_truth(review, index)]
    if not chosen:
        raise SettingError("no micrograph is marked as reviewed; mark at least one first")
    folder = DatasetFolder(review.folder / LABELS)
    _remove_folder(folder.root)
    folder.micrographs.mkdir(parents=True)
    particles = 0
    areas = {Path(review.micrographs[index].source.name).name: _areas(review, index) for index in chosen}
    write_areas({name: each for name, each in areas.items() if each}, folder.areas)
    for index in chosen:
        source = review.micrographs[index].source
        name = Path(source.name).name
        (folder.micrographs / name).symlink_to(source.path.resolve())
        truth, rejected = review.result(index), review.edited_picks(index).rejected()
        particles += len(truth)
        write_picks([replace(truth, micrograph=name)], folder.coordinates, format="cryoppp")
        write_picks([replace(rejected, micrograph=name)], folder.false_positives, format="cryoppp")
    return LabelledDataset(folder.root, len(chosen), particles)


def _remove_folder(folder: Path) -> None:
    """Remove a folder of earlier results. Raises `FileError` for a link, through which nothing is written or removed."""
    if folder.is_symlink():
        raise FileError(folder, "is a link", "Remove it; a review writes nowhere else than in its folder")
    shutil.rmtree(folder, ignore_errors=True)


def labelled_names(review: Review) -> set[str]:
    """Return the names of the micrographs in the labels that were written last."""
    folder = DatasetFolder(review.folder / LABELS).micrographs
    present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    return {each.source.name for each in review.micrographs if Path(each.source.name).name in present}


def training_commands(review: Review, reviewed: Path) -> list[str]:
    """Return the commands that lead from corrections to better picks: fine-tune, pick again, compare."""
    picks = review.micrographs[0].picks
    run = review.folder / "finetuned"
    again = reviewed.with_name(f"{reviewed.name}-finetuned")
    size = f" --diameter {picks.diameter:g}" if picks.diameter else ""
    scale = f" --pixel-size {picks.pixel_size:g}" if picks.pixel_size else ""
    weights = shlex.quote(str(run / "weights.safetensors"))
    labels = shlex.quote(str(review.folder / LABELS))
    return [
        f"cryopick finetune {labels} --complete --out {shlex.quote(str(run))}{size}{scale}",
        f"cryopick pick {_inputs(review)} --picker unet --weights {weights}{size}{scale} --out {shlex.quote(str(again))}",
        f"cryopick review {shlex.quote(str(reviewed))} --compare {shlex.quote(str(again))}",
    ]


def _is_truth(review: Review, index: int) -> bool:
    state = review.edited_picks(index).state
    return state.reviewed and not state.bad


def _areas(review: Review, index: int) -> list[BadArea]:
    return [BadArea(area.radius, area.points) for area in review.edited_picks(index).state.areas.values()]


def _inputs(review: Review) -> str:
    """Return the argument of `cryopick pick` for the same micrographs: their folder, or a list if they are in several."""
    folders = {each.source.path.parent for each in review.micrographs}
    if len(folders) == 1:
        return shlex.quote(str(folders.pop()))
    listed = review.folder / "micrographs.txt"
    write_text(listed, "".join(f"{each.source.path.resolve()}\n" for each in review.micrographs))
    return shlex.quote(str(listed))


def _row(review: Review, index: int) -> list[object]:
    source, edited = review.micrographs[index].source, review.edited_picks(index)
    state = edited.state
    threshold = review.threshold if state.threshold is None else state.threshold
    word = "bad" if state.bad else "reviewed" if state.reviewed else "edited" if edited.was_edited else "untouched"
    by_hand = int((state.by_hand & state.present).sum())
    kept = 0 if state.bad else len(review.result(index))
    found = len(edited.original)
    return [source.name, source.path, word, kept, found, len(edited.rejected()), by_hand, threshold]
