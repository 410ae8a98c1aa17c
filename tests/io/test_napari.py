"""The plugin as napari finds it, and the layers that it makes and takes."""

from fnmatch import fnmatch
from importlib.resources import files

import numpy as np
import pytest
import yaml

from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.napari import get_reader, write_points
from cryopick.io.picks.formats import formats_by_suffix, read_picks, write_picks
from cryopick.types import Picks

MANIFEST = files("cryopick") / "napari.yaml"


def layers_of(path):
    reader = get_reader(str(path))
    assert reader is not None
    return reader(str(path))


def test_the_manifest_is_valid_and_its_commands_exist():
    npe2 = pytest.importorskip("npe2", reason="npe2 is not installed")
    manifest = npe2.PluginManifest.from_file(str(MANIFEST))
    manifest.validate_imports()
    assert [command.id for command in manifest.contributions.commands] == ["cryopick.read", "cryopick.write_points"]


def test_the_project_declares_the_manifest_to_napari():
    from importlib.metadata import entry_points

    found = [entry.value for entry in entry_points(group="napari.manifest") if entry.name == "cryopick"]
    if not found:
        pytest.skip("cryopick was installed before it had a manifest")
    assert found == ["cryopick:napari.yaml"]


def test_napari_offers_every_suffix_of_picks():
    (reader,) = yaml.safe_load(MANIFEST.read_text())["contributions"]["readers"]
    assert [
        suffix for suffix in formats_by_suffix() if not any(fnmatch(f"a{suffix}", p) for p in reader["filename_patterns"])
    ] == []


def test_the_manifest_needs_no_napari():
    content = yaml.safe_load(MANIFEST.read_text())
    assert all(command["python_name"].startswith("cryopick.io.napari:") for command in content["contributions"]["commands"])


def test_a_micrograph_is_an_image_with_rows_as_in_the_file(tmp_path):
    pixels = np.arange(12, dtype=np.float32).reshape(3, 4)
    write_micrograph(tmp_path / "m.mrc", pixels, pixel_size=1.5)
    [(data, attributes, kind)] = layers_of(tmp_path / "m.mrc")
    assert (kind, attributes["name"]) == ("image", "m.mrc")
    assert data.tolist() == pixels.tolist()


def test_points_are_row_then_column_and_lie_on_the_pixels(tmp_path):
    write_picks([Picks("m.mrc", [[30.0, 10.0]], [0.75], 40.0, (100, 120), 2.0)], tmp_path / "p.star")
    [(data, attributes, kind)] = layers_of(tmp_path / "p.star")
    assert kind == "points"
    assert data.tolist() == [[10.0, 30.0]]
    assert attributes["features"]["score"].tolist() == [0.75]


def test_each_micrograph_has_a_layer_of_which_the_first_is_shown(tmp_path):
    write_picks([Picks(name, [[1.0, 2.0]]) for name in ("a.mrc", "b.mrc")], tmp_path / "p.star")
    layers = layers_of(tmp_path / "p.star")
    assert [attributes["visible"] for _, attributes, _ in layers] == [True, False]


def test_what_was_read_is_written_with_the_points_that_were_moved_added_and_deleted(tmp_path):
    write_picks([Picks("job/m.mrc", [[30.0, 10.0], [5.0, 6.0]], [0.75, 0.5])], tmp_path / "p.star")
    [(_, attributes, kind)] = layers_of(tmp_path / "p.star")
    moved = np.array([[11.0, 32.0], [50.0, 60.0]])
    features = {"score": np.array([0.75, np.nan])}  # a point that a person adds has no score
    written = write_points(str(tmp_path / "new.star"), [(moved, {**attributes, "features": features}, kind)])
    assert written == [str(tmp_path / "new.star")]
    [picks] = read_picks(tmp_path / "new.star")
    assert picks.micrograph == "job/m.mrc"
    assert picks.xy.tolist() == [[32.0, 11.0], [60.0, 50.0]]
    assert picks.scores is not None
    assert picks.scores.tolist() == [0.75, 1.0]


def test_a_layer_drawn_by_hand_belongs_to_the_micrograph_of_its_name(tmp_path):
    write_points(str(tmp_path / "new.csv"), [(np.array([[4.0, 9.0]]), {"name": "m.mrc"}, "points")])
    [picks] = read_picks(tmp_path / "new.csv")
    assert (picks.micrograph, picks.xy.tolist()) == ("m.mrc", [[9.0, 4.0]])


def test_other_files_are_left_to_other_plugins(tmp_path):
    (tmp_path / "notes.txt").write_text("milk, eggs")
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader(str(tmp_path / "absent.mrc")) is None
    assert get_reader([]) is None


def test_too_many_micrographs_and_points_in_space_are_refused(tmp_path):
    write_picks([Picks(f"m{number}.mrc", [[1.0, 2.0]]) for number in range(101)], tmp_path / "p.star")
    with pytest.raises(CryopickError, match="101 micrographs"):
        layers_of(tmp_path / "p.star")
    with pytest.raises(CryopickError, match="3 dimensions"):
        write_points(str(tmp_path / "new.csv"), [(np.zeros((1, 3)), {"name": "m.mrc"}, "points")])
