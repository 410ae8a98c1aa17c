"""Further columns and per-pick diameters through every format that can hold them: both ways, and files made by hand."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cryopick.errors import CryopickError
from cryopick.io.picks.columns import SharedColumns, cells, typed
from cryopick.io.picks.formats import FORMATS, place_in, read_picks, write_picks
from cryopick.types import Micrograph, Picks

SHAPE = (300, 500)
HOLD_DATA = ["star", "cryosparc-star", "relion", "cs", "csv", "coco"]
HOLD_DIAMETERS = {"star": 1e-6, "relion": 1e-6, "cbox": 1e-6, "coco": 1e-3, "csv": 1e-3, "box": 1.0, "cryoppp": 1.0}  # Å


def some_picks(**more):
    xy = [[10.5, 20.25], [100, 200], [300, 30]]
    return Picks("raw/a.mrc", xy, [0.5, 0.25, 0.125], None, SHAPE, 2.0, **more)


def there_and_back(tmp_path, picks, name):
    path = place_in(tmp_path / name, "out", format=name)
    write_picks(picks, path, format=name)
    return read_picks(path, format=name, micrographs=[Micrograph(np.zeros(SHAPE), 2.0, "raw/a.mrc")])


@pytest.mark.parametrize("name", HOLD_DATA)
def test_columns_come_back_from_every_format_that_holds_them(tmp_path, name):
    data = {
        "class": [3, 1, 1],
        "rotation": [0.5, -90.25, 180.0],
        "quality": [1e-7, 2.5, 123456.789],
        "origin": ["by hand", "a,b", "c"],
    }
    (found,) = there_and_back(tmp_path, some_picks(diameters=[100, 120, 140], data=data), name)
    assert {column: found.data[column].tolist() for column in data} == data
    np.testing.assert_allclose(found.scores, [0.5, 0.25, 0.125])


@pytest.mark.parametrize("name", sorted(set(FORMATS.names) - set(HOLD_DATA)))
def test_other_formats_write_picks_with_columns_as_they_write_those_without(tmp_path, name):
    picks = some_picks(diameters=[100, 120, 140])
    (found,) = there_and_back(tmp_path, replace(picks, data={"class": [3, 1, 1]}), name)
    assert not found.data
    assert len(found) == 3


@pytest.mark.parametrize(("name", "error"), HOLD_DIAMETERS.items())
def test_a_diameter_for_each_pick_comes_back_from_every_format_that_holds_one(tmp_path, name, error):
    (found,) = there_and_back(tmp_path, some_picks(diameters=[100, 121, 140]), name)
    np.testing.assert_allclose(found.diameters, [100, 121, 140], atol=error)
    assert found.diameter == pytest.approx(121, abs=error)


@pytest.mark.parametrize("name", HOLD_DIAMETERS)
def test_equal_diameters_are_the_common_one(tmp_path, name):
    (found,) = there_and_back(tmp_path, some_picks(diameters=[60, 60, 60]), name)
    assert found.diameters is None
    assert found.diameter == (None if name == "box" else 60)


@pytest.mark.parametrize("name", HOLD_DATA)
@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    numbers=arrays.arrays(np.float64, 3, elements=st.floats(-1e9, 1e9)),
    counts=arrays.arrays(np.int64, 3, elements=st.integers(-(10**12), 10**12)),
    texts=st.lists(st.text("ab _0.1e,;'", min_size=1, max_size=5).map(str.strip).filter(bool), min_size=3, max_size=3),
)
def test_any_numbers_and_texts_come_back(tmp_path, name, numbers, counts, texts):
    data = {"numbers": numbers, "counts": counts, "texts": [f"t{text}" for text in texts]}
    (found,) = there_and_back(tmp_path, some_picks(diameters=[1, 2, 3], data=data), name)
    np.testing.assert_array_equal(found.data["numbers"], numbers)
    assert found.data["counts"].tolist() == counts.tolist()
    assert found.data["texts"].tolist() == data["texts"]


RELION_PARTICLES = """
data_optics

loop_
_rlnOpticsGroup #1
_rlnMicrographPixelSize #2
1 1.5

data_particles

loop_
_rlnCoordinateX #1
_rlnCoordinateY #2
_rlnMicrographName #3
_rlnOpticsGroup #4
_rlnClassNumber #5
_rlnAnglePsi #6
_rlnCtfMaxResolution #7
_rlnImageName #8
_rlnGroupNumber #9
10.0 20.0 a.mrc 1 3 -45.500000 3.25 000001@a.mrcs 7
30.0 40.0 b.mrc 1 1 12.000000 4.50 000002@a.mrcs 8
50.0 60.0 a.mrc 1 2 90.000000 5.75 000003@a.mrcs 9
"""


def test_the_columns_of_a_relion_file_are_class_rotation_and_the_labels_of_the_rest(tmp_path):
    (tmp_path / "particles.star").write_text(RELION_PARTICLES)
    a, b = read_picks(tmp_path / "particles.star")
    assert {name: values.tolist() for name, values in a.data.items()} == {
        "class": [3, 2],
        "rotation": [-45.5, 90.0],
        "rlnCtfMaxResolution": [3.25, 5.75],
        "rlnImageName": ["000001@a.mrcs", "000003@a.mrcs"],
        "rlnGroupNumber": [7, 9],
    }
    assert b.data["class"].tolist() == [1]
    write_picks([a, b], tmp_path / "out.star")
    text = (tmp_path / "out.star").read_text()
    assert "_rlnClassNumber #6\n_rlnAnglePsi #7\n_rlnCtfMaxResolution #8\n_rlnImageName #9\n_rlnGroupNumber #10\n" in text
    assert "    0.5" not in text
    assert text.rstrip().endswith("1 1 12.0 4.5 000002@a.mrcs 8")


def test_a_diameter_for_each_particle_is_relions_column_in_angstrom(tmp_path):
    write_picks(some_picks(diameters=[100, 120.5, 140]), tmp_path / "out.star")
    text = (tmp_path / "out.star").read_text()
    assert "_rlnParticleDiameter #6" in text
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("raw/a.mrc")] == ["100.0", "120.5", "140.0"]
    write_picks(replace(some_picks(diameters=[1, 2, 3]), pixel_size=None), tmp_path / "pixels.star")
    assert "rlnParticleDiameter" not in (tmp_path / "pixels.star").read_text()


@pytest.mark.parametrize("placeholder", [0, -999, -9999])
def test_relions_placeholders_are_not_classes_and_rotations(tmp_path, placeholder):
    text = RELION_PARTICLES
    for row in ("1 3 -45.500000", "1 1 12.000000", "1 2 90.000000"):
        text = text.replace(row, f"1 {placeholder} {placeholder}.0")
    (tmp_path / "particles.star").write_text(text)
    assert list(read_picks(tmp_path / "particles.star")[0].data) == ["rlnCtfMaxResolution", "rlnImageName", "rlnGroupNumber"]


def test_a_relion_job_has_the_picks_classes_and_rotations_in_its_columns(tmp_path):
    write_picks(some_picks(data={"class": [3, 1, 2], "rotation": [10.0, 20.0, 30.0]}), tmp_path, format="relion")
    rows = [line.split() for line in (tmp_path / "raw" / "a_autopick.star").read_text().splitlines() if line.endswith("000")]
    assert [(row[2], row[3]) for row in rows] == [("3", "10.0"), ("1", "20.0"), ("2", "30.0")]


def test_a_column_that_only_some_micrographs_have_is_not_written_to_star_and_blank_in_csv(tmp_path, caplog):
    both = [Picks("a.mrc", [[1, 2]], data={"class": [1], "size": [5]}), Picks("b.mrc", [[3, 4]], data={"class": [2]})]
    write_picks(both, tmp_path / "out.star")
    assert [[*each.data] for each in read_picks(tmp_path / "out.star")] == [["class"], ["class"]]
    assert "columns that only some micrographs have are not written: size" in caplog.text
    write_picks(both, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (
        "micrograph,x,y,score,diameter,class,size\na.mrc,1.000,2.000,,,1,5\nb.mrc,3.000,4.000,,,2,\n"
    )
    assert [[*each.data] for each in read_picks(tmp_path / "out.csv")] == [["class", "size"], ["class"]]


def test_a_csv_keeps_its_columns_names_and_gaps_become_nan(tmp_path):
    (tmp_path / "p.csv").write_text("X;Y;Name;rlnClass;CTF fit;note\n1;2;a;3;0.5;ok\n3;4;a;4;;\n")
    (picks,) = read_picks(tmp_path / "p.csv")
    assert picks.data["rlnClass"].tolist() == [3, 4]
    np.testing.assert_array_equal(picks.data["CTF fit"], [0.5, np.nan])
    assert picks.data["note"].tolist() == ["ok", ""]


def test_boxes_of_one_size_are_not_diameters_but_boxes_that_differ_are(tmp_path):
    (tmp_path / "a.box").write_text("0\t0\t64\t64\n10\t10\t64\t64\n")
    assert read_picks(tmp_path / "a.box")[0].diameter is None
    (tmp_path / "a.box").write_text("0\t0\t64\t64\n10\t10\t32\t32\n")
    (picks,) = read_picks(tmp_path / "a.box")
    assert (picks.diameters.tolist(), picks.xy.tolist()) == ([64, 32], [[32, 32], [26, 26]])


def test_a_box_is_centred_on_its_pick_whatever_its_size(tmp_path):
    write_picks(Picks("a.mrc", [[50, 60], [50, 60]], diameters=[20, 31]), tmp_path / "a.box")
    assert (tmp_path / "a.box").read_text() == "40\t50\t20\t20\n35\t45\t31\t31\n"
    write_picks(Picks("a.mrc", [[50, 60], [50, 60]], diameters=[20, 31]), tmp_path / "b.box", box=64)
    assert (tmp_path / "b.box").read_text() == "18\t28\t64\t64\n" * 2


def test_the_fields_of_a_cryosparc_file_are_carried_in_their_own_types(tmp_path):
    rows = np.zeros(2, [
        ("uid", "<u8"), ("location/micrograph_path", "S8"), ("location/center_x_frac", "<f4"), ("location/center_y_frac", "<f4"),
        ("pick_stats/power", "<f4"), ("alignments3D/pose", "<f4", (3,)), ("pick_stats/template_idx", "<u4"),
        ("location/micrograph_shape", "<u4", (2,)),
    ])  # fmt: skip
    rows["uid"], rows["location/micrograph_path"] = [2**63 + 1, 7], b"a.mrc"
    rows["pick_stats/power"], rows["pick_stats/template_idx"] = [0.1, 0.2], [4, 5]
    rows["location/micrograph_shape"] = SHAPE
    np.save(tmp_path / "p.npy", rows)
    (tmp_path / "p.npy").rename(tmp_path / "p.cs")
    (picks,) = read_picks(tmp_path / "p.cs")
    assert list(picks.data) == ["uid", "pick_stats/power", "pick_stats/template_idx"]
    assert picks.data["uid"].tolist() == [2**63 + 1, 7]
    write_picks(picks[[1]], tmp_path / "kept.cs")
    (kept,) = read_picks(tmp_path / "kept.cs")
    assert kept.data["uid"].tolist() == [7]
    assert kept.data["pick_stats/power"] == np.float32([0.2])
    assert kept.data["pick_stats/template_idx"].dtype == np.uint32


def test_coco_keys_beyond_cocos_own_are_columns_where_every_annotation_has_them(tmp_path):
    (tmp_path / "p.json").write_text(
        '{"images": [{"id": 1, "file_name": "a.mrc"}], "annotations": ['
        '{"image_id": 1, "bbox": [0, 0, 10, 10], "iscrowd": 0, "quality": 0.5, "tag": "x", "mixed": 1},'
        '{"image_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "quality": 2, "tag": "y", "mixed": "2", "some": 1}]}'
    )
    (picks,) = read_picks(tmp_path / "p.json")
    assert {name: values.tolist() for name, values in picks.data.items()} == {"quality": [0.5, 2.0], "tag": ["x", "y"]}
    assert picks.diameters.tolist() == [10, 20]


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["1", "-2"], "i"),
        (["18446744073709551615"], "u"),
        (["1", "2.5"], "f"),
        (["nan", "1e-3"], "f"),
        (["007", "8"], "U"),
        (["1_000"], "U"),
        (["123456789012345678901234"], "U"),
        (["True", "False"], "b"),
        (["1", "x"], "U"),
        ([], "f"),
    ],
)
def test_text_becomes_numbers_only_where_they_give_it_back(texts, kind):
    column = typed(texts)
    assert column.dtype.kind == kind
    if kind != "f":
        assert cells(column) == texts


def test_float32_is_written_with_the_digits_that_it_has():
    assert cells(np.float32([0.1, 2])) == ["0.1", "2.0"]


def test_micrographs_without_picks_do_not_affect_columns():
    shared = SharedColumns()
    shared.add({}, 0)
    shared.add({"class": np.array([1])}, 1)
    assert shared.complete() == {"class": ["1"]}


def test_swapped_arguments_are_called_so(tmp_path):
    with pytest.raises(CryopickError, match=r"write_picks\(picks, path\): the second argument must be a path"):
        write_picks(tmp_path / "a.star", some_picks())
    with pytest.raises(CryopickError, match=r"write_picks\(picks, path\): expected picks, got the path"):
        write_picks(str(tmp_path / "a.star"), tmp_path / "b.star")
    assert list(tmp_path.iterdir()) == []


def test_the_picks_of_one_micrograph_need_no_list(tmp_path):
    picks = some_picks()
    write_picks(picks, tmp_path / "one.star")
    write_picks([picks], tmp_path / "list.star")
    assert (tmp_path / "one.star").read_bytes() == (tmp_path / "list.star").read_bytes()


def test_uids_of_cryosparc_keep_their_digits_in_coco(tmp_path):
    write_picks(
        Picks("a.mrc", [[1, 2], [3, 4]], diameter=5, data={"uid": np.array([2**63 + 1, 2], np.uint64)}), tmp_path / "a.json"
    )
    (picks,) = read_picks(tmp_path / "a.json")
    assert picks.data["uid"].tolist() == [2**63 + 1, 2]
