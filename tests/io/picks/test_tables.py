"""Formats with one file for all micrographs: CryoSPARC's `.cs`, Topaz, plain CSV and COCO, by hand and against other programs."""

import json

import numpy as np
import pytest
from cryosparc.dataset import Dataset

from cryopick.coordinates import inside
from cryopick.errors import CryopickError, FileError
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import detect_format, read_picks, write_picks
from cryopick.types import Picks

# CryoSPARC

CS_FIELDS = [
    ("location/micrograph_uid", "u8"),
    ("location/exp_group_id", "u4"),
    ("location/micrograph_path", "O"),
    ("location/micrograph_shape", "u4", (2,)),
    ("location/center_x_frac", "f4"),
    ("location/center_y_frac", "f4"),
]
UID = 1281467243737059


@pytest.fixture
def cryosparc_picks():
    picks = Dataset.allocate(3, CS_FIELDS)
    picks["location/micrograph_uid"] = [UID, 7, UID]
    picks["location/micrograph_path"] = ["J1/000001281467243737059_a.mrc", "J1/b.mrc", "J1/000001281467243737059_a.mrc"]
    picks["location/micrograph_shape"] = [[100, 200], [50, 40], [100, 200]]
    picks["location/center_x_frac"] = [0.25, 0.5, 0]
    picks["location/center_y_frac"] = [0.75, 0.5, 0]
    return picks


def test_what_cryosparc_tools_writes_is_read(tmp_path, cryosparc_picks):
    cryosparc_picks.add_fields([("pick_stats/ncc_score", "f4"), ("location/micrograph_psize_A", "f4")])
    cryosparc_picks["pick_stats/ncc_score"] = [0.5, 0.25, 0.125]
    cryosparc_picks["location/micrograph_psize_A"] = [1.5, 0.75, 1.5]
    cryosparc_picks.save(tmp_path / "picks.cs")
    a, b = read_picks(tmp_path / "picks.cs")
    # 0.25 of 200 columns, 0.75 of 100 rows.
    assert (a.micrograph, a.xy.tolist()) == ("J1/000001281467243737059_a.mrc", [[50, 75], [0, 0]])
    assert (a.scores.tolist(), a.shape_hw, a.pixel_size) == ([0.5, 0.125], (100, 200), 1.5)
    assert (b.micrograph, b.xy.tolist(), b.shape_hw, b.pixel_size) == ("J1/b.mrc", [[20, 25]], (50, 40), 0.75)


def test_zeros_that_stand_for_unknown_numbers_are_unknown(tmp_path, cryosparc_picks):
    cryosparc_picks.add_fields([("location/micrograph_psize_A", "f4")])
    cryosparc_picks["location/micrograph_uid"] = [0, 0, 0]
    cryosparc_picks.save(tmp_path / "picks.cs")
    read = read_picks(tmp_path / "picks.cs")
    assert [(each.pixel_size, each.optics_group, each.uid) for each in read] == [(None, 1, None)] * 2


def test_cryosparc_tools_reads_ours(tmp_path):
    picks = [
        Picks("J1/000001281467243737059_a.mrc", [[50, 75], [199, 0]], [0.5, 0.25], 150.0, (100, 200), 1.5),
        Picks("a/longer/name/b.mrc", [[20, 25]], [1.0], 150.0, (50, 40), 0.75),
    ]
    write_picks(picks, tmp_path / "out.cs")
    found = Dataset.load(tmp_path / "out.cs")
    assert found["location/micrograph_path"].tolist() == [picks[0].micrograph] * 2 + [picks[1].micrograph]
    np.testing.assert_allclose(found["location/center_x_frac"], [0.25, 0.995, 0.5], rtol=1e-6)
    np.testing.assert_allclose(found["location/center_y_frac"], [0.75, 0, 0.5], rtol=1e-6)
    assert found["location/micrograph_shape"].tolist() == [[100, 200], [100, 200], [50, 40]]
    assert found["location/micrograph_uid"].tolist()[:2] == [UID, UID]
    assert found["pick_stats/ncc_score"].tolist() == [0.5, 0.25, 1]
    assert found["location/micrograph_psize_A"].tolist() == [1.5, 1.5, 0.75]
    assert len(set(found["uid"].tolist())) == 3
    assert {name for name, *_ in CS_FIELDS} <= set(found.fields())


def test_scores_and_pixel_sizes_that_some_micrographs_lack_are_omitted(tmp_path):
    write_picks(
        [Picks("a.mrc", [[1, 2]], [0.5], None, (10, 20)), Picks("b.mrc", [[1, 2]], None, None, (10, 20), 1.5)], tmp_path / "x.cs"
    )
    assert [(picks.scores, picks.pixel_size) for picks in read_picks(tmp_path / "x.cs")] == [(None, None)] * 2


def test_fractions_need_the_shape(tmp_path):
    with pytest.raises(CryopickError, match=r"a\.mrc: a \.cs file needs the micrograph's shape"):
        write_picks([Picks("a.mrc", [[1, 2]])], tmp_path / "x.cs")


def test_the_compressed_form_and_other_datasets_are_named_as_such(tmp_path, cryosparc_picks):
    cryosparc_picks.save(tmp_path / "x.cs", format=2)
    with pytest.raises(FileError, match="compressed CryoSPARC dataset"):
        read_picks(tmp_path / "x.cs")
    cryosparc_picks.drop_fields(["location/center_x_frac"]).save(tmp_path / "x.cs")
    with pytest.raises(FileError, match="has no location/center_x_frac"):
        read_picks(tmp_path / "x.cs")
    (tmp_path / "x.cs").write_bytes(b"\x93NUMPY")
    with pytest.raises(FileError, match="not a CryoSPARC dataset"):
        read_picks(tmp_path / "x.cs")


# Topaz


def test_topaz_coordinates_are_pixels_of_the_downsampled_image(tmp_path):
    # A Fourier crop keeps the first pixel's centre, so pixel 10 of an image 8 times smaller is pixel 80.
    text = "image_name\tx_coord\ty_coord\tscore\nMay08_03.05.02\t10\t0\t-0.75\nb\t1\t2\t3.5\nMay08_03.05.02\t3\t4\t0\n"
    (tmp_path / "topaz.txt").write_text(text)
    assert detect_format(tmp_path / "topaz.txt") == "topaz"
    first, _ = read_picks(tmp_path / "topaz.txt", downsample=8)
    assert (first.micrograph, first.xy.tolist(), first.scores.tolist()) == ("May08_03.05.02", [[80, 0], [24, 32]], [-0.75, 0])
    write_picks(read_picks(tmp_path / "topaz.txt", downsample=8), tmp_path / "back.txt", downsample=8)
    assert (tmp_path / "back.txt").read_text().split("\n")[1:3] == [
        "May08_03.05.02\t10\t0\t-0.750000",
        "May08_03.05.02\t3\t4\t0.000000",
    ]


def test_topaz_training_tables_have_no_scores(tmp_path):
    write_picks([Picks("raw/a.mrc", [[81, 44]])], tmp_path / "train.txt", downsample=8)
    # 81 / 8 = 10.125, 44 / 8 = 5.5: rounded, since Topaz cuts decimals off
    assert (tmp_path / "train.txt").read_text() == "image_name\tx_coord\ty_coord\na\t10\t6\n"
    assert read_picks(tmp_path / "train.txt")[0].scores is None
    with pytest.raises(CryopickError, match="some micrographs have scores"):
        write_picks([Picks("a.mrc", [[1, 2]]), Picks("b.mrc", [[1, 2]], [0.5])], tmp_path / "x.txt")


@pytest.mark.parametrize(("row", "fault"), [("a\t1\t2", "row 1 has 3 values"), ("a\t1\tx\t3", "row 1 has y_coord 'x'")])
def test_bad_rows_of_topaz_are_named(tmp_path, row, fault):
    (tmp_path / "t.txt").write_text(f"image_name\tx_coord\ty_coord\tscore\n{row}\n")
    with pytest.raises(FileError, match=fault):
        read_picks(tmp_path / "t.txt")


# CSV


def test_plain_csv(tmp_path):
    picks = [Picks("raw/a, b.mrc", [[10.25, 0]], [0.5], 30.0, None, 1.5), Picks("c.mrc", [[3, 4]])]
    write_picks(picks, tmp_path / "out.csv")
    text = 'micrograph,x,y,score,diameter\n"raw/a, b.mrc",10.250,0.000,0.500000,20.000\nc.mrc,3.000,4.000,,\n'
    assert (tmp_path / "out.csv").read_text() == text
    first, second = read_picks(tmp_path / "out.csv")
    assert (first.micrograph, first.diameter, first.scores.tolist()) == ("raw/a, b.mrc", 20, [0.5])
    assert (second.diameter, second.scores) == (None, None)


def test_csv_of_one_micrograph_and_a_folder_of_them(tmp_path):
    (tmp_path / "May08_03.05.02.csv").write_bytes(b"\xef\xbb\xbfy;X;kind\r\n2;1;top view\r\n")
    (tmp_path / "b.csv").write_text("x,y,diameter\n1,2,60\n3,4,62\n5,6,100\n")
    assert detect_format(tmp_path) == "csv"
    first, second = read_picks(tmp_path)
    assert (first.micrograph, first.xy.tolist()) == ("May08_03.05.02", [[1, 2]])
    assert (second.micrograph, second.diameter) == ("b", 62)


def test_a_csv_with_only_a_header_is_a_micrograph_without_picks(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n")
    assert [(picks.micrograph, len(picks)) for picks in read_picks(tmp_path / "a.csv")] == [("a", 0)]


def test_scores_missing_in_the_midst_are_named(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,score\n1,2,0.5\n3,4,\n")
    with pytest.raises(FileError, match="row 2 has no score"):
        read_picks(tmp_path / "a.csv")


def test_the_error_for_a_table_without_x_and_y_lists_its_columns(tmp_path):
    (tmp_path / "a.csv").write_text("left,top\n1,2\n")
    with pytest.raises(FileError, match=r"no columns x and y \(only left, top\)"):
        read_picks(tmp_path / "a.csv", format="csv")


def test_real_labels_lie_on_their_micrographs(real_data):
    folder = real_data / "empiar10017"
    truth = read_picks(folder / "truth", micrographs=find_micrographs([folder / "micrographs"]), pixel_size=1.77)
    assert sum(map(len, truth)) == 5152
    assert all(inside(picks.xy, picks.shape_hw, border=100).all() and picks.shape_hw == (4096, 4096) for picks in truth)
    assert {picks.diameter_px for picks in truth} == {108}


# COCO


def test_coco_boxes_are_corner_and_size(tmp_path):
    content = {
        "images": [{"id": 3, "file_name": "a.jpg", "height": 100, "width": 200}, {"id": 9, "file_name": "b.jpg"}],
        "annotations": [
            {"id": 1, "image_id": 3, "category_id": 1, "bbox": [10, 20, 40, 40], "area": 1600},
            {"id": 2, "image_id": 3, "category_id": 1, "bbox": [-5, 0, 41, 41], "area": 1681},
        ],
        "categories": [{"id": 1, "name": "particle"}],
    }
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert detect_format(tmp_path / "x.json") == "coco"
    a, b = read_picks(tmp_path / "x.json", pixel_size=2.0)
    assert (a.micrograph, a.xy.tolist(), a.shape_hw, a.diameter) == ("a.jpg", [[30, 40], [15.5, 20.5]], (100, 200), 2 * 40.5)
    assert (b.micrograph, len(b), b.shape_hw) == ("b.jpg", 0, None)


def test_coco_gets_images_without_picks_too(tmp_path):
    picks = [Picks("a.mrc", [[30, 40]], [0.5], 60.0, (100, 200), 1.5), Picks("b.mrc", shape_hw=(50, 40))]
    write_picks(picks, tmp_path / "x.json")
    content = json.loads((tmp_path / "x.json").read_text())
    assert content["images"] == [
        {"id": 1, "file_name": "a.mrc", "height": 100, "width": 200},
        {"id": 2, "file_name": "b.mrc", "height": 50, "width": 40},
    ]
    (annotation,) = content["annotations"]
    assert annotation["bbox"] == [10, 20, 40, 40]
    assert (annotation["area"], annotation["category_id"], annotation["image_id"], annotation["score"]) == (1600, 1, 1, 0.5)
    assert content["categories"] == [{"id": 1, "name": "particle"}]


@pytest.mark.parametrize(
    "annotations", ['[{"image_id": 1}]', '[{"image_id": 1, "bbox": [1, 2]}]', '[{"image_id": 1, "bbox": [1, 2, 3, "x"]}]', "7"]
)
def test_damaged_coco_files_are_named(tmp_path, annotations):
    (tmp_path / "x.json").write_text(f'{{"images": [{{"id": 1, "file_name": "a.jpg"}}], "annotations": {annotations}}}')
    with pytest.raises(FileError, match=r"x\.json"):
        read_picks(tmp_path / "x.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ('"image_id": 2', "annotations of image 2, which is not among its images"),
        ('"image_id": 1, "score": NaN', "pick 1 of a.mrc has a score that is not a number"),
        ('"image_id": 1, "score": null', "pick 1 of a.mrc has a score that is not a number"),
    ],
)
def test_coco_annotations_that_would_be_lost_or_mean_nothing_are_errors(tmp_path, change, said):
    image = '{"id": 1, "file_name": "a.mrc", "height": 10, "width": 20}'
    (tmp_path / "x.json").write_text(f'{{"images": [{image}], "annotations": [{{{change}, "bbox": [1, 2, 4, 4]}}]}}')
    with pytest.raises(FileError, match=said):
        read_picks(tmp_path / "x.json")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"images": [{"id": 1, "file_name": "a", "height": Infinity, "width": 1}], "annotations": []}']
)
def test_json_that_is_absurd_is_an_error_of_its_file(tmp_path, text):
    for name in ("coco", "eman2"):
        (tmp_path / "x_info.json").write_text(text if name == "coco" else '{"boxes": ' + "[" * 100_000)
        with pytest.raises(FileError, match=r"x_info\.json"):
            read_picks(tmp_path / "x_info.json", format=name)
