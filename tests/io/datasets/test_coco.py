"""Labelled micrographs become COCO sets: boxes where the particles are, in whichever order an image's rows come."""

import json
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryopick.errors import CryopickError, SettingError
from cryopick.io.datasets.coco import split_names, write_coco_sets
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.types import Picks


def labelled(path, xy, *, diameter=6.0, shape_hw=(40, 60)):
    truth = Picks(path.name, np.array(xy, float), None, diameter, shape_hw)
    return LabelledMicrograph(MicrographSource(path, path.name), truth, Picks(path.name))


def boxes(path):
    content = json.loads(path.read_text())
    return {image["file_name"]: image for image in content["images"]}, [one["bbox"] for one in content["annotations"]]


def test_a_box_is_the_centre_less_half_a_diameter(tmp_path):
    micrograph = labelled(tmp_path / "raw" / "a.mrc", [[10, 5], [50.5, 30]])
    write_coco_sets([micrograph], tmp_path / "coco", shares=(1, 0, 0))
    images, found = boxes(tmp_path / "coco" / "train.json")
    assert found == [[7, 2, 6, 6], [47.5, 27, 6, 6]]
    assert images == {"../raw/a.mrc": {"id": 1, "file_name": "../raw/a.mrc", "height": 40, "width": 60}}
    assert sorted(path.name for path in (tmp_path / "coco").iterdir()) == ["train.json"]


def test_upside_down_a_box_surrounds_the_particle_in_the_flipped_image(tmp_path):
    pixels = np.zeros((40, 60))
    pixels[3:8, 8:13] = 1  # five pixels across, its middle at row 5, column 10
    write_coco_sets([labelled(tmp_path / "a.jpg", [[10, 5]], diameter=6)], tmp_path, shares=(1, 0, 0), upside_down=True)
    _, [(left, top, width, height)] = boxes(tmp_path / "train.json")
    rows, columns = np.nonzero(np.flipud(pixels))
    # Pixel centres, all within the box and none half a pixel nearer to one side than to the other.
    assert (columns.min() - left, left + width - columns.max()) == (1, 1)
    assert (rows.min() - top, top + height - rows.max()) == (1, 1)


def test_the_parts_are_the_seeds_and_hold_every_micrograph_once(tmp_path):
    micrographs = [labelled(tmp_path / f"{index}.mrc", [[10, 5]] * index) for index in range(20)]
    first = write_coco_sets(micrographs, tmp_path / "a", seed=4)
    again = write_coco_sets(micrographs[::-1], tmp_path / "b", seed=4)
    other = write_coco_sets(micrographs, tmp_path / "c", seed=5)
    names = {part: [each.micrograph for each in picks] for part, picks in first.items()}
    assert [len(part) for part in names.values()] == [16, 2, 2]
    assert sorted(chain(*names.values())) == sorted(f"../{index}.mrc" for index in range(20))
    assert names == {part: [each.micrograph for each in picks] for part, picks in again.items()}
    assert names != {part: [each.micrograph for each in picks] for part, picks in other.items()}
    assert (tmp_path / "a" / "train.json").read_bytes() == (tmp_path / "b" / "train.json").read_bytes()


@given(st.integers(0, 60), st.lists(st.floats(0, 1), min_size=1, max_size=4).filter(lambda shares: sum(shares) > 0.01))
def test_parts_are_a_partition_near_the_shares(total, weights):
    shares = [weight / sum(weights) for weight in weights]
    parts = split_names([str(index) for index in range(total)], shares)
    assert sorted(chain(*parts)) == sorted(str(index) for index in range(total))
    positive = sum(share > 0 for share in shares)
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * total) <= len(shares)
        assert bool(part) or share == 0 or total < positive


def test_three_micrographs_are_one_for_each_part():
    assert [len(part) for part in split_names(["a", "b", "c"], (0.8, 0.1, 0.1))] == [1, 1, 1]


@pytest.mark.parametrize("shares", [(0.5, 0.1, 0.1), (1.2, -0.2, 0)])
def test_invalid_shares_are_refused(shares):
    with pytest.raises(SettingError, match="sum to 1"):
        split_names(["a"], shares)


def test_two_micrographs_of_one_name_are_refused(tmp_path):
    with pytest.raises(CryopickError, match="share a name"):
        write_coco_sets([labelled(tmp_path / folder / "a.mrc", [[1, 1]]) for folder in "xy"], tmp_path)
