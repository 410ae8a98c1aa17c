"""A script that uses the public API as people write it passes `mypy --strict`, and mistakes in it do not."""

import subprocess
import sys
from pathlib import Path

import pytest

import cryopick

pytest.importorskip("mypy")
ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
from collections.abc import Sequence
from pathlib import Path
from typing import assert_type

import numpy as np
import cryopick
from cryopick import CryopickError, Micrograph, Picks

read = cryopick.read_micrograph("a.mrc", pixel_size=1.2)
micrographs = [Micrograph(np.zeros((10, 10)), 1.5), Micrograph([[1, 2], [3, 4]]), read]

assert_type(cryopick.pick(read, picker="log", diameter=100, spacing=0.5), Picks)
assert_type(cryopick.pick(micrographs), list[Picks])
assert_type(cryopick.pick("raw/*.mrc", out="run", workers=2), list[Picks])
assert_type(cryopick.pick(["a.mrc", Path("b.mrc")], threshold=0.3), list[Picks])
assert_type(cryopick.pick(cryopick.find_micrographs(Path("raw")), pixel_size=1.2), list[Picks])
picker: cryopick.Picker = cryopick.picker("unet", preset=None, threshold=0.3)
found = picker.pick(read, diameter=190)

picks = Picks("a.mrc", [[1, 2], [3, 4]], [0.5, 0.6], diameters=[100, 110], data={"class": [1, 2], "label": ["a", "b"]})
empty = Picks("b.mrc", shape_hw=(10, 20), scores=np.zeros(0))
assert_type(picks[0], cryopick.Pick)
assert_type([pick.x for pick in picks], list[float])
assert picks.scores is not None
assert_type(picks[picks.scores > 0.5], Picks)
assert_type(picks[np.argsort(-picks.scores)][:10], Picks)
best: float = picks.data["class"].max()

cryopick.write_picks(picks, "a.star")
cryopick.write_picks((each for each in [picks, empty]), Path("boxes"), format="box", box=64)
assert_type(cryopick.read_picks("a.star", micrographs="raw"), list[Picks])
assert_type(cryopick.read_picks("a.star", micrographs=cryopick.find_micrographs("raw")), list[Picks])
assert_type(cryopick.read_picks("a.star", micrographs=micrographs), list[Picks])
assert_type(cryopick.convert("a.star", "b.cs", micrographs=["a.mrc"]), list[Picks])
cryopick.write_micrograph("a.mrc", read)
cryopick.write_micrograph("b.mrc", np.zeros((3, 3)), pixel_size=1.0)


def f1(some: Sequence[Picks], truth: Picks) -> float:
    evaluation: cryopick.Evaluation = cryopick.evaluate_picks(some, truth, diameter=100)
    return evaluation.per_micrograph[0].counts.f1 + evaluation.f1


simulated: cryopick.SimulatedMicrograph = cryopick.simulate_micrograph(seed=1, size=(256, 512))
tuned: cryopick.FinetuneResult = cryopick.finetune("raw", "a.star", out="tuned", labels="partial")
try:
    print(f1([picks], simulated.truth), tuned.weights.name, cryopick.list_formats(), cryopick.list_pickers())
except (CryopickError, cryopick.FileError) as error:
    print(error)
"""
MISTAKES = """
import cryopick
from cryopick import Pickz

cryopick.pik("raw")
picks: cryopick.Picks = cryopick.pick("raw")
cryopick.write_picks("a.star", picks)
cryopick.read_micrograph(3)
"""


@pytest.mark.slow
def test_a_user_s_script_passes_strict_checks_and_mistakes_do_not(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    cache = ROOT / ".mypy_cache" / "users"
    settings = ["strict = True", f"mypy_path = {ROOT / 'src'}", "follow_imports = silent", "ignore_missing_imports = True"]
    (tmp_path / "mypy.ini").write_text("\n".join(["[mypy]", *settings, f"cache_dir = {cache}", ""]))
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--hide-error-codes", "script.py", "mistakes.py"]
    lines = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False).stdout.splitlines()
    errors = [line for line in lines if ": error: " in line]
    wrong = [f"mistakes.py:{line}" for line in (3, 5, 6, 7, 7, 8)]
    assert [line.split(": error: ")[0] for line in errors] == wrong, "\n".join(errors)


def test_the_package_says_that_it_is_typed():
    assert (Path(cryopick.__file__).parent / "py.typed").is_file()
