"""Run as a script: a command, and a JSON line of what it used into a file.

    python -I -S measure.py USAGE COMMAND...

A process counts as its memory what its parent had when it was started, so the parent has to be small: this one, which imports
nothing of the package. It exits as the command does.
"""

import json
import os
import sys
import time


def main(usage_path: str, command: list[str]) -> int:
    """Run the command and write wall and processor seconds and the peak of resident memory in MiB."""
    start = time.perf_counter()
    process = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(process, 0)
    measured = {
        "wall": time.perf_counter() - start,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }
    with open(usage_path, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would cost memory
        json.dump(measured, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
