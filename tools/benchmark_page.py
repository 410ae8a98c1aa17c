"""Write the tables of docs/benchmark.md from the results of `cryopick benchmark`.

    python tools/benchmark_page.py RESULTS... [--page docs/benchmark.md]

RESULTS are folders that `cryopick benchmark --out` wrote, with `--time` or without. What stands between the two marks of the page
is replaced; the text around it is written by hand. The tables are followed by the commit and the commands that made them. Wall
times of runs that shared the machine with others, and the papers' layout with four columns for each method, are left to the CSV.
Figures, of the simulated sets alone, are drawn into the folder images/ beside the page.
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
    """The page's text with the tables of all results between the marks."""
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    parts = [f"## {table.title}\n\n{table.markdown()}" for table in tables(folders)]
    return before + START + "\n\n" + "\n".join([*parts, origin(folders)]) + "\n" + END + after


def tables(folders: list[Path]) -> Iterator[Table]:
    """Accuracy, cost, and times."""
    results = [result for folder in folders for result in read_results(folder)]
    if results:
        for name, table in all_tables(results).items():
            if name != TOO_WIDE:
                yield table.without(WALL)
    yield from time_tables([timing for folder in folders for timing in read_timings(folder)]).values()


def origin(folders: list[Path]) -> str:
    """On what machine, by which commands and at which commits."""
    made = [result.made for folder in folders for result in read_results(folder)]
    made += [timing.made for folder in folders for timing in read_timings(folder)]
    processors = ", ".join(sorted({one.processor for one in made}))
    lines = "\n".join(f"- `{line}`" for line in commands_of(made))
    return f"## How these were made\n\nOn {processors}:\n\n{lines}\n"


def draw(folders: list[Path], images: Path) -> None:
    """Curves of all simulated sets, and who missed what on the one with carbon."""
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "benchmark.md")
    options = parser.parse_args()
    write_text(options.page, page(options.page.read_text(encoding="utf-8"), options.results))
    draw(options.results, options.page.parent / "images")


if __name__ == "__main__":
    main()
