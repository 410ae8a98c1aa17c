"""`cryopick benchmark`: pickers next to their rivals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.benchmark.entrants import Entrant
    from cryopick.benchmark.results import Result
    from cryopick.benchmark.sets import BenchmarkSet


def benchmark(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA...", help="Folders with micrographs/ and truth/, or YAML lists of sets.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for results; what is there and still true is kept.")] = Path("benchmark"),
    simulated: Annotated[
        str | None, typer.Option(metavar="SCALE", help="Also the simulated sets, easy to hard: tiny, small or full.")
    ] = None,
    pickers: Annotated[
        str, typer.Option(metavar="NAME[:PRESET],...", help="Pickers of this package; empty for none.")
    ] = "log,segnet,transformer",
    picks: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Picks of any program and format; {set} in PATH is the set's name; repeat."),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=EXECUTABLE]", help="Run topaz, relion-log or relion-template where installed; repeat."),
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Class averages or a map, for template and relion-template.", exists=True)
    ] = None,
    published: Annotated[Path | None, typer.Option(help="YAML list of published figures to print beside ours.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes of each picker that can use several.")] = 1,
) -> None:
    """Measure pickers and other programs on labelled micrographs: accuracy by both protocols, time and memory."""
    from cryopick.distributed.threads import one_thread_for_children

    one_thread_for_children()
    import shlex
    import sys

    from cryopick.benchmark.results import read_results, run_all
    from cryopick.benchmark.tables import all_tables, read_published, write_tables
    from cryopick.errors import SettingError

    figures = read_published(published) if published else []
    entrants = _entrants(pickers, picks or [], run or [], references)
    tasks = _sets(data or [], simulated, out)
    if not tasks or not entrants:
        raise SettingError("give DATA or --simulated, and at least one of --pickers, --picks and --run")
    command = shlex.join(["cryopick", *sys.argv[1:]])
    for result, kept in run_all(entrants, tasks, out, workers=workers, command=command, on_skip=_tell_skipped):
        _tell(result, kept)
    results = read_results(out)
    if not results:
        raise typer.Exit(1)
    tables = all_tables(results, figures)
    write_tables(tables, out / "tables")
    _draw(results, tasks, out)
    for table in tables.values():
        typer.echo(f"\n{table.title}\n\n{table.markdown()}", nl=False)
    typer.echo(f"\ntables as Markdown, CSV and LaTeX: {out / 'tables'}")


def _entrants(pickers: str, picks: list[str], programs: list[str], references: Path | None) -> "list[Entrant]":
    from cryopick.benchmark.entrants import OwnPicker, PickFiles
    from cryopick.benchmark.rivals import find_rival
    from cryopick.errors import SettingError

    entrants: list[Entrant] = []
    for word in filter(None, (part.strip() for part in pickers.split(","))):
        name, _, preset = word.partition(":")
        words = (f"references={references.absolute()}",) if name == "template" and references else ()
        entrants.append(OwnPicker(name, preset or None, words))
    for word in picks:
        name, sign, path = word.partition("=")
        if not (name and sign and path):
            raise SettingError(f"--picks takes NAME=PATH, not {word!r}")
        entrants.append(PickFiles(name, path))
    for word in programs:
        try:
            entrants.append(find_rival(word, references=None if references is None else str(references)))
        except SettingError as error:
            typer.echo(f"cryopick: skipped: {error}", err=True)
    names = [entrant.name for entrant in entrants]
    if len(set(names)) < len(names):
        raise SettingError("each picker needs a name of its own")
    return entrants


def _sets(data: list[Path], simulated: str | None, out: Path) -> "list[BenchmarkSet]":
    from cryopick.benchmark.sets import read_sets
    from cryopick.benchmark.simulated import make_sets
    from cryopick.errors import SettingError

    lists = list(data)
    if simulated is not None:
        lists.append(make_sets(out / "simulated", simulated, on_made=lambda made: typer.echo(f"simulated {made}")))
    tasks = [task for path in lists for task in read_sets(path)]
    if len({task.name for task in tasks}) < len(tasks):
        raise SettingError("each set needs a name of its own")
    return tasks


def _draw(results: "list[Result]", tasks: "list[BenchmarkSet]", out: Path) -> None:
    from cryopick.benchmark.figures import draw_curves, draw_disagreements

    for task in tasks:
        of_set = [result for result in results if result.dataset == task.name]
        if not of_set:
            continue
        draw_curves(of_set, out / "figures" / f"{task.name}-curves.png")
        if len(of_set) > 1:
            draw_disagreements(of_set, task, out / "figures" / f"{task.name}-disagreements.png")


def _tell(result: "Result", kept: bool) -> None:
    found = result.judgement.default
    f1 = "–" if found.f1 is None else f"{found.f1:.3f}"
    typer.echo(f"{result.dataset}, {result.entrant}: F1 {f1}{' (kept from an earlier run)' if kept else ''}")


def _tell_skipped(entrant: str, dataset: str, reason: str) -> None:
    typer.echo(f"cryopick: {dataset}, {entrant}: skipped: {reason}", err=True)
