"""Micrographs and picks: what they refuse, and how picks are indexed, iterated and tabulated."""

import pickle
import sys
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from cryopick.errors import CryopickError, SettingError
from cryopick.types import Columns, Micrograph, Pick, Picks, each_picks


@pytest.mark.parametrize("shape", [(4,), (2, 3, 4), (0, 5), (5, 0)])
def test_a_micrograph_is_a_filled_plane(shape):
    with pytest.raises(CryopickError, match="a micrograph is a non-empty"):
        Micrograph(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_micrograph_has_finite_values(value):
    with pytest.raises(CryopickError, match="NaN or infinite"):
        Micrograph(np.array([[1, value]]))


def test_the_largest_values_of_float32_are_finite_though_their_sum_is_not():
    assert Micrograph(np.full((2, 2), 3e38, np.float32)).pixels.max() == np.float32(3e38)


@pytest.mark.parametrize("pixel_size", [0, -1.0, np.nan, np.inf])
def test_a_pixel_size_is_positive_or_unknown(pixel_size):
    with pytest.raises(CryopickError, match="pixel size"):
        Micrograph(np.ones((2, 2)), pixel_size=pixel_size)


def test_pixels_become_contiguous_float32():
    pixels = Micrograph(np.arange(6, dtype=np.int16).reshape(2, 3).T).pixels
    assert pixels.dtype == np.float32
    assert pixels.flags.c_contiguous
    assert pixels.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize("pixels", ["m.mrc", [[1, 2], [3]], np.ones((2, 2)) * 1j, None])
def test_what_is_no_array_of_numbers_is_no_micrograph(pixels):
    with pytest.raises(CryopickError, match="micrograph: pixels must be an array of numbers"):
        Micrograph(pixels)


def test_a_name_is_text():
    for make in (lambda: Micrograph(np.ones((2, 2)), name=None), lambda: Picks([[1, 2]])):
        with pytest.raises(CryopickError, match="the micrograph's name must be text"):
            make()


def test_a_pixel_size_may_be_a_field_of_a_header():
    assert Micrograph(np.ones((2, 2)), np.array(1.5, np.float32)).pixel_size == 1.5


def test_float32_pixels_are_not_copied():
    pixels = np.ones((3, 4), np.float32)
    assert Micrograph(pixels).pixels is pixels


def test_a_diameter_is_in_angstrom_where_the_pixel_size_is_known():
    assert Picks("m", diameter=177, pixel_size=1.77).diameter_px == pytest.approx(100)
    assert Picks("m", diameter=177).diameter_px == 177
    assert Picks("m", pixel_size=1.77).diameter_px is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"xy": [[0, np.nan]]}, "m: 1 pick with coordinates that are not finite numbers"),
        ({"xy": [[1, 2, 3], [4, 5, 6]]}, r"m: coordinates are an \(n, 2\) array of x and y, got shape \(2, 3\)"),
        ({"xy": [1, 2]}, r"got shape \(2,\)"),
        ({"xy": "ab"}, "m: coordinates must be an array of numbers, got 'ab'"),
        ({"xy": [[1, 2], [3]]}, "m: coordinates must be an array of numbers"),
        ({"xy": [[0, 1]], "scores": [np.nan]}, "m: 1 pick with a score that is not a finite number"),
        ({"xy": [[0, 1]], "scores": ["a"]}, "m: scores must be an array of numbers"),
        ({"diameter": "150"}, "m: the diameter must be positive, got '150'"),
        ({"data": [1]}, "m: data must be a mapping from names to columns"),
        ({"xy": [[0, 1]], "scores": [0.5, 0.5]}, "m: 1 pick but 2 scores"),
        ({"diameter": 0}, "diameter must be positive, got 0"),
        ({"diameter": np.nan}, "diameter must be positive, got nan"),
        ({"xy": [[0, 1]], "diameters": [1, 2]}, "1 pick but 2 diameters"),
        ({"xy": [[0, 1], [2, 3]], "diameters": [1, -3]}, "diameters must be positive, got -3"),
        ({"xy": [[0, 1]], "diameters": [np.inf]}, "diameters must be positive, got inf"),
        ({"xy": [[0, 1]], "data": {"class": [1, 2]}}, "1 pick but 2 values of 'class'"),
        ({"xy": [[0, 1]], "data": {"score": [1]}}, "a column of data cannot be called 'score'"),
        ({"xy": [[0, 1]], "data": {" ": [1]}}, "a column of data needs a name, got ' '"),
        ({"xy": [[0, 1]], "data": {3: [1]}}, "a column of data needs a name, got 3"),
        ({"xy": [[0, 1]], "data": {"pose": [[1, 2, 3]]}}, "'pose' must be one-dimensional"),
        ({"xy": [[0, 1]], "data": {"any": [object()]}}, "'any' must be one-dimensional and hold numbers"),
    ],
)
def test_invalid_picks_are_refused_with_the_value(wrong, message):
    with pytest.raises(CryopickError, match=message):
        Picks("m", **wrong)


PICKS = Picks(
    "m.mrc",
    [[0, 1], [2, 3], [4, 5], [6, 7]],
    [0.125, 0.5, 0.25, 0.75],
    diameters=[10, 20, 30, 60],
    pixel_size=2.0,
    data={"class": [3, 1, 1, 2], "name": ["a", "b", "c", "d"], "good": [True, False, True, True]},
)


def test_an_integer_gives_one_pick():
    assert PICKS[1] == Pick(2.0, 3.0, 0.5, 20.0, {"class": 1, "name": "b", "good": False})
    assert PICKS[-1] == PICKS[3] == PICKS[np.int64(3)]
    assert Picks("m", [[1, 2]], diameter=5)[0] == Pick(1.0, 2.0, None, 5, {})
    with pytest.raises(IndexError, match=r"no pick 4: m\.mrc has 4 picks"):
        PICKS[4]


@pytest.mark.parametrize(
    ("chosen", "rows"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -1), [3, 2, 1, 0]),
        ([2, 0], [2, 0]),
        (np.array([3, 3]), [3, 3]),
        ([False, True, False, True], [1, 3]),
        (np.zeros(4, bool), []),
        ([], []),
    ],
)
def test_slices_indices_and_masks_give_picks_with_all_their_columns(chosen, rows):
    for selected in (PICKS[chosen], PICKS.where(chosen)) if not isinstance(chosen, slice) else (PICKS[chosen],):
        assert isinstance(selected, Picks)
        assert [*selected] == [PICKS[row] for row in rows]
        assert (selected.micrograph, selected.pixel_size, selected.diameter) == ("m.mrc", 2.0, PICKS.diameter)


@pytest.mark.parametrize("chosen", ["class", [0.5], [[0, 1]], 1.5, None])
def test_other_indices_are_refused(chosen):
    with pytest.raises((TypeError, IndexError)):
        PICKS[chosen]


def test_a_column_in_place_of_a_number_is_told_where_columns_are():
    with pytest.raises(TypeError, match=r"columns are attributes such as xy, scores and data\['class'\]"):
        PICKS["class"]


def test_a_mask_of_another_length_is_refused():
    with pytest.raises(IndexError):
        PICKS[[True, False]]


columns = st.dictionaries(
    st.text(min_size=1).filter(lambda name: name.strip() and name not in {"x", "y", "score", "diameter"}),
    st.sampled_from(["i8", "u8", "f4", "?", "U3"]),
    max_size=3,
)


@given(st.data(), st.integers(0, 6), columns)
def test_selecting_twice_is_selecting_once(data, count, kinds):
    xy = data.draw(arrays.arrays(np.float64, (count, 2), elements=st.floats(-1e6, 1e6)))
    further = {name: data.draw(arrays.arrays(np.dtype(kind), count)) for name, kind in kinds.items()}
    sizes = data.draw(arrays.arrays(np.float64, count, elements=st.floats(0.5, 1e3)))
    picks = Picks("m", xy, np.arange(count), diameters=sizes, data=further)
    first = data.draw(arrays.arrays(bool, count))
    second = data.draw(st.lists(st.integers(0, max(0, int(first.sum()) - 1)), max_size=5)) if first.any() else []
    twice, once = picks[first][second], picks[np.flatnonzero(first)[second]]
    np.testing.assert_array_equal(twice.xy, once.xy)
    np.testing.assert_array_equal(twice.scores, once.scores)
    np.testing.assert_array_equal(twice.diameters, sizes[first][second])
    assert {*twice.data} == {*kinds}
    for name, values in further.items():
        np.testing.assert_array_equal(twice.data[name], values[first][second])
        assert twice.data[name].dtype == values.dtype
    assert len([*picks]) == len(picks) == count


def test_the_common_diameter_is_the_median_of_the_picks_own_unless_given():
    assert PICKS.diameter == 25
    assert PICKS.diameters_px.tolist() == [5, 10, 15, 30]
    assert Picks("m", [[0, 1]], diameter=7, diameters=[9]).diameter == 7
    assert Picks("m", diameters=[]).diameter is None


def test_columns_cannot_be_changed_and_do_not_follow_the_arrays_they_were_made_from():
    classes = np.array([1, 2])
    picks = Picks("m", [[0, 1], [2, 3]], diameters=[1, 2], data={"class": classes})
    classes[0] = 9
    assert picks.data["class"].tolist() == [1, 2]
    with pytest.raises(ValueError, match="read-only"):
        picks.data["class"][0] = 9
    with pytest.raises(ValueError, match="read-only"):
        picks.diameters[0] = 9
    with pytest.raises(TypeError):
        picks.data["class"] = classes
    with pytest.raises(FrozenInstanceError):
        picks.data = {}


def test_bytes_and_lists_of_strings_become_strings():
    data = Columns({"bytes": np.array([b"a", b"bc"]), "objects": np.array(["a", "b"], object)})
    assert [(name, values.dtype.kind, values.tolist()) for name, values in data.items()] == [
        ("bytes", "U", ["a", "bc"]),
        ("objects", "U", ["a", "b"]),
    ]


def test_whole_numbers_of_64_bits_keep_their_digits():
    assert Columns({"uid": [2**63 + 1, 2]})["uid"].tolist() == [2**63 + 1, 2]
    assert Columns({"number": [2**62 + 1, -2]})["number"].dtype == np.int64


def test_micrographs_and_picks_are_shown_in_one_line():
    assert repr(PICKS) == "<Picks on 'm.mrc': 4 picks, scores 0.125 to 0.75, diameter 25 Å, data class, name, good>"
    assert repr(Picks("m", [[1, 2]], diameter=5)) == "<Picks on 'm': 1 pick, diameter 5 pixels>"
    assert repr(Micrograph(np.ones((2, 3)), 1.5, "m")) == "<Micrograph 'm': 3 x 2 pixels, 1.5 Å per pixel>"
    assert repr(Micrograph(np.ones((2, 3)))) == "<Micrograph 'micrograph': 3 x 2 pixels, unknown pixel size>"


def test_picks_survive_pickling_and_replace():
    for other in (pickle.loads(pickle.dumps(PICKS)), replace(PICKS, micrograph="m.mrc")):
        assert [*other] == [*PICKS]
        assert not other.data["class"].flags.writeable


def test_other_points_on_the_same_micrograph_have_no_columns():
    moved = PICKS.with_points([[9, 9]], [0.5])
    assert ([*moved], moved.pixel_size, moved.diameters) == ([Pick(9.0, 9.0, 0.5, 25.0, {})], 2.0, None)


def test_a_table_has_the_columns_that_there_are():
    table = PICKS.to_table()
    assert list(table) == ["x", "y", "score", "diameter", "class", "name", "good"]
    assert list(table["diameter"]) == [10, 20, 30, 60]
    assert list(Picks("m", [[1, 2]]).to_table()) == ["x", "y"]
    assert list(Picks("m", [[1, 2], [3, 4]], diameter=5).to_table()["diameter"]) == [5, 5]


def test_a_table_is_a_dict_of_arrays_without_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    table = PICKS.to_table()
    assert isinstance(table, dict)
    assert {name: values.tolist() for name, values in table.items()}["name"] == ["a", "b", "c", "d"]


def test_one_or_many_picks_are_taken_and_anything_else_is_named():
    assert [*each_picks(PICKS, "f(picks)")] == [PICKS]
    assert [*each_picks(iter([PICKS, PICKS]), "f(picks)")] == [PICKS, PICKS]
    with pytest.raises(SettingError, match=r"f\(picks\): expected picks, got the path a\.star; read it with read_picks first"):
        each_picks("a.star", "f(picks)")
    with pytest.raises(SettingError, match=r"f\(picks\): expected the picks of one micrograph or of several, got 3"):
        each_picks(3, "f(picks)")
    with pytest.raises(SettingError, match=r"f\(picks\): expected the picks of a micrograph, got \[1\]"):
        list(each_picks([[1]], "f(picks)"))
