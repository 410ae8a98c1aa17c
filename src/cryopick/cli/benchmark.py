"""`cryopick benchmark`: pickers next to their rivals."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.benchmark.entrants import Method
    from cryopick.benchmark.results import Result
    from cryopick.benchmark.sets import BenchmarkSet
    from cryopick.benchmark.tables import Published, Table

PUBLISHED = "published"
KEPT = " (kept from an earlier run)"


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
    ] = "log,unet,detr",
    picks: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Picks of any program and format; {set} in PATH is the set's name; repeat."),
    ] = None,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=EXECUTABLE]",
            help="Run topaz, topaz-coarse, relion-log or relion-template where installed; with --time also published; repeat.",
        ),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Class averages or a map, for template and relion-template; {set} as in --picks."),
    ] = None,
    published: Annotated[Path | None, typer.Option(help="YAML list of published figures to print beside ours.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes of each picker that can use several.")] = 1,
    time: Annotated[
        bool, typer.Option("--time", help="Take times by stage, size, workers and training step; needs no DATA.")
    ] = False,
    sizes: Annotated[str, typer.Option(metavar="PIXELS,...", help="Sides of the micrographs for --time.")] = "1024,2048,4096",
    repeats: Annotated[int, typer.Option(min=1, help="How often --time does what takes under 20 s.")] = 3,
) -> None:
    """Measure pickers and other programs on labelled micrographs.

    Accuracy by both protocols, time and memory.
    """
    from cryopick.parallel.process import one_thread_for_children

    one_thread_for_children()
    from cryopick.benchmark.tables import read_published
    from cryopick.errors import SettingError

    figures = read_published(published) if published else []
    programs = list(run or [])
    route = PUBLISHED in programs
    if route and not time:
        raise SettingError(f"--run {PUBLISHED}: only its time is known without its weights; give --time too")
    entrants = _entrants(pickers, picks or [], [name for name in programs if name != PUBLISHED], references)
    tasks = _sets(data or [], simulated, out)
    if not entrants or not (tasks or time):
        raise SettingError("give DATA or --simulated (or --time), and at least one of --pickers, --picks and --run")
    if tasks:
        _judge(entrants, tasks, figures, out, workers)
    if time:
        _time(entrants, _numbers(sizes), out, repeats=repeats, published=route)
    typer.echo(f"\ntables as Markdown, CSV and LaTeX: {out / 'tables'}")


def _judge(entrants: "list[Method]", tasks: "list[BenchmarkSet]", figures: "list[Published]", out: Path, workers: int) -> None:
    """Accuracy and cost on labelled micrographs."""
    from cryopick.benchmark.results import read_results, run_all
    from cryopick.benchmark.tables import all_tables

    for result, kept in run_all(entrants, tasks, out, workers=workers, command=_command(), on_skip=_tell_skipped):
        _tell(result, kept)
    results = read_results(out)
    if not results:
        raise typer.Exit(1)
    _show(all_tables(results, figures), out)
    _draw(results, tasks, out)


def _time(entrants: "list[Method]", sizes: list[int], out: Path, *, repeats: int, published: bool) -> None:
    """Seconds and memory on simulated micrographs."""
    from cryopick.benchmark.results import current_origin
    from cryopick.benchmark.tables import time_tables
    from cryopick.benchmark.timing.cases import read_timings, run_timings, timing_cases

    cases = timing_cases(entrants, sizes, out / "simulated", repeats=repeats, published=published)
    for timing, kept in run_timings(cases, out, current_origin(_command(), workers=1), on_skip=_tell_skipped):
        seconds = ", ".join(f"{sample.wall:.2f}" for sample in timing.samples)
        typer.echo(f"{timing.key.name}: {seconds} s{KEPT if kept else ''}")
    timings = read_timings(out)
    if not timings:
        raise typer.Exit(1)
    _show(time_tables(timings), out)


def _show(tables: "dict[str, Table]", out: Path) -> None:
    from cryopick.benchmark.tables import write_tables

    write_tables(tables, out / "tables")
    for table in tables.values():
        typer.echo(f"\n{table.title}\n\n{table.markdown()}", nl=False)


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["cryopick", *sys.argv[1:]])


def _numbers(words: str) -> list[int]:
    from cryopick.errors import SettingError

    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SettingError(f"--sizes takes pixels, as 1024,4096, not {words!r}")
    return sorted({int(part) for part in parts})


def _entrants(pickers: str, picks: list[str], programs: list[str], references: str | None) -> "list[Method]":
    from cryopick.benchmark.entrants import OwnPicker, PickFiles
    from cryopick.benchmark.programs import find_program
    from cryopick.benchmark.sets import files_at
    from cryopick.errors import SettingError

    if references is not None:
        references = str(Path(references).absolute())
        if not files_at(references):
            raise SettingError(f"--references: there is no file {references}")
    entrants: list[Method] = []
    for word in filter(None, (part.strip() for part in pickers.split(","))):
        name, _, preset = word.partition(":")
        words = (f"references={references}",) if name == "template" and references else ()
        entrants.append(OwnPicker(name, preset or None, words))
    for word in picks:
        name, sign, path = word.partition("=")
        if not (name and sign and path):
            raise SettingError(f"--picks takes NAME=PATH, not {word!r}")
        entrants.append(PickFiles(name, path))
    for word in programs:
        try:
            entrants.append(find_program(word, references=references))
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
    found = result.scores.default
    f1 = "–" if found.f1 is None else f"{found.f1:.3f}"
    typer.echo(f"{result.dataset}, {result.method}: F1 {f1}{KEPT if kept else ''}")


def _tell_skipped(*told: str) -> None:
    """Names, and last the reason."""
    typer.echo(f"cryopick: {', '.join(told[:-1])}: skipped: {told[-1]}", err=True)
