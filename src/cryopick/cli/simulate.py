"""`cryopick simulate`: labelled micrographs without end."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.simulate.dataset import DatasetEntry

GALLERY_SIZE = 24


def simulate(
    out: Annotated[Path, typer.Option(help="Folder to write; a new one, or one of an earlier `simulate`.")],
    count: Annotated[int, typer.Option("-n", min=1, help="Number of micrographs.")] = 10,
    size: Annotated[int, typer.Option(min=64, help="Their side in pixels.")] = 4096,
    pixel_size: Annotated[float, typer.Option(min=0.1, help="Å per pixel.")] = 1.0,
    structures: Annotated[
        str, typer.Option(help="Folder or file of models and maps, `random`, or one pseudo-protein as `barrel-D7`.")
    ] = "random",
    preset: Annotated[str, typer.Option(help="easy, typical, hard, carbon, resolution or training.")] = "typical",
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting, e.g. 'diameter=[100, 200]'.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same micrographs.")] = 0,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; as many as there are cores unless given.")] = None,
    gallery: Annotated[bool, typer.Option("--gallery", help="Only draw what the particles look like.")] = False,
) -> None:
    """Simulate micrographs whose particles are known.

    They are written with their truth, in CryoPPP's layout.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
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
    _refuse_other_folders(out, {micrograph_name(seed, index) for index in range(count)})
    recipe = DatasetSpec(seed, size, pixel_size, settings, source)
    tasks = run_tasks(
        range(count), partial(DatasetWriter, out, recipe), workers=min(workers or available_cores(), count), lost=_lost
    )
    written: list[DatasetEntry] = []
    with typer.progressbar(tasks, length=count, label="simulating") as results:
        written.extend(results)
    finish_dataset(out, written)
    _tell(written, out)


def _source(structures: str) -> Path | str | None:
    """As in `DatasetSpec`. What is neither random nor a file must name a pseudo-protein, or look like a path."""
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
    typer.echo(f"{len(structures)} structures: {path}")


def _refuse_other_folders(out: Path, names: set[str]) -> None:
    """Raises `SettingError` where `out` holds other things than data sets have, or micrographs that are not among `names`."""
    from cryopick.errors import SettingError

    ours = {"micrographs", "ground_truth", "contact_sheet.png", "gallery.png"}
    if out.exists() and (not out.is_dir() or {entry.name for entry in out.iterdir()} - ours):
        raise SettingError(f"{out} holds something else; give another --out")
    others = sorted({path.name for path in (out / "micrographs").glob("[!.]*.mrc")} - names)
    if others:
        raise SettingError(
            f"{out} holds {others[0]}{f' and {len(others) - 1} more' if others[1:] else ''}, which this run would not write nor "
            "list; give another --out, or remove the folder"
        )


def _lost(index: int, reason: str) -> "DatasetEntry":
    from cryopick.errors import CryopickError

    raise CryopickError(f"micrograph {index} could not be simulated: {reason}; with less memory, give fewer --workers")


def _tell(written: "list[DatasetEntry]", out: Path) -> None:
    particles = sum(len(one.truth) for one in written)
    typer.echo(f"{len(written)} micrographs, {particles:,} particles: {out / 'micrographs'}")
    typer.echo(f"the truth as CryoPPP CSV, STAR and COCO: {out / 'ground_truth'}")
    typer.echo(f"to look at: {out / 'contact_sheet.png'}")
