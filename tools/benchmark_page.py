"""Write the tables of docs/benchmark.md from the results of `cryopick benchmark`.

    python tools/benchmark_page.py RESULTS... [--page docs/benchmark.md]

RESULTS are folders written by `cryopick benchmark --out`, with or without `--time`. Only the part of the page between the two
marks is replaced. The tables are followed by the commands that made them and their commits. Wall times, which depend on what else
was running, and the wide table in the papers' layout are only in the CSV files. Figures of the simulated sets are drawn into
images/ beside the page.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

from cryopick.benchmark.figures import draw_curves, draw_disagreements
from cryopick.benchmark.results import read_results
from cryopick.benchmark.sets import read_sets
from cryopick.benchmark.tables import WALL, Table, all_tables, commands_of, time_tables
from cryopick.benchmark.timing.cases import read_timings
from cryopick.files import write_text

START, END = "<!-- tables: start -->", "<!-- tables: end -->"
TOO_WIDE = "pixels-by-set"
SIMULATED, SHOWN = "simulated-", "-carbon"


def page(text: str, folders: list[Path]) -> str:
    """Return the text of the page with the tables of all results between the marks."""
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    parts = [f"## {table.title}\n\n{table.markdown()}" for table in tables(folders)]
    return before + START + "\n\n" + "\n".join([*parts, origin(folders)]) + "\n" + END + after


def tables(folders: list[Path]) -> Iterator[Table]:
    """Yield the tables of accuracy, cost and time."""
    results = [result for folder in folders for result in read_results(folder)]
    if results:
        for name, table in all_tables(results).items():
            if name != TOO_WIDE:
                yield table.without(WALL)
    yield from time_tables([timing for folder in folders for timing in read_timings(folder)]).values()


def origin(folders: list[Path]) -> str:
    """Return a section with the machine, the commands and the commits of the results."""
    origins = [result.origin for folder in folders for result in read_results(folder)]
    origins += [timing.origin for folder in folders for timing in read_timings(folder)]
    processors = ", ".join(sorted({one.processor for one in origins}))
    lines = "\n".join(f"- `{line}`" for line in commands_of(origins))
    return f"## How these were made\n\nOn {processors}:\n\n{lines}\n"


def draw(folders: list[Path], images: Path) -> None:
    """Draw the curves of all simulated sets, and the disagreement of two methods on the set with carbon."""
    for folder in folders:
        results = [result for result in read_results(folder) if result.dataset.startswith(SIMULATED)]
        tasks = [task for path in sorted((folder / "simulated").glob("*.yaml")) for task in read_sets(path)]
        if results:
            draw_curves(results, images / "benchmark-curves.png")
        for task in tasks:
            of_set = [result for result in results if result.dataset == task.name]
            if task.name.endswith(SHOWN) and len(of_set) > 1:
                draw_disagreements(of_set, task, images / "benchmark-disagreements.jpg")


def main() -> None:
    """Write the tables and figures of the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "benchmark.md")
    options = parser.parse_args()
    write_text(options.page, page(options.page.read_text(encoding="utf-8"), options.results))
    draw(options.results, options.page.parent / "images")


if __name__ == "__main__":
    main()
