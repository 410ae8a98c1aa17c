"""Kill commands at random moments, start them again, and check that nothing is lost, doubled or half-written.

    python benchmarks/kill_campaign.py [--kills 100] [--commands pick,watch,…] [--seed 0] [--folder FOLDER]

Each of `pick` (with one and with two workers), `watch`, `train`, `review`, `simulate`, `convert` and `denoise` runs on small
inputs that the script makes, once undisturbed, and is then killed again and again: by SIGKILL, or SIGTERM a quarter of the time,
that hits the whole group of processes, the first one only, or one worker only. After each kill, every file must be whole and,
where it does not change until the end, be that of the undisturbed run; workers must be gone, and inputs untouched. After one to
three kills in the same folder the command is left to end: it must then have the files of the undisturbed run, byte by byte but
for the seconds that are noted, no temporary file, and must not have picked finished micrographs again. A review must have every
edit that it confirmed once. Prints a table, and exits with 1 if anything did not hold.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from random import Random

from killing import campaign, review
from killing.cases import CASES

REVIEW = "review"
NAMES = (*CASES, REVIEW)


def run(names: Sequence[str], *, kills: int, seed: int = 0, folder: Path | None = None) -> dict[str, campaign.Tally]:
    """Kill each of the commands `kills` times; faults are printed as they are found."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="cryopick-kill-", dir=folder) as scratch:
        for name in names:
            start = time.monotonic()
            place, rng = Path(scratch, name), Random(f"{name}-{seed}")
            place.mkdir()
            if name == REVIEW:
                tally = review.campaign(place, kills=kills, rng=rng, on_fault=_print)
            else:
                tally = campaign.campaign(CASES[name], place, kills=kills, rng=rng, on_fault=_print)
            found[name] = tally
            how = ", ".join(f"{count} {kind}" for kind, count in sorted(tally.kills.items()))
            _print(
                f"{name:<16}{tally.kills.total():>5} kills{tally.runs:>5} runs{len(tally.faults):>5} faults   ({how}; "
                f"{time.monotonic() - start:.0f} s)"
            )
    return found


def _print(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    """Run the campaign that the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="kills of each command")
    parser.add_argument("--commands", default=",".join(NAMES), help=f"some of {','.join(NAMES)}")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--folder", type=Path, help="folder for the runs, on the disk to be tried")
    options = parser.parse_args()
    names = options.commands.split(",")
    if unknown := set(names) - set(NAMES):
        parser.error(f"unknown commands {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    found = run(names, kills=options.kills, seed=options.seed, folder=options.folder)
    faults = sum(len(tally.faults) for tally in found.values())
    kills = sum(tally.kills.total() for tally in found.values())
    print(f"\n{kills} kills, {faults} faults" + ("" if faults else ": nothing lost, doubled or half-written"))
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
