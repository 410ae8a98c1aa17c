"""Simulated benchmark sets are reproducible."""

import numpy as np
import pytest

from cryopick.benchmark import simulated
from cryopick.benchmark.sets import read_sets
from cryopick.errors import SettingError


def test_a_simulated_set_shows_one_structure_with_the_diameter_in_its_list(tmp_path, monkeypatch):
    monkeypatch.setattr(simulated, "DIAMETERS", {"easy": 220.0})
    made = []
    path = simulated.make_sets(tmp_path, "tiny", on_made=made.append)
    (task,) = read_sets(path)
    assert (task.name, len(task.sources), len(made)) == ("simulated-tiny-easy", 1, 1)
    assert task.diameter == pytest.approx(simulated.structure_of("easy").diameter, abs=0.05)
    assert len(task.truth[0]) > 0
    simulated.make_sets(tmp_path, "tiny", on_made=made.append)
    assert len(made) == 1  # what is there stays


def test_each_preset_has_its_own_fixed_structure():
    first = {preset: simulated.structure_of(preset) for preset in simulated.DIAMETERS}
    again = simulated.structure_of("hard")
    assert np.array_equal(first["hard"].beads, again.beads)
    assert len({structure.beads.tobytes() for structure in first.values()}) == 4


def test_an_unknown_scale_raises(tmp_path):
    with pytest.raises(SettingError, match="tiny, small, full"):
        simulated.make_sets(tmp_path, "vast")
