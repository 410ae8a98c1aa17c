"""Ground truth of any format, comparison with a run."""

import pytest

from cryopick.report.truth import compare_with_truth


def test_shapes_come_from_the_run_and_micrographs_outside_the_run_do_not_count(make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.9, 0.8], "lost.mrc": None})  # of 96 rows; picks at (10, 20) and (13, 20)
    (tmp_path / "truth").mkdir()
    for name in ("m", "lost", "elsewhere"):  # CryoPPP counts rows from the last: 95 - 75 = 20
        (tmp_path / "truth" / f"{name}.csv").write_text("X-Coordinate,Y-Coordinate,Diameter\n10,75,4\n100,75,4\n")
    comparison = compare_with_truth(run, tmp_path / "truth")
    assert comparison.overall == {"precision": 0.5, "recall": 0.5, "f1": pytest.approx(0.5)}
    assert {name: picks.xy.tolist() for name, picks in comparison.particles.items()} == {"m.mrc": [[10.0, 20.0], [100.0, 20.0]]}
