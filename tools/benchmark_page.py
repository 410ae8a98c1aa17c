"""Write the tables of docs/benchmark.md from the results of `cryopick benchmark`.

    python tools/benchmark_page.py RESULTS... [--page docs/benchmark.md]

RESULTS are folders that `cryopick benchmark --out` wrote. What stands between the two marks of the page is replaced; the text
around it is written by hand. Every set's table is followed by the commit and the commands that made it.
"""

import argparse
from pathlib import Path

from cryopick.benchmark.results import read_results
from cryopick.benchmark.tables import all_tables, commands_of
from cryopick.io.atomic import write_text

START, END = "<!-- tables: start -->", "<!-- tables: end -->"


def page(text: str, folders: list[Path]) -> str:
    """The page's text with the tables of all results between the marks."""
    results = [result for folder in folders for result in read_results(folder)]
    before, _, rest = text.partition(START)
    after = rest.partition(END)[2]
    parts = [f"## {table.title}\n\n{table.markdown()}" for table in all_tables(results).values()]
    made = "\n".join(f"- `{line}`" for line in commands_of(results))
    processors = ", ".join(sorted({result.made.processor for result in results}))
    parts.append(f"## How these were made\n\nOn {processors}:\n\n{made}\n")
    return before + START + "\n\n" + "\n".join(parts) + "\n" + END + after


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--page", type=Path, default=Path(__file__).resolve().parents[1] / "docs" / "benchmark.md")
    options = parser.parse_args()
    write_text(options.page, page(options.page.read_text(encoding="utf-8"), options.results))


if __name__ == "__main__":
    main()
