"""A run without a diameter uses one estimate for all its micrographs, with any workers and however often it is stopped."""

from pathlib import Path

import msgspec
import numpy as np
import pytest
import stub_pickers
import yaml

from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource, find_micrographs
from cryopick.io.picks.formats import read_picks
from cryopick.pickers.diameter import DiameterEstimate
from cryopick.runs.estimate import SAMPLED, sample_micrographs
from cryopick.runs.folder import RunFolder
from cryopick.runs.pick import assemble_run, run_picking

SETTINGS = msgspec.structs.replace(stub_pickers.SETTINGS, settings={"measure": True}, formats=[], previews=False)
ESTIMATE = DiameterEstimate(66, 50, 60, 4, "Å")
"""What `StubPicker` makes of micrographs 0, 2, 4 and 6 of eight, whose means are their numbers, plus one: 50 + 1 + 3 + 5 + 7."""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[MicrographSource]:
    folder = tmp_path_factory.mktemp("micrographs")
    for index in range(8):
        pixels = np.full((16, 24), index + 1, np.float32) + np.linspace(-0.5, 0.5, 24, dtype=np.float32)
        write_micrograph(folder / f"m{index}.mrc", pixels, pixel_size=2.0)
    return find_micrographs([folder])


def run(sources, out: Path, settings=SETTINGS, *, build=stub_pickers.build, **options) -> list[DiameterEstimate]:
    """The estimates that were reported."""
    reported: list[DiameterEstimate] = []
    run_picking(sources, out, settings, build=build, on_estimate=reported.append, **options)
    return reported


def diameters(out: Path) -> set[float | None]:
    return {picks.diameter for picks in read_picks(out / "particles.star")}


def build_without_estimate(settings):
    """A picker whose estimate must not be asked for."""
    picker = stub_pickers.build(settings)
    picker.estimate_diameter = None
    return picker


def test_all_micrographs_are_picked_with_one_estimate_that_is_reported_and_recorded(sources, tmp_path):
    assert run(sources, tmp_path / "out") == [ESTIMATE]
    assert diameters(tmp_path / "out") == {66.0}
    recorded = yaml.safe_load((tmp_path / "out" / "run.yaml").read_text())["pick"]
    assert recorded["diameter"] is None
    assert recorded["estimate"] == {"diameter": 66.0, "low": 50, "high": 60, "micrographs": 4, "unit": "Å"}


def test_neither_the_order_nor_the_workers_change_a_byte_of_the_settings(sources, tmp_path):
    run(sources, tmp_path / "one")
    assert run(sources[::-1], tmp_path / "two", workers=2) == [ESTIMATE]
    assert (tmp_path / "one" / "run.yaml").read_bytes() == (tmp_path / "two" / "run.yaml").read_bytes()


def test_a_resumed_run_keeps_its_estimate_even_for_more_micrographs(sources, tmp_path):
    assert run(sources[:1], tmp_path / "out")[0].diameter == 51
    assert run(sources, tmp_path / "out", build=build_without_estimate)[0].diameter == 51
    assert diameters(tmp_path / "out") == {51.0}
    assemble_run(sources, tmp_path / "out", SETTINGS)
    assert yaml.safe_load((tmp_path / "out" / "run.yaml").read_text())["pick"]["estimate"]["diameter"] == 51


def test_a_fresh_start_estimates_afresh(sources, tmp_path):
    run(sources[:1], tmp_path / "out")
    assert run(sources, tmp_path / "out", overwrite=True) == [ESTIMATE]


def test_a_diameter_that_is_given_is_used_without_an_estimate(sources, tmp_path):
    given = msgspec.structs.replace(SETTINGS, diameter=20.0)
    assert run(sources, tmp_path / "out", given, build=build_without_estimate) == []
    assert diameters(tmp_path / "out") == {20.0}


def test_a_picker_that_needs_no_diameter_gets_none(sources, tmp_path):
    assert run(sources, tmp_path / "out", msgspec.structs.replace(SETTINGS, settings={})) == []
    assert diameters(tmp_path / "out") == {30.0}  # its own


def test_where_no_micrograph_gives_an_estimate_the_run_asks_for_the_diameter_and_picks_nothing(tmp_path, sources):
    with pytest.raises(CryopickError, match="give --diameter"):
        run_picking(sources, tmp_path / "out", msgspec.structs.replace(SETTINGS, picker="log", settings={}))
    assert not any(RunFolder(tmp_path / "out").records.glob("*.json"))


def test_the_sample_is_spread_over_the_list_by_name_and_skips_unreadable_files(sources, tmp_path):
    names = [micrograph.name for micrograph in sample_micrographs(sources[::-1])]
    assert names == ["m0.mrc", "m2.mrc", "m4.mrc", "m6.mrc"]
    missing = MicrographSource(tmp_path / "m2.mrc", "m2.mrc")
    names = [micrograph.name for micrograph in sample_micrographs([*sources[:2], missing, *sources[3:]])]
    assert names == ["m0.mrc", "m3.mrc", "m4.mrc", "m6.mrc"]
    assert list(sample_micrographs([missing])) == list(sample_micrographs([])) == []
    assert [micrograph.name for micrograph in sample_micrographs(sources[: SAMPLED - 1])] == ["m0.mrc", "m1.mrc", "m2.mrc"]
