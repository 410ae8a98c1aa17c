"""Read thousands of damaged files, and check that each is refused by the program's own error or read to something possible.

    python benchmarks/fuzz.py [--inputs 20000] [--seconds S] [--targets picks,run,…] [--seed 0] [--failures FOLDER]
    python benchmarks/fuzz.py --replay picks-0-123

Inputs are small valid files of every kind that the program reads (picks, micrographs, lists of them, labels, structures, weights,
settings, folders of runs and reviews), each with one to four mutations: bits, bytes, cuts, zeros, extreme numbers, lines. One
fails if reading it raises anything but the package's own errors, gives a bare warning, takes more than 2 GiB of memory or half a
minute, kills the process, or gives something that no file can mean: a coordinate that is not finite or beyond 1e7 pixels, other
picks than those of the undamaged run, a changed file of the user. The same seed gives the same inputs.

Prints counts for each kind of input, and each different failure once with the name of an input; failing inputs are kept in the
folder of failures for `--replay`, which reads one again and prints the traceback. Exits with 1 after failures.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from fuzzing.folders import FOLDERS
from fuzzing.mutations import mutate_file
from fuzzing.targets import READERS, Target
from fuzzing.worker import Verdict, Worker, read

TARGETS = {target.name: target for target in (*READERS, *FOLDERS)}
LIMIT = 30.0
KEPT = 3
"""Inputs that are kept of each different failure."""


@dataclass
class Campaign:
    """The results of many inputs.

    Attributes
    ----------
    counts : numbers of inputs by target and kind of verdict.
    failures : verdicts of the failing inputs by the inputs' names.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    failures: dict[str, Verdict] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of inputs."""
        return sum(counter.total() for counter in self.counts.values())

    def table(self) -> str:
        """Counts by target."""
        lines = [f"{'target':<14}{'inputs':>8}{'read':>8}{'refused':>9}{'failed':>8}"]
        for name, counter in self.counts.items():
            failed = counter.total() - counter["read"] - counter["refused"]
            lines.append(f"{name:<14}{counter.total():>8}{counter['read']:>8}{counter['refused']:>9}{failed:>8}")
        return "\n".join(lines)

    def different(self) -> dict[tuple[str, str, str], list[str]]:
        """The names of failing inputs by target, kind and place of their failure."""
        found: dict[tuple[str, str, str], list[str]] = {}
        for name, verdict in self.failures.items():
            found.setdefault((name.partition("-")[0], verdict.kind, verdict.place), []).append(name)
        return found


def run(
    targets: Sequence[Target],
    *,
    inputs: int,
    seconds: float = float("inf"),
    seed: int = 0,
    keep: Path | None = None,
    limit: float = LIMIT,
    on_failure: Callable[[str, Verdict], None] = lambda name, verdict: None,
) -> Campaign:
    """Try `inputs` inputs, the targets in turn by their shares, or as many as `seconds` allow."""
    campaign, end = Campaign(), time.monotonic() + seconds
    turns = [target for target in targets for _ in range(target.share)]
    with tempfile.TemporaryDirectory(prefix="cryopick-fuzz-", dir=_fast_folder()) as scratch:
        seeds = {target.name: make(target, Path(scratch, "valid", target.name)) for target in targets}
        worker = Worker(targets, limit=limit)
        try:
            for number in range(inputs):
                if time.monotonic() > end:
                    break
                target = turns[number % len(turns)]
                name, work = f"{target.name}-{seed}-{number}", Path(scratch, "work")
                damage(target, seeds[target.name], work, name)
                verdict = worker(target.name, work, name)
                campaign.counts.setdefault(target.name, Counter())[verdict.kind] += 1
                if verdict.is_failure:
                    campaign.failures[name] = verdict
                    same = campaign.different()[target.name, verdict.kind, verdict.place]
                    if keep is not None and len(same) <= KEPT:
                        damage(target, seeds[target.name], keep / name, name)  # reading may have changed the first
                        (keep / f"{name}.txt").write_text(f"{verdict.kind}: {verdict.place}\n\n{verdict.detail}\n")
                    if len(same) == 1:
                        on_failure(name, verdict)
        finally:
            worker.close()
    return campaign


def make(target: Target, folder: Path) -> list[Path]:
    """Write the valid inputs of a target; returns their folders."""
    folder.mkdir(parents=True)
    target.make(folder)
    return sorted(place for place in folder.iterdir() if place.is_dir())


def damage(target: Target, seeds: Sequence[Path], work: Path, name: str) -> None:
    """Copy a valid input and change one of its files, at times two."""
    rng = Random(name)
    shutil.rmtree(work, ignore_errors=True)
    chosen = rng.choice(seeds)
    shutil.copytree(chosen, work, symlinks=True)
    files = sorted(path for path in work.rglob("*") if path.is_file() and not _is_fixed(path.relative_to(work), target.fixed))
    for path in rng.sample(files, min(len(files), rng.choice((1, 1, 1, 1, 2)))):
        mutate_file(path, rng)


def _is_fixed(path: Path, fixed: Sequence[str]) -> bool:
    return path.parts[0] in fixed or path.name in fixed or path.as_posix() in fixed


def _fast_folder() -> str | None:
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and os.access(shared, os.W_OK) else None


def replay(name: str, keep: Path) -> Verdict:
    """Read one input again, from the folder of failures or else made anew."""
    target = TARGETS[name.split("-")[0]]
    with tempfile.TemporaryDirectory(prefix="cryopick-fuzz-") as scratch:
        work = Path(scratch, "work")
        if (keep / name).is_dir():
            shutil.copytree(keep / name, work, symlinks=True)
        else:
            damage(target, make(target, Path(scratch, "valid")), work, name)
        here = Path.cwd()
        os.chdir(work)
        try:
            return read(target, name)
        finally:
            os.chdir(here)


def main() -> int:
    """Run the campaign or the replay that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, help="number of inputs")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--targets", default=",".join(TARGETS), help=f"some of {','.join(TARGETS)}")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"), help="folder for failing inputs")
    parser.add_argument("--replay", metavar="NAME", help="read one input again")
    options = parser.parse_args()
    if options.replay:
        verdict = replay(options.replay, options.failures)
        print(f"{verdict.kind} {verdict.place}\n{verdict.detail}")
        return int(verdict.is_failure)
    if unknown := set(options.targets.split(",")) - TARGETS.keys():
        parser.error(f"unknown targets {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    start = time.monotonic()
    campaign = run(
        [TARGETS[name] for name in options.targets.split(",")],
        inputs=options.inputs,
        seconds=options.seconds,
        seed=options.seed,
        keep=options.failures,
        on_failure=lambda name, verdict: print(f"{name}: {verdict.kind}: {verdict.place}", flush=True),
    )
    print(f"\n{campaign.table()}\n\n{campaign.total} inputs in {time.monotonic() - start:.0f} s, {len(campaign.failures)} failed")
    for (target, kind, place), names in sorted(campaign.different().items()):
        print(f"{len(names):>5} {target}: {kind}: {place} ({names[0]})")
    return int(bool(campaign.failures))


if __name__ == "__main__":
    sys.exit(main())
