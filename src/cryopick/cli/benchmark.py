"""`cryopick benchmark`: pickers compared with other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import finite
from cryopick.cli.console import say, warn

if TYPE_CHECKING:
    from cryopick.benchmark.entrants import Method
    from cryopick.benchmark.results import BenchmarkResult
    from cryopick.benchmark.sets import BenchmarkSet
    from cryopick.benchmark.tables import Published, Table

PUBLISHED = "published"
KEPT = " (from an earlier run)"


def benchmark(
    data: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="DATA", help="Folders with micrographs/ and truth/, or YAML lists of data sets.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results; valid earlier ones are kept.")] = Path(
        "benchmark"
    ),
    simulated: Annotated[
        str | None, typer.Option(metavar="SCALE", help="Scale of simulated data sets to add: tiny, small or full.")
    ] = None,
    pickers: Annotated[
        str, typer.Option(metavar="NAME[:PRESET],...", help="Pickers of cryopick to compare; empty for none.")
    ] = "log,unet,detr",
    picks: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH", help="Picks of another program, {set} in PATH being the data set; repeatable."),
    ] = None,
    downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR", min=1, callback=finite, help="Factor by which the images of the coordinates in --picks are reduced."
        ),
    ] = 1.0,
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=EXECUTABLE]",
            help="Program to run: topaz, topaz-coarse, relion-log, relion-template or, with --time, published; repeatable.",
        ),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Class averages or map for the pickers template and relion-template; {set} as in --picks."
        ),
    ] = None,
    published: Annotated[
        Path | None, typer.Option(metavar="FILE", help="YAML list of published results to print beside the measured ones.")
    ] = None,
    workers: Annotated[int, typer.Option(metavar="N", min=1, help="Number of processes of each picker.")] = 1,
    time: Annotated[
        bool, typer.Option("--time", help="Measure times by stage, size, workers and training step; needs no DATA.")
    ] = False,
    sizes: Annotated[
        str, typer.Option(metavar="PIXELS,...", help="Sides of the micrographs for --time [px].")
    ] = "1024,2048,4096",
    repeats: Annotated[int, typer.Option(metavar="N", min=1, help="Number of repeats of --time for what takes under 20 s.")] = 3,
) -> None:
    """Compare pickers and other programs on labelled micrographs.

    The tables hold accuracy by both protocols, time and memory.
    """
    from cryopick.parallel.process import one_thread_for_children

    one_thread_for_children()
    from cryopick.benchmark.tables import read_published
    from cryopick.errors import SettingError

    figures = read_published(published) if published else []
    programs = list(run or [])
    route = PUBLISHED in programs
    if route and not time:
        raise SettingError(f"--run {PUBLISHED} needs --time, since only the time of pickers without weights can be measured")
    if downsample != 1 and not picks:
        raise SettingError("--downsample is for --picks; give them, or omit it")
    entrants = _entrants(pickers, picks or [], downsample, [name for name in programs if name != PUBLISHED], references)
    tasks = _sets(data or [], simulated, out)
    if not entrants or not (tasks or time):
        raise SettingError("give DATA, --simulated or --time, and at least one of --pickers, --picks and --run")
    if tasks:
        _measure_accuracy(entrants, tasks, figures, out, workers)
    if time:
        _measure_times(entrants, _numbers(sizes), out, repeats=repeats, published=route)
    say(f"\ntables as Markdown, CSV and LaTeX: {out / 'tables'}")


def _measure_accuracy(
    entrants: "list[Method]", tasks: "list[BenchmarkSet]", figures: "list[Published]", out: Path, workers: int
) -> None:
    """Measure accuracy and cost on labelled micrographs."""
    from cryopick.benchmark.results import read_results, run_all
    from cryopick.benchmark.tables import all_tables

    for result, kept in run_all(entrants, tasks, out, workers=workers, command=_command(), on_skip=_warn_skipped):
        _print_result(result, kept)
    results = read_results(out)
    if not results:
        raise typer.Exit(1)
    _show(all_tables(results, figures), out)
    _draw(results, tasks, out)


def _measure_times(entrants: "list[Method]", sizes: list[int], out: Path, *, repeats: int, published: bool) -> None:
    """Measure seconds and memory on simulated micrographs."""
    from cryopick.benchmark.results import current_origin
    from cryopick.benchmark.tables import time_tables
    from cryopick.benchmark.timing.cases import read_timings, run_timings, timing_cases

    cases = timing_cases(entrants, sizes, out / "simulated", repeats=repeats, published=published)
    for timing, kept in run_timings(cases, out, current_origin(_command(), workers=1), on_skip=_warn_skipped):
        seconds = ", ".join(f"{sample.wall:.2f}" for sample in timing.samples)
        say(f"{timing.key.name}: {seconds} s{KEPT if kept else ''}")
    timings = read_timings(out)
    if not timings:
        raise typer.Exit(1)
    _show(time_tables(timings), out)


def _show(tables: "dict[str, Table]", out: Path) -> None:
    from cryopick.benchmark.tables import write_tables

    write_tables(tables, out / "tables")
    for table in tables.values():
        say(f"\n{table.title}\n\n{table.markdown()}".rstrip("\n"))


def _command() -> str:
    import shlex
    import sys

    return shlex.join(["cryopick", *sys.argv[1:]])


def _numbers(words: str) -> list[int]:
    from cryopick.errors import SettingError

    parts = [part.strip() for part in words.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise SettingError(f"--sizes must be sides in pixels, such as 1024,4096, got {words!r}")
    return sorted({int(part) for part in parts})


def _entrants(pickers: str, picks: list[str], downsample: float, programs: list[str], references: str | None) -> "list[Method]":
    from cryopick.benchmark.entrants import OwnPicker, PickFiles
    from cryopick.benchmark.programs import find_program
    from cryopick.benchmark.sets import files_at
    from cryopick.errors import SettingError

    if references is not None:
        references = str(Path(references).absolute())
        if not files_at(references):
            raise SettingError(f"--references: {references} does not exist")
    entrants: list[Method] = []
    for word in filter(None, (part.strip() for part in pickers.split(","))):
        name, _, preset = word.partition(":")
        words = (f"references={references}",) if name == "template" and references else ()
        entrants.append(OwnPicker(name, preset or None, words))
    for word in picks:
        name, sign, path = word.partition("=")
        if not (name and sign and path):
            raise SettingError(f"--picks must be NAME=PATH, got {word!r}")
        entrants.append(PickFiles(name, path, downsample))
    for word in programs:
        try:
            entrants.append(find_program(word, references=references))
        except SettingError as error:
            warn(f"skipped: {error}")
    names = [entrant.name for entrant in entrants]
    if len(set(names)) < len(names):
        raise SettingError(f"pickers need different names, got {', '.join(names)}")
    return entrants


def _sets(data: list[Path], simulated: str | None, out: Path) -> "list[BenchmarkSet]":
    from cryopick.benchmark.sets import read_sets
    from cryopick.benchmark.simulated import make_sets
    from cryopick.errors import SettingError

    lists = list(data)
    if simulated is not None:
        lists.append(make_sets(out / "simulated", simulated, on_made=lambda made: say(f"simulated {made}")))
    tasks = [task for path in lists for task in read_sets(path)]
    if len({task.name for task in tasks}) < len(tasks):
        raise SettingError(f"data sets need different names, got {', '.join(task.name for task in tasks)}")
    return tasks


def _draw(results: "list[BenchmarkResult]", tasks: "list[BenchmarkSet]", out: Path) -> None:
    from cryopick.benchmark.figures import draw_curves, draw_disagreements

    for task in tasks:
        of_set = [result for result in results if result.dataset == task.name]
        if not of_set:
            continue
        draw_curves(of_set, out / "figures" / f"{task.name}-curves.png")
        if len(of_set) > 1:
            draw_disagreements(of_set, task, out / "figures" / f"{task.name}-disagreements.png")


def _print_result(result: "BenchmarkResult", kept: bool) -> None:
    found = result.scores.default
    f1 = "–" if found.f1 is None else f"{found.f1:.3f}"
    say(f"{result.dataset}, {result.method}: F1 {f1}{KEPT if kept else ''}")


def _warn_skipped(*names_and_reason: str) -> None:
    *names, reason = names_and_reason
    warn(f"skipped {', '.join(names)}: {reason}")
