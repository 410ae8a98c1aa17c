"""Run the tests in a fresh environment with some extras only: `python tools/check_extras.py [EXTRA ...] [-- pytest arguments]`.

Without an extra it is the core install. Tests of what is missing skip; no other test may notice.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[1]


def main(words: list[str]) -> int:
    """Make the environment, install the package with the extras and the test tools, and run pytest; its exit code."""
    at = words.index("--") if "--" in words else len(words)
    extras, rest = words[:at], words[at + 1 :]
    with TemporaryDirectory() as folder:
        python = Path(folder) / "bin" / "python"
        package = f".[{','.join([*extras, 'test'])}]"
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-c", "constraints.txt", package], cwd=ROOT, check=True)
        print(f"\n$ pytest with {' and '.join(extras) or 'no extra'}", flush=True)
        return subprocess.run([python, "-m", "pytest", "-n", "2", *rest], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
