"""Benchmark results: one JSON file per method and set, reused by a later run if nothing has changed."""

import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from cryopick import __version__
from cryopick.benchmark.entrants import Method
from cryopick.benchmark.scores import MethodScores, score_picks
from cryopick.benchmark.sets import BenchmarkSet
from cryopick.benchmark.timing.usage import NO_COST, Cost, run_and_measure
from cryopick.errors import CryopickError
from cryopick.files import write_bytes
from cryopick.parallel.process import THREAD_VARIABLES
from cryopick.provenance import earlier_result, fingerprint, read_result

PROTOCOL = 2
"""Version of the protocol; results of another version are computed again."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Origin of a result: versions, command and machine.

    Attributes
    ----------
    version : of cryopick.
    commit : of the source, with ``-dirty`` if files differ from it; None outside a checkout.
    command : command line.
    processor : its model name.
    workers : number of processes.
    """

    version: str
    commit: str | None
    command: str
    processor: str
    workers: int


class BenchmarkResult(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one method on one set.

    Attributes
    ----------
    method : name of the method.
    dataset : name of the set.
    empiar : EMPIAR entry of the micrographs, if any.
    micrographs, negatives : number of micrographs, and of positions marked as not being particles.
    signature : digest of everything that determines the numbers.
    origin : origin of the result.
    cost : time and memory; None for files of picks.
    scores : accuracy.
    """

    method: str
    dataset: str
    empiar: int | None
    micrographs: int
    negatives: int
    signature: str
    origin: Origin
    cost: Cost | None
    scores: MethodScores


def current_origin(command: str, *, workers: int) -> Origin:
    """Return the origin of results that a command produces now."""
    return Origin(version=__version__, commit=_commit(), command=command, processor=_processor(), workers=workers)


def run_all(
    methods: Sequence[Method],
    tasks: Sequence[BenchmarkSet],
    out: Path,
    *,
    workers: int,
    command: str,
    on_skip: Callable[[str, str, str], None],
) -> Iterator[tuple[BenchmarkResult, bool]]:
    """Run all methods on all sets; yield each result and whether it is from an earlier run.

    Results are written to ``out/results``, picks to ``out/work``. A method that fails is skipped, and `on_skip` is called with
    its name, the name of the set and the reason.
    """
    origin = current_origin(command, workers=workers)
    for task in tasks:
        for method in methods:
            try:
                yield _run_one(method, task, out, origin)
            except CryopickError as error:
                on_skip(method.name, task.name, str(error))


def read_results(out: Path) -> list[BenchmarkResult]:
    """Read all results in a folder, sorted by set and method, except damaged ones and those of another version."""
    results = (read_result(path, BenchmarkResult) for path in sorted((out / "results").glob("*/[!.]*.json")))
    return [result for result in results if result is not None]


def _run_one(method: Method, task: BenchmarkSet, out: Path, origin: Origin) -> tuple[BenchmarkResult, bool]:
    signature = _signature(method, task)
    path = out / "results" / task.name / f"{method.name}.json"
    earlier = earlier_result(path, BenchmarkResult, signature)
    if earlier is not None:
        return earlier, True
    folder = out / "work" / task.name / f"{method.name}-{fingerprint(*_what_runs(method, task))[:8]}"
    cost = _run(method, task, folder, workers=origin.workers)
    found = method.read(task, folder)
    result = BenchmarkResult(
        method=method.name,
        dataset=task.name,
        empiar=task.empiar,
        micrographs=len(task.sources),
        negatives=sum(len(picks) for picks in task.negatives),
        signature=signature,
        origin=origin,
        cost=cost,
        scores=score_picks(found, task, threshold=method.threshold),
    )
    write_bytes(path, msgspec.json.format(msgspec.json.encode(result), indent=1))
    return result, False


def _run(method: Method, task: BenchmarkSet, folder: Path, *, workers: int) -> Cost | None:
    """Run a method's commands unless an earlier run has finished; their cost is kept beside the picks.

    Results of an interrupted run are removed, because the cost of the rest alone would be too low.
    """
    kept = folder / "cost.json"
    if kept.exists():
        return msgspec.json.decode(kept.read_bytes(), type=Cost)
    shutil.rmtree(folder, ignore_errors=True)
    commands = method.commands(task, folder, workers=workers)
    if not commands:
        return None
    cost = NO_COST
    for command in commands:
        cost = cost.plus(run_and_measure(command, folder / "log.txt", variables=dict.fromkeys(THREAD_VARIABLES, "1")))
    write_bytes(kept, msgspec.json.encode(cost))
    return cost


def _signature(method: Method, task: BenchmarkSet) -> str:
    return fingerprint(PROTOCOL, method.threshold, *_what_runs(method, task))


def _what_runs(method: Method, task: BenchmarkSet) -> list[Any]:
    """Return everything that determines a method's picks."""
    return [__version__, method.name, method.identity, task.fingerprint]


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
