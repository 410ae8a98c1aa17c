"""What a command costs: wall time, processor time and memory, its child processes included."""

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
"""Characters of a failed command's output that its error shows."""


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """Wall and processor seconds; `peak_mib` is the resident memory of the largest process."""

    wall: float
    cpu: float
    peak_mib: float

    def then(self, other: "Cost") -> "Cost":
        """Of two commands, one after the other."""
        return Cost(wall=self.wall + other.wall, cpu=self.cpu + other.cpu, peak_mib=max(self.peak_mib, other.peak_mib))


NOTHING = Cost(wall=0.0, cpu=0.0, peak_mib=0.0)


def run_and_measure(command: Sequence[str], log: Path, *, variables: dict[str, str] | None = None) -> Cost:
    """Run a command, its output into `log`, and measure it.

    Raises `CryopickError` with the end of the output when the command cannot be started or fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which(command[0]) is None:
        raise CryopickError(f"{command[0]} cannot be started: there is no such program")
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
            raise CryopickError(f"{' '.join(command[:4])} … ended with {ran.returncode}: {tail}")
        return msgspec.json.decode(usage.read_bytes(), type=Cost)
