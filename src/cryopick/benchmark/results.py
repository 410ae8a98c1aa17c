"""Results on disk: one JSON file for each entrant and set, which a second run keeps where nothing has changed."""

import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cryopick import __version__
from cryopick.benchmark.entrants import Entrant
from cryopick.benchmark.scores import Judgement, judge
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.benchmark.timing.usage import NOTHING, Cost, run_and_measure
from cryopick.errors import CryopickError
from cryopick.files import write_bytes
from cryopick.parallel.process import THREAD_VARIABLES
from cryopick.provenance import earlier_result, fingerprint, read_result

PROTOCOL = 2
"""Raised whenever the numbers mean something else, so that older results are made anew."""


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """How a result came about.

    `commit` is of the source, with ``-dirty`` where files differ from it, None outside a checkout; `command` is what was typed.
    """

    version: str
    commit: str | None
    command: str
    processor: str
    workers: int


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One entrant on one set; `signature` is of all that decides the numbers."""

    entrant: str
    dataset: str
    empiar: int | None
    micrographs: int
    negatives: int
    signature: str
    made: Made
    cost: Cost | None
    judgement: Judgement


def made_by(command: str, *, workers: int) -> Made:
    """What is told of results that a command makes here and now."""
    return Made(version=__version__, commit=_commit(), command=command, processor=_processor(), workers=workers)


def run_all(
    entrants: Sequence[Entrant],
    tasks: Sequence[BenchmarkSet],
    out: Path,
    *,
    workers: int,
    command: str,
    on_skip: Callable[[str, str, str], None],
) -> Iterator[tuple[Result, bool]]:
    """Each entrant's result on each set, and whether an earlier run had it.

    One that fails is left out; `on_skip` gets its name, the set's and the reason. What was made lies in ``out/results`` and
    ``out/work``.
    """
    made = made_by(command, workers=workers)
    for task in tasks:
        for entrant in entrants:
            try:
                yield _run_one(entrant, task, out, made)
            except CryopickError as error:
                on_skip(entrant.name, task.name, str(error))


def read_results(out: Path) -> list[Result]:
    """All results below a folder, by set and entrant; those that are damaged or of an earlier version are left out."""
    results = (read_result(path, Result) for path in sorted((out / "results").glob("*/*.json")))
    return [result for result in results if result is not None]


def _run_one(entrant: Entrant, task: BenchmarkSet, out: Path, made: Made) -> tuple[Result, bool]:
    signature = _signature(entrant, task)
    path = out / "results" / task.name / f"{entrant.name}.json"
    earlier = earlier_result(path, Result, signature)
    if earlier is not None:
        return earlier, True
    folder = out / "work" / task.name / f"{entrant.name}-{fingerprint(*_what_runs(entrant, task))[:8]}"
    cost = _run(entrant, task, folder, workers=made.workers)
    found = entrant.read(task, folder)
    result = Result(
        entrant=entrant.name,
        dataset=task.name,
        empiar=task.empiar,
        micrographs=len(task.sources),
        negatives=sum(len(picks) for picks in task.negatives),
        signature=signature,
        made=made,
        cost=cost,
        judgement=judge(found, task, threshold=entrant.threshold),
    )
    write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result, False


def _run(entrant: Entrant, task: BenchmarkSet, folder: Path, *, workers: int) -> Cost | None:
    """Run the entrant's commands unless a run that ended did; the cost is kept beside what they left.

    What a run left that was stopped goes: the rest of it would cost too little.
    """
    kept = folder / "cost.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Cost)
    shutil.rmtree(folder, ignore_errors=True)
    commands = entrant.commands(task, folder, workers=workers)
    if not commands:
        return None
    cost = NOTHING
    for command in commands:
        cost = cost.then(run_and_measure(command, folder / "log.txt", variables=dict.fromkeys(THREAD_VARIABLES, "1")))
    write_bytes(kept, msgspec.json.encode(cost))
    return cost


def _signature(entrant: Entrant, task: BenchmarkSet) -> str:
    return fingerprint(PROTOCOL, entrant.threshold, *_what_runs(entrant, task))


def _what_runs(entrant: Entrant, task: BenchmarkSet) -> list[Any]:
    """All that decides an entrant's picks, however they are judged afterwards."""
    return [__version__, entrant.name, entrant.identity, task.fingerprint]


def _commit() -> str | None:
    try:
        asked = subprocess.run(
            ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--exclude", "*"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return None
    return asked.stdout.strip() or None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
