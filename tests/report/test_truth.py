"""A truth of any format, held against what a run remembers of its micrographs."""

import pytest

from cryopick.report.truth import compare


def test_the_run_knows_the_shapes_that_a_truth_lacks_and_other_micrographs_do_not_count(make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.9, 0.8], "lost.mrc": None})  # of 96 rows; picks at (10, 20) and (13, 20)
    (tmp_path / "truth").mkdir()
    for name in ("m", "lost", "elsewhere"):  # CryoPPP counts rows from the last: 95 - 75 = 20
        (tmp_path / "truth" / f"{name}.csv").write_text("X-Coordinate,Y-Coordinate,Diameter\n10,75,4\n100,75,4\n")
    compared = compare(run, tmp_path / "truth")
    assert compared.overall == {"precision": 0.5, "recall": 0.5, "f1": pytest.approx(0.5)}
    assert {name: picks.xy.tolist() for name, picks in compared.particles.items()} == {"m.mrc": [[10.0, 20.0], [100.0, 20.0]]}
