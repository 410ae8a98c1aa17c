"""`cryopick resolution`: map resolution that picks reach."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.console import say, warn

if TYPE_CHECKING:
    from cryopick.resolution.half_maps import OrientedMicrograph
    from cryopick.resolution.relion import Stage
    from cryopick.types import Picks

TRUTH = "truth"


def resolution(
    simulated: Annotated[Path, typer.Argument(metavar="SIMULATED", help="Folder of `cryopick simulate`.")],
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for tables, figures and maps.")],
    picks: Annotated[
        list[str] | None, typer.Option(metavar="NAME=PATH", help="Picks in any format and their name; repeatable.")
    ] = None,
    symmetry: Annotated[str, typer.Option(metavar="GROUP", help="Symmetry of the structure: Cn, Dn, T, O or I.")] = "C1",
    relion: Annotated[bool, typer.Option("--relion", help="Process all picks with RELION 3.1 too; takes hours.")] = False,
    threads: Annotated[int, typer.Option(metavar="N", min=1, help="Number of threads of RELION's programs.")] = 2,
    seed: Annotated[
        int, typer.Option(metavar="N", min=0, help="Random seed of the half-sets and of the orientations of false picks.")
    ] = 0,
) -> None:
    """Measure the map resolution that picks reach.

    Picked particles of simulated micrographs are reconstructed in two halves, whose agreement gives the resolution. The first
    row is that of the ground truth, the best possible result on these micrographs.
    """
    from cryopick.errors import SettingError
    from cryopick.io.volumes import write_map
    from cryopick.resolution.half_maps import read_oriented, reconstruct_picks
    from cryopick.resolution.relion import missing_programs
    from cryopick.resolution.tables import draw_correlations, draw_directions, draw_slices, write_tables

    if relion and (missing := missing_programs()):
        raise SettingError(f"--relion needs RELION 3.1 ({', '.join(missing)} not found); install it or omit --relion")
    micrographs = read_oriented(simulated)
    entries = {TRUTH: [one.truth for one in micrographs], **_read(picks or [], micrographs)}
    found = [reconstruct_picks(name, each, micrographs, symmetry=symmetry, seed=seed) for name, each in entries.items()]
    for one in found:
        for half, density in enumerate((one.as_picked.first, one.as_picked.second), 1):
            write_map(out / "maps" / f"{one.name}_half{half}.mrc", density, voxel_size=one.voxel_size)
    draw_correlations(found, out / "fsc.png")
    draw_slices(found, out / "slices.png")
    draw_directions(found, out / "orientations.png")
    say(write_tables(found, out).rstrip("\n"))
    if relion:
        refined = {name: _refine(out / "relion" / name, each, micrographs, symmetry, threads) for name, each in entries.items()}
        say(write_tables(found, out, relion=refined).rstrip("\n"))
    say(f"tables, figures and half-maps: {out}")


def _read(words: list[str], micrographs: "list[OrientedMicrograph]") -> "dict[str, list[Picks]]":
    from cryopick.errors import SettingError
    from cryopick.runs.results import read_picks_or_run

    sources = [one.source for one in micrographs]
    found: dict[str, list[Picks]] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (equals and path) or not name.replace("-", "").replace("_", "").isalnum():
            raise SettingError(f"--picks must be NAME=PATH with a name of letters, digits, - and _, got {word}")
        if name in {TRUTH, *found}:
            raise SettingError(f"--picks {word}: the name {name} is used twice; choose another")
        found[name] = read_picks_or_run(Path(path), micrographs=sources)
    return found


def _refine(project: Path, picks: "list[Picks]", micrographs: "list[OrientedMicrograph]", symmetry: str, threads: int) -> float:
    """Run RELION and return its resolution [Å]; infinite, with a warning, if a stage failed."""
    from cryopick.errors import CryopickError
    from cryopick.resolution.relion import RelionSettings, run_stages, stages, write_project

    def report(stage: "Stage", skipped: bool) -> None:
        say(f"{project.name}: {stage.name}{', finished earlier' if skipped else f': {stage.command}'}")

    todo = stages(micrographs, symmetry=symmetry, settings=RelionSettings(threads=threads))
    write_project(project, picks, micrographs)
    try:
        return run_stages(project, todo, on_stage=report)
    except CryopickError as error:
        warn(error)
        return float("inf")
