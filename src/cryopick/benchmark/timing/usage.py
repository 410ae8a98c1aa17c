"""Wall time, processor time and memory of a command, including its child processes."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from cryopick.errors import CryopickError

LAUNCHER = Path(__file__).with_name("measure.py")
TAIL = 400
"""Characters of a failed command's output that are shown in the error."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Wall and processor seconds, and the peak of resident memory of the largest process in MiB."""

    wall: float
    cpu: float
    peak_mib: float

    def plus(self, other: "Cost") -> "Cost":
        """Return the cost of this command followed by another."""
        return Cost(wall=self.wall + other.wall, cpu=self.cpu + other.cpu, peak_mib=max(self.peak_mib, other.peak_mib))


NO_COST = Cost(wall=0.0, cpu=0.0, peak_mib=0.0)


def run_and_measure(command: Sequence[str], log: Path, *, variables: dict[str, str] | None = None) -> Cost:
    """Run a command and return its cost; its output is appended to `log`.

    Raises `CryopickError` if the command does not exist or, with the end of its output, if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which(command[0]) is None:
        raise CryopickError(f"{command[0]} is not installed")
    with TemporaryDirectory() as folder, log.open("ab") as output:
        usage = Path(folder) / "usage.json"
        ran = subprocess.run(
            [sys.executable, "-I", "-S", str(LAUNCHER), str(usage), *command],
            stdout=output,
            stderr=output,
            env={**os.environ, **(variables or {})},
            check=False,
        )
        if ran.returncode != 0:
            tail = log.read_text(encoding="utf-8", errors="replace").strip()[-TAIL:]
            raise CryopickError(f"{' '.join(command[:4])} … failed with exit code {ran.returncode}: {tail}")
        return msgspec.json.decode(usage.read_bytes(), type=Cost)
