"""Script that runs a command and writes its time and memory to a file as JSON.

    python -I -S measure.py USAGE COMMAND...

The memory of a process includes that of its parent at the start, so this script is kept small and imports nothing from the
package. It exits with the command's exit code.
"""

import json
import os
import sys
import time


def main(usage_path: str, command: list[str]) -> int:
    """Run a command, write its wall and processor seconds and its peak of resident memory in MiB, and return its exit code."""
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
