"""Run all checks of the project, the fastest first: `python tools/check.py [pytest arguments]`."""

import subprocess
import sys
import time

STEPS = [
    ["ruff", "check", "."],
    ["ruff", "format", "--check", "."],
    ["mypy"],
    ["mkdocs", "build", "--strict", "--quiet"],
    ["pytest", "-n", "2"],
]


def main() -> int:
    """Run all steps, even after a failure; return 0 if all of them pass."""
    failed = []
    for step in STEPS:
        command = [sys.executable, "-m", *step, *(sys.argv[1:] if step[0] == "pytest" else [])]
        print(f"\n$ {' '.join(step)}", flush=True)
        start = time.perf_counter()
        if subprocess.run(command, check=False).returncode:
            failed.append(step[0])
        print(f"  {time.perf_counter() - start:.0f} s", flush=True)
    print(f"\nfailed: {', '.join(failed)}" if failed else "\nall checks passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
