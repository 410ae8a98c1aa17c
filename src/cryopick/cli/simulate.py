"""`cryopick simulate`: labelled micrographs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.console import Progress, say
from cryopick.messages import counted, listed

if TYPE_CHECKING:
    from cryopick.simulate.dataset import DatasetEntry

GALLERY_SIZE = 24
FILES = {"micrographs", "ground_truth", "contact_sheet.png", "gallery.png"}


def simulate(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the data set; it may hold an earlier simulation.")],
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="Number of micrographs.")] = 10,
    size: Annotated[int, typer.Option(metavar="PIXELS", min=64, help="Side of the micrographs [px].")] = 4096,
    pixel_size: Annotated[float, typer.Option(metavar="ANGSTROM", min=0.1, help="Pixel size [Å].")] = 1.0,
    structures: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Structures: random, a pseudo-protein such as barrel-D7, or a file or folder of models."
        ),
    ] = "random",
    preset: Annotated[
        str, typer.Option(metavar="NAME", help="Preset: easy, typical, hard, carbon, resolution or training.")
    ] = "typical",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Setting, such as 'diameter=[100, 200]'; repeatable.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Random seed.")] = 0,
    workers: Annotated[int | None, typer.Option(metavar="N", min=1, help="Number of processes.  [default: all cores]")] = None,
    gallery: Annotated[bool, typer.Option("--gallery", help="Only draw the structures into OUT/gallery.png.")] = False,
) -> None:
    """Simulate micrographs with known particles.

    The micrographs and their ground truth are laid out like a CryoPPP data set.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from functools import partial

    from cryopick.config import load_preset, parse_words, resolve
    from cryopick.parallel.pool import run_tasks
    from cryopick.simulate import SimulationSettings
    from cryopick.simulate.dataset import DatasetSpec, DatasetWriter, finish_dataset
    from cryopick.simulate.micrograph import micrograph_name

    settings = resolve(SimulationSettings, load_preset("simulate", preset), parse_words(setting or []))
    source = _source(structures)
    if gallery:
        _draw_gallery(out / "gallery.png", source, seed=seed, diameter=settings.diameter)
        return
    refuse_other_folders(out, {micrograph_name(seed, index) for index in range(count)}, files=FILES)
    recipe = DatasetSpec(seed, size, pixel_size, settings, source)
    tasks = run_tasks(
        range(count), partial(DatasetWriter, out, recipe), workers=min(workers or available_cores(), count), lost=_lost
    )
    written: list[DatasetEntry] = []
    with Progress("simulating", count) as progress:
        written.extend(progress.track(tasks))
    finish_dataset(out, written)
    _print_result(written, out)


def _source(structures: str) -> Path | str | None:
    """Return the source of structures, as in `DatasetSpec`; anything but `random` or a path must name a pseudo-protein."""
    from cryopick.simulate.sources import kind_and_symmetry

    if structures == "random":
        return None
    path = Path(structures)
    if path.exists() or len(path.parts) > 1 or path.suffix:
        return path
    kind_and_symmetry(structures)
    return structures


def _draw_gallery(path: Path, source: Path | str | None, *, seed: int, diameter: tuple[float, float]) -> None:
    import numpy as np

    from cryopick.display.overlays import write_png
    from cryopick.simulate import random_structures
    from cryopick.simulate.gallery import gallery
    from cryopick.simulate.sources import OnePseudoProtein
    from cryopick.simulate.structure_files import read_structure, structure_paths

    if source is None:
        structures = random_structures(GALLERY_SIZE, seed=seed, diameter=diameter)
    elif isinstance(source, str):
        structures = [OnePseudoProtein(source, seed=seed).draw(np.random.default_rng(seed), diameter)]
    else:
        structures = [read_structure(path) for path in structure_paths(source)]
    write_png(gallery(structures, seed=seed), path)
    say(f"{counted(len(structures), 'structure')}: {path}")


def refuse_other_folders(out: Path, names: set[str], *, files: set[str]) -> None:
    """Raise `SettingError` if `out` holds anything but `files`, or micrographs that are not among `names`."""
    from cryopick.errors import SettingError
    from cryopick.files import is_temporary

    if out.exists() and (not out.is_dir() or any(not is_temporary(one.name) for one in out.iterdir() if one.name not in files)):
        raise SettingError(f"{out} holds other files; choose another --out")
    others = sorted({path.name for path in (out / "micrographs").glob("[!.]*.mrc")} - names)
    if others:
        raise SettingError(
            f"{out} holds micrographs of another simulation ({listed(others)}); choose another --out or remove the folder"
        )


def _lost(index: int, reason: str) -> "DatasetEntry":
    from cryopick.errors import CryopickError

    raise CryopickError(f"micrograph {index} could not be simulated: {reason}; if memory is short, use fewer --workers")


def _print_result(written: "list[DatasetEntry]", out: Path) -> None:
    particles = sum(len(one.truth) for one in written)
    say(f"{counted(len(written), 'micrograph')}, {counted(particles, 'particle')}: {out / 'micrographs'}")
    say(f"ground truth as CryoPPP CSV, STAR and COCO: {out / 'ground_truth'}")
    say(f"contact sheet: {out / 'contact_sheet.png'}")
