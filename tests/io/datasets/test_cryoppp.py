"""CryoPPP's folders: rows counted from the bottom in the CSVs."""

import numpy as np
import pytest

from cryopick.errors import FileError
from cryopick.io.datasets.cryoppp import DatasetFolder, read_areas
from cryopick.train.data.labelled import find_labelled
from cryopick.types import Micrograph, Picks


def write(root, name, xy, false=()):
    pixels = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)
    truth, wrong = (Picks(name, points, None, 8.0, (20, 30), 2.0) for points in (xy, false))
    DatasetFolder(root).write(Micrograph(pixels, 2.0, name), truth, wrong)
    return pixels


def test_rows_are_counted_from_the_bottom_in_the_file_and_from_the_top_when_read(tmp_path):
    pixels = write(tmp_path, "a_1.2.mrc", [[3, 5], [29, 0]], [[7, 19]])
    text = (tmp_path / "ground_truth" / "particle_coordinates" / "a_1.2.csv").read_text()
    # 20 rows: row 5 is written as 19 − 5 = 14, row 0 as 19. 8 Å of 2 Å pixels are 4.
    assert text.splitlines() == ["X-Coordinate,Y-Coordinate,Diameter", "3,14,4", "29,19,4"]
    (found,) = find_labelled(tmp_path).micrographs
    assert found.truth.xy.tolist() == [[3, 5], [29, 0]]
    assert found.false_positives.xy.tolist() == [[7, 19]]
    assert found.truth.diameter_px == 4
    assert found.truth.micrograph == found.source.name
    np.testing.assert_array_equal(found.source.read().pixels, pixels)


@pytest.mark.parametrize(
    "content",
    [
        b'{"m1.mrc": [{"radius": 5, "points": [[1, 2]]',
        b'{"\xff.mrc": []}',
        b'{"m1.mrc": ' + b"[" * 5000,
        b'{"m1.mrc": [{"radius": 1e300, "points": [[1, 2]]}]}',
        b'{"m1.mrc": [{"radius": 5, "points": [[1, 2], [-1e8, 2]]}]}',
        b'{"m1.mrc": [{"radius": 5, "points": []}]}',
    ],
    ids=["cut", "not UTF-8", "deep", "huge radius", "far away", "no points"],
)
def test_damaged_and_impossible_areas_are_refused(tmp_path, content):
    path = tmp_path / "areas.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"areas\.json: (is not a valid file of areas|has an area of m1\.mrc that reaches to)"):
        read_areas(path)
