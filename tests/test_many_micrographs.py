"""The benchmark of very many micrographs, run with a few."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "many_micrographs.py"


@pytest.mark.slow
def test_a_run_killed_at_random_moments_loses_and_duplicates_nothing(tmp_path):
    words = ["--count", "40", "--kills", "1", "--workers", "2", "--folder", str(tmp_path)]
    ended = subprocess.run([sys.executable, SCRIPT, *words], capture_output=True, text=True)
    assert ended.stdout.splitlines()[-1] == "none lost, none duplicated, none picked again", ended.stdout + ended.stderr
    assert ended.returncode == 0
