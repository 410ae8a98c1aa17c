"""`cryopick resolution`: what picks are worth in Å."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.resolution.half_maps import OrientedMicrograph
    from cryopick.resolution.relion import Stage
    from cryopick.types import Picks

TRUTH = "truth"


def resolution(
    simulated: Annotated[Path, typer.Argument(metavar="SIMULATED_DIR", help="Folder that `cryopick simulate` wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for tables, figures and maps.")],
    picks: Annotated[list[str] | None, typer.Option(metavar="NAME=PATH", help="Picks of any program and format; repeat.")] = None,
    symmetry: Annotated[str, typer.Option(help="Of the structure: Cn, Dn, T, O or I.")] = "C1",
    relion: Annotated[bool, typer.Option("--relion", help="Send all picks through RELION 3.1 as well; takes hours.")] = False,
    threads: Annotated[int, typer.Option(min=1, help="Of RELION's programs.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Of the halves and of false picks' orientations.")] = 0,
) -> None:
    """Say what picks are worth in Å.

    The particles that were picked on simulated micrographs are reconstructed, and the halves compared.

    The truth's own picks are the first row: no picker can do better on these micrographs.
    """
    from cryopick.errors import SettingError
    from cryopick.io.volumes import write_map
    from cryopick.resolution.half_maps import read_oriented, reconstruct_picks
    from cryopick.resolution.relion import missing_programs
    from cryopick.resolution.tables import draw_correlations, draw_directions, draw_slices, write_tables

    if relion and (missing := missing_programs()):
        raise SettingError(f"RELION 3.1 is not installed ({', '.join(missing)} not found); leave out --relion, or install it")
    micrographs = read_oriented(simulated)
    entries = {TRUTH: [one.truth for one in micrographs], **_read(picks or [], micrographs)}
    found = [reconstruct_picks(name, each, micrographs, symmetry=symmetry, seed=seed) for name, each in entries.items()]
    for one in found:
        for half, density in enumerate((one.as_picked.first, one.as_picked.second), 1):
            write_map(out / "maps" / f"{one.name}_half{half}.mrc", density, voxel_size=one.voxel_size)
    draw_correlations(found, out / "fsc.png")
    draw_slices(found, out / "slices.png")
    draw_directions(found, out / "orientations.png")
    typer.echo(write_tables(found, out), nl=False)
    if relion:
        refined = {name: _refine(out / "relion" / name, each, micrographs, symmetry, threads) for name, each in entries.items()}
        typer.echo(write_tables(found, out, relion=refined), nl=False)
    typer.echo(f"tables, figures and half-maps: {out}")


def _read(words: list[str], micrographs: "list[OrientedMicrograph]") -> "dict[str, list[Picks]]":
    from cryopick.errors import SettingError
    from cryopick.runs.results import read_picks_or_run

    sources = [one.source for one in micrographs]
    found: dict[str, list[Picks]] = {}
    for word in words:
        name, equals, path = word.partition("=")
        if not (equals and path) or not name.replace("-", "").replace("_", "").isalnum():
            raise SettingError(f"--picks {word}: write NAME=PATH, the name of letters, digits, - and _")
        if name in {TRUTH, *found}:
            raise SettingError(f"--picks {word}: there is a row called {name} already; give another name")
        found[name] = read_picks_or_run(Path(path), micrographs=sources)
    return found


def _refine(project: Path, picks: "list[Picks]", micrographs: "list[OrientedMicrograph]", symmetry: str, threads: int) -> float:
    """RELION's resolution in Å; infinite, with a line on stderr, where a stage failed."""
    from cryopick.errors import CryopickError
    from cryopick.resolution.relion import RelionSettings, run_stages, stages, write_project

    def tell(stage: "Stage", skipped: bool) -> None:
        typer.echo(f"{project.name}: {stage.name}{', done before' if skipped else f': {stage.command}'}")

    write_project(project, picks, micrographs)
    try:
        return run_stages(
            project, stages(micrographs, symmetry=symmetry, settings=RelionSettings(threads=threads)), on_stage=tell
        )
    except CryopickError as error:
        typer.echo(f"cryopick: {error}", err=True)
        return float("inf")
