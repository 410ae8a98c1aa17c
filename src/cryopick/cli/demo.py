"""`cryopick demo`: simulate, pick and report in one command."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.console import say
from cryopick.cli.simulate import refuse_other_folders
from cryopick.messages import counted

if TYPE_CHECKING:
    from cryopick.display.overlays import RgbImage
    from cryopick.evaluate.metrics import Evaluation, MicrographEvaluation
    from cryopick.io.micrographs.sources import MicrographSource
    from cryopick.types import Picks

PIXEL_SIZE = 2.0
DIAMETER = 180.0
SHEET_SIDE = 720
FILES = {"micrographs", "picks", "truth.star", "demo.png"}
A_GOOD_DAY = {"contrast": [1.8, 2.5], "coverage": [0.15, 0.35], "dense": 0.0, "carbon": 0.0, "empty": 0.0}
"""Settings that override those of the preset `typical`."""


def demo(
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for micrographs, picks and figures.")] = Path(
        "cryopick-demo"
    ),
    count: Annotated[int, typer.Option("--count", "-n", metavar="N", min=1, help="Number of micrographs.")] = 3,
    size: Annotated[int, typer.Option(metavar="PIXELS", min=512, help="Side of the micrographs [px].")] = 2048,
    seed: Annotated[int, typer.Option(metavar="N", help="Random seed, also of the protein.")] = 0,
) -> None:
    """Simulate micrographs, pick them and show the result.

    The micrographs show a random protein. The picks are scored against the ground truth.
    """
    from cryopick.parallel.process import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from cryopick.cli.picking import run_with_progress
    from cryopick.display.overlays import contact_sheet, write_png
    from cryopick.evaluate import evaluate_picks
    from cryopick.io.picks.formats import read_picks, write_picks
    from cryopick.report.page import write_report
    from cryopick.report.truth import compare_with_truth
    from cryopick.runs.settings import run_settings
    from cryopick.simulate.micrograph import micrograph_name

    refuse_other_folders(out, {micrograph_name(seed, index) for index in range(count)}, files=FILES)
    say(f"simulating {counted(count, 'micrograph')} of {size:,} × {size:,} pixels")
    sources, truth = _simulate(out / "micrographs", count=count, size=size, seed=seed)
    write_picks(truth, out / "truth.star", format="star")
    diameter = float(round(truth[0].diameter or DIAMETER))
    workers = min(available_cores(), count)
    result = run_with_progress(sources, out / "picks", run_settings(diameter=diameter), workers=workers, overwrite=True)
    if result.interrupted or result.failed:
        raise typer.Exit(1)
    picks = read_picks(out / "picks" / "particles.star", micrographs=sources)
    evaluation = evaluate_picks(picks, truth, border=diameter / PIXEL_SIZE / 2)
    images = [_drawn(source, one) for source, one in zip(sources, evaluation.per_micrograph, strict=True)]
    write_png(
        contact_sheet(images, [_caption(one) for one in evaluation.per_micrograph], columns=min(3, count)), out / "demo.png"
    )
    page = write_report(out / "picks", comparison=compare_with_truth(out / "picks", out / "truth.star"))
    _print_result(evaluation, out, page, diameter)


def _simulate(folder: Path, *, count: int, size: int, seed: int) -> "tuple[list[MicrographSource], list[Picks]]":
    """Simulate micrographs of one protein; return them and their true particles."""
    import torch

    from cryopick.config import load_preset, resolve
    from cryopick.io.micrographs.files import write_micrograph
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.randomness import generator
    from cryopick.simulate import FixedStructures, SimulationSettings, pseudo_protein, simulate_micrograph

    torch.set_num_threads(1)
    settings = resolve(SimulationSettings, load_preset("simulate", "typical"), A_GOOD_DAY)
    protein = FixedStructures([pseudo_protein(generator(seed, "demo"), diameter=DIAMETER)])
    truth, paths = [], []
    for index in range(count):
        made = simulate_micrograph(
            seed=seed, index=index, size=size, pixel_size=PIXEL_SIZE, settings=settings, structures=protein
        )
        paths.append(folder / made.micrograph.name)
        write_micrograph(paths[-1], made.micrograph.pixels, pixel_size=PIXEL_SIZE)
        truth.append(made.truth)
    return find_micrographs(paths), truth


def _drawn(source: "MicrographSource", one: "MicrographEvaluation") -> "RgbImage":
    from cryopick.display.overlays import GREEN, MAGENTA, ORANGE, Marks, draw

    right, false = one.found.where(one.match.pairs[:, 0]), one.found.where(one.match.extra)
    missed = one.truth.where(one.match.missed)
    marks = [Marks(right, GREEN), Marks(false, ORANGE), Marks(missed, MAGENTA, cross=True)]
    return draw(source.read(), marks, longest_side=SHEET_SIDE)


def _caption(one: "MicrographEvaluation") -> str:
    counts = len(one.match.pairs), len(one.match.extra), len(one.match.missed)
    return "{} correct (green), {} false (orange), {} missed (crosses)".format(*counts)


def _print_result(evaluation: "Evaluation", out: Path, page: Path, diameter: float) -> None:
    scores = f"precision {evaluation.precision:.3f}, recall {evaluation.recall:.3f}, F1 {evaluation.f1:.3f}"
    say(f"{scores} against the ground truth")
    say(f"(a pick is correct within half the diameter of {diameter:g} Å; particles that close to an edge do not count)")
    say(f"figure: {out / 'demo.png'}")
    say(f"report: {page}")
    say(f"files for RELION and CryoSPARC: {out / 'picks'}")
