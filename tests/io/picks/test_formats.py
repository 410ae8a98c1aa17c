"""What holds for every format: picks come back, files are whole and alike, wrong input is named."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import FORMATS, detect_format, format_of_name, place_in, read_picks, write_picks
from cryopick.types import Micrograph, Picks

SHAPE = (300, 500)
PIXEL_SIZE = 1.5
# What a format does not keep; a new one that keeps everything needs no line here.
ROUNDING = dict.fromkeys(["relion", "box", "topaz", "xmipp", "cryoppp"], 0.5 + 1e-9)  # pixels
WITHOUT_SCORES = {"box", "eman2", "cryoppp"}
FORGETS_EMPTY = {"star", "cryosparc-star", "cs", "topaz", "csv"}
EVERY_FORMAT = pytest.mark.parametrize("name", FORMATS.names)
SINGLE = [name for name in FORMATS.names if FORMATS.get(name).single]


@dataclass(frozen=True)
class Known:
    """A micrograph by name, without a file."""

    name: str
    path: Path | None = None
    pixel_size: float | None = PIXEL_SIZE
    optics_group: int = 1
    uid: int | None = None


def micrographs(names, shape=SHAPE):
    pixels = np.zeros(shape, np.float32)
    return [Micrograph(pixels, PIXEL_SIZE, name) for name in names]


def picks_of(name, xy, scores=None):
    return Picks(name, xy, scores, 30.0, SHAPE, PIXEL_SIZE)


def there_and_back(tmp_path, picks, name):
    path = place_in(tmp_path / name, "out", format=name)
    write_picks(picks, path, format=name)
    return read_picks(path, format=name, micrographs=micrographs([each.micrograph for each in picks]))


points = arrays.arrays(np.float64, st.tuples(st.integers(1, 5), st.just(2)), elements=st.floats(0, 299))


@EVERY_FORMAT
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(first=points, second=points)
def test_picks_come_back_from_every_format(tmp_path, name, first, second):
    written = [
        picks_of("MotionCorr/job002/raw/a.mrc", first, np.linspace(0, 1, len(first))),
        picks_of("MotionCorr/job002/raw/b.2.mrc", second, np.linspace(1, 0, len(second))),
    ]
    found = there_and_back(tmp_path, written, name)
    assert [each.micrograph for each in found] == [each.micrograph for each in written]
    for after, before in zip(found, written, strict=True):
        np.testing.assert_allclose(after.xy, before.xy, atol=ROUNDING.get(name, 6e-4))
        if name in WITHOUT_SCORES:
            assert after.scores is None
        else:
            np.testing.assert_allclose(after.scores, before.scores, atol=1e-6)
        assert (after.shape_hw, after.pixel_size) == (SHAPE, PIXEL_SIZE)


@EVERY_FORMAT
def test_micrographs_without_picks_are_no_error(tmp_path, name):
    empty = picks_of("a.mrc", np.zeros((0, 2)), np.zeros(0))
    one = picks_of("b.mrc", [[10, 20]], [0.5])
    found = {each.micrograph: each.xy.round(4).tolist() for each in there_and_back(tmp_path, [empty, one], name)}
    assert found == ({} if name in FORGETS_EMPTY else {"a.mrc": []}) | {"b.mrc": [[10, 20]]}


@EVERY_FORMAT
def test_no_micrographs_at_all_leave_a_readable_file_or_no_file(tmp_path, name):
    path = place_in(tmp_path / name, "out", format=name)
    write_picks([], path, format=name)
    assert not path.exists() or read_picks(path, format=name) == []


@EVERY_FORMAT
def test_the_same_picks_give_the_same_bytes(tmp_path, name):
    picks = [picks_of(f"{i}.mrc", [[i, 2.25], [3, 4]], [0.5, 0.25]) for i in range(3)]
    contents = []
    for run in ("first", "second"):
        folder = tmp_path / run
        path = place_in(folder, "out", format=name)
        write_picks(iter(picks), path, format=name)
        files = sorted(file for file in folder.rglob("*") if file.is_file())
        contents.append([file.read_bytes().replace(str(folder).encode(), b"") for file in files])
        assert not [file for file in files if file.name.startswith(".")]
    assert contents[0] == contents[1]
    assert contents[0]


@EVERY_FORMAT
def test_a_format_is_recognised_from_what_it_writes(tmp_path, name):
    path = place_in(tmp_path / name, "out", format=name)
    write_picks([picks_of("a.mrc", [[1, 2]], [0.5])], path, format=name)
    assert detect_format(path) == {"cryosparc-star": "star"}.get(name, name)


@EVERY_FORMAT
def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path, name):
    with pytest.raises(FileError, match=r"absent\.x: does not exist"):
        read_picks(tmp_path / "absent.x", format=name)


@EVERY_FORMAT
def test_garbage_is_an_error_that_names_the_file(tmp_path, name):
    path = tmp_path / "garbage.x"
    path.write_bytes(bytes(range(1, 256)) * 3)
    with pytest.raises(FileError, match=r"garbage\.x"):
        read_picks(path, format=name)


def test_what_no_format_recognises_is_an_error_with_the_formats(tmp_path):
    path = tmp_path / "notes.md"
    path.write_text("# Monday\n")
    with pytest.raises(FileError, match="one of relion, star"):
        read_picks(path)
    with pytest.raises(FileError, match="one of relion, star"):
        write_picks([], tmp_path / "out.xyz")
    with pytest.raises(SettingError, match="no pick format 'pdf'"):
        read_picks(path, format="pdf")


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("out.star", "star"),
        ("out.CS", "cs"),
        ("out.box", "box"),
        ("out.cbox", "cbox"),
        ("out.txt", "topaz"),
        ("out.pos", "xmipp"),
        ("out.csv", "csv"),
        ("out.json", "coco"),
        ("a_autopick.star", "star"),
        ("a_info.json", "coco"),
    ],
)
def test_a_suffix_stands_for_one_format_and_of_several_for_that_of_a_single_file(path, name):
    assert format_of_name(path) == name


@EVERY_FORMAT
def test_a_format_writes_files_with_its_suffix_one_or_a_folder_as_declared(tmp_path, name):
    kind = FORMATS.get(name)
    path = place_in(tmp_path / "own", "out", format=name)
    write_picks([picks_of(f"{stem}.mrc", [[1, 2]], [0.5]) for stem in "ab"], path, format=name)
    written = [file.name for file in (tmp_path / "own").rglob(f"*{kind.suffix}") if file.is_file()]
    if kind.single:
        assert written == [f"out{kind.suffix}"]
    else:
        assert {f"a{kind.suffix}", f"b{kind.suffix}"} <= set(written)


def test_names_become_those_of_the_micrographs(tmp_path):
    (tmp_path / "p.txt").write_text("image_name\tx_coord\ty_coord\tscore\na\t1\t2\t-0.5\nb\t3\t4\t0.5\n")
    found = read_picks(tmp_path / "p.txt", micrographs=micrographs(["J1/000001281467243737059_a.mrc", "x/b.tif", "x/c.mrc"]))
    assert [each.micrograph for each in found] == ["J1/000001281467243737059_a.mrc", "x/b.tif"]


def test_names_that_match_no_micrograph_are_an_error(tmp_path):
    (tmp_path / "p.txt").write_text("image_name\tx_coord\ty_coord\nz\t1\t2\n")
    with pytest.raises(NameMatchError, match=r"p\.txt: no micrograph matches the name 'z'; there are 'a\.mrc'"):
        read_picks(tmp_path / "p.txt", micrographs=micrographs(["a.mrc"]))


@pytest.mark.parametrize("kind", ["cryoppp", "csv"])
def test_names_that_match_no_micrograph_are_skipped_and_collected_on_request(tmp_path, kind):
    # CryoPPP counts rows from the last one, so that points on an unknown micrograph cannot be converted at all.
    known = Known("b.mrc", tmp_path / "b.mrc", None)
    write_micrograph(known.path, np.zeros((30, 50), np.float32))
    head = "X-Coordinate,Y-Coordinate" if kind == "cryoppp" else "x,y"
    for name in ("a", "b"):
        (tmp_path / "picks" / f"{name}.csv").parent.mkdir(exist_ok=True)
        (tmp_path / "picks" / f"{name}.csv").write_text(f"{head}\n1,2\n")
    unknown: set[str] = set()
    (picks,) = read_picks(tmp_path / "picks", micrographs=[known], unknown=unknown)
    assert (picks.micrograph, unknown) == ("b.mrc", {"a"})
    assert picks.xy.tolist() == [[1.0, 27.0 if kind == "cryoppp" else 2.0]]


def test_two_names_in_a_file_that_mean_one_micrograph_are_an_error(tmp_path):
    (tmp_path / "p.txt").write_text("image_name\tx_coord\ty_coord\na\t1\t2\na.mrc\t1\t2\n")
    with pytest.raises(NameMatchError, match=r"both 'a' and 'a\.mrc'"):
        read_picks(tmp_path / "p.txt", micrographs=micrographs(["a.mrc"]))


def test_picks_have_their_micrographs_group_and_exposure_unless_their_file_has_another_group(tmp_path):
    (tmp_path / "p.csv").write_text("micrograph,x,y\na.mrc,1,2\n")
    known = Known("a.mrc", None, None, optics_group=4, uid=77)
    (picks,) = read_picks(tmp_path / "p.csv", micrographs=[known])
    assert (picks.optics_group, picks.uid) == (4, 77)
    write_picks([replace(picks, optics_group=3, uid=5, shape_hw=SHAPE)], tmp_path / "p.cs")
    (picks,) = read_picks(tmp_path / "p.cs", micrographs=[known])
    assert (picks.optics_group, picks.uid) == (3, 77)


@pytest.mark.parametrize("file", ["a.mrc", "a.mrc.gz", "a.tif", "a.png", "a.jpg"])
def test_shapes_come_from_the_micrographs_headers(tmp_path, rng, file):
    import gzip

    kept = tmp_path / file.removesuffix(".gz")
    write_micrograph(kept, rng.integers(0, 255, (30, 50)).astype(np.uint8), pixel_size=1.25)
    if file.endswith(".gz"):
        (tmp_path / file).write_bytes(gzip.compress(kept.read_bytes()))
    (tmp_path / "p.csv").write_text("x,y,micrograph\n1,2,a\n")
    (picks,) = read_picks(tmp_path / "p.csv", micrographs=[Known(file, tmp_path / file, None)])
    assert picks.shape_hw == (30, 50)
    assert picks.pixel_size == (1.25 if ".mrc" in file or ".tif" in file else None)


def test_a_micrograph_that_is_damaged_does_not_stop_picks_that_need_no_shape(tmp_path, caplog):
    (tmp_path / "a.mrc").write_bytes(b"cut")
    (tmp_path / "p.csv").write_text("x,y,micrograph\n1,2,a\n")
    (picks,) = read_picks(tmp_path / "p.csv", micrographs=[Known("a.mrc", tmp_path / "a.mrc")])
    assert (picks.xy.tolist(), picks.shape_hw) == ([[1, 2]], None)
    assert "a.mrc" in caplog.text


def test_picks_of_an_image_of_another_size_are_an_error(tmp_path):
    write_picks([Picks("a.jpg", [[10, 20]], None, 30.0, (100, 200))], tmp_path / "x.json")
    with pytest.raises(CryopickError, match=r"a\.jpg has shape \(100, 200\) \(rows, columns\), but .* has \(300, 500\)"):
        read_picks(tmp_path / "x.json", micrographs=micrographs(["a.mrc"]))


def test_a_given_pixel_size_wins(tmp_path):
    write_picks([picks_of("a.mrc", [[1, 2]])], tmp_path / "p.star")
    assert read_picks(tmp_path / "p.star")[0].pixel_size == 1.5
    assert read_picks(tmp_path / "p.star", pixel_size=2.0, micrographs=[Known("a.mrc")])[0].pixel_size == 2.0


def test_an_unknown_shape_that_is_needed_is_an_error_with_the_files_name(tmp_path):
    (tmp_path / "a.csv").write_text("X-Coordinate,Y-Coordinate,Diameter\n1,2,30\n")
    with pytest.raises(CryopickError, match=r"a\.csv: picks of a: the micrograph's shape is needed"):
        read_picks(tmp_path / "a.csv")


def test_two_micrographs_that_would_share_a_file_are_an_error(tmp_path):
    twins = [picks_of("x/a.mrc", [[1, 2]]), picks_of("y/a.mrc", [[1, 2]])]
    with pytest.raises(NameMatchError, match=r"x/a\.mrc and y/a\.mrc would both be written as a\.box"):
        write_picks(twins, tmp_path / "boxes", format="box")
    with pytest.raises(NameMatchError, match=r"a\.mrc and b\.mrc would both be written as a\.box"):
        write_picks([picks_of("a.mrc", [[1, 2]]), picks_of("b.mrc", [[1, 2]])], tmp_path / "a.box")


@pytest.mark.parametrize("name", ["topaz", "cryosparc-star"])
def test_two_micrographs_that_a_table_cannot_distinguish_are_an_error(tmp_path, name):
    twins = [picks_of("x/a.mrc", [[1, 2]], [0.5]), picks_of("y/a.mrc", [[3, 4]], [0.5])]
    with pytest.raises(NameMatchError, match=r"x/a\.mrc and y/a\.mrc would both be written as a"):
        write_picks(twins, place_in(tmp_path, "out", format=name), format=name)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_completed_is_not_created(tmp_path):
    def some():
        yield picks_of("a.mrc", [[1, 2]], [0.5])
        raise RuntimeError("the disk is full")

    for name in SINGLE:
        with pytest.raises(RuntimeError, match="disk"):
            write_picks(some(), place_in(tmp_path, "out", format=name), format=name)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_or_folder_is_called_so(tmp_path):
    (tmp_path / "a.star").touch()
    (tmp_path / "folder").mkdir()
    for name in ("a.star", "folder"):
        with pytest.raises(FileError, match="is empty"):
            read_picks(tmp_path / name)
