"""The front door: what `import cryopick` offers, its documentation, and the functions that join several layers."""

import doctest
import inspect
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import cryopick
from cryopick.errors import FileError, SettingError
from cryopick.pickers import DEFAULT

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"
NAMES = [name for name in cryopick.__all__ if name != "__version__"]
CENTRES = np.array([[80, 120], [150, 200], [200, 60]])


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path)


def test_the_table_of_modules_the_list_of_names_and_the_typed_imports_agree():
    text = Path(cryopick.__file__).read_text()
    block = text[text.index("if TYPE_CHECKING:") : text.index("__version__ =")]
    typed = {name.strip() for line in re.findall(r"import (.*)", block) for name in line.split(",")}
    assert set(NAMES) == set(cryopick._MODULES) == typed
    assert 18 <= len(NAMES) <= 28
    assert dir(cryopick) == sorted(cryopick.__all__)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_its_module_defines_whatever_was_imported_before(name):
    for package in ("evaluate", "simulate", "pickers", "api"):
        import_module(f"cryopick.{package}")
    assert getattr(cryopick, name).__module__ == cryopick._MODULES[name]
    assert not (Path(cryopick.__file__).parent / name).exists(), "a package of this name would hide the function"
    assert not (Path(cryopick.__file__).parent / f"{name}.py").exists()


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'cryopick' has no attribute 'nothing'"):
        cryopick.nothing  # noqa: B018


def test_importing_costs_nothing():
    code = "import sys, cryopick; print(len({'numpy', 'torch', 'scipy', 'cv2', 'yaml'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "0"


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_is_on_the_page(name):
    assert f"::: cryopick.{name}\n" in PAGE.read_text()


def test_every_argument_has_a_type():
    functions = [getattr(cryopick, name) for name in NAMES if inspect.isfunction(getattr(cryopick, name))]
    assert len(functions) >= 10
    for function in functions:
        assert all(each.annotation is not inspect.Parameter.empty for each in inspect.signature(function).parameters.values())


def examples(name):
    finder = doctest.DocTestFinder()
    everything = {each: getattr(cryopick, each) for each in NAMES} | {"cryopick": cryopick}
    return [test for test in finder.find(getattr(cryopick, name), name, globs=everything) if test.examples]


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_in_the_docs_run(name, in_folder):
    found = examples(name)
    assert found or f"cryopick.{name}(" in PAGE.read_text(), "needs an example"
    for test in found:
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
        runner.run(test)
        assert runner.summarize(verbose=False).failed == 0


def test_the_examples_on_the_page_run(in_folder):
    assert doctest.testfile(str(PAGE), module_relative=False).failed == 0


@pytest.fixture
def discs(in_folder):
    """Two micrographs with dark discs at `CENTRES` and at their mirror images, in files, and their pixels."""
    rows, columns = np.mgrid[:256, :256]
    pixels = []
    for number, centres in enumerate((CENTRES, CENTRES[:, ::-1])):
        image = np.random.default_rng(number).normal(0, 0.3, (256, 256))
        for x, y in centres:
            image[(rows - y) ** 2 + (columns - x) ** 2 < 15**2] -= 1
        pixels.append(image.astype(np.float32))
        cryopick.write_micrograph(f"raw/m{number}.mrc", pixels[-1], pixel_size=2.0)
    return pixels


def test_picking_a_micrograph_gives_picks_and_picking_files_gives_a_list(discs):
    one = cryopick.pick(cryopick.Micrograph(discs[0], 2.0), picker="log", diameter=60)
    many = cryopick.pick("raw", picker="log", diameter=60)
    assert [each.micrograph for each in many] == ["m0.mrc", "m1.mrc"]
    np.testing.assert_array_equal(one.xy, many[0].xy)
    for found, centres in zip(many, (CENTRES, CENTRES[:, ::-1]), strict=True):
        np.testing.assert_allclose(found.xy[found.xy[:, 0].argsort()], centres[centres[:, 0].argsort()], atol=1)
    (single,) = cryopick.pick("raw/m1.mrc", picker="log", diameter=60)
    np.testing.assert_array_equal(single.xy, many[1].xy)


def test_micrographs_that_were_found_or_read_are_picked_like_their_files(discs):
    from_files = cryopick.pick("raw", picker="log", diameter=60)
    found = cryopick.find_micrographs("raw")
    for many in (found, [source.read() for source in found]):
        for one, other in zip(from_files, cryopick.pick(many, picker="log", diameter=60), strict=True):
            np.testing.assert_array_equal(one.xy, other.xy)
    (single,) = cryopick.pick(found[1], picker="log", diameter=60)
    np.testing.assert_array_equal(single.xy, from_files[1].xy)


def test_pixels_and_pickers_where_micrographs_and_names_belong_are_named(discs):
    with pytest.raises(SettingError, match=r"expected paths of micrographs, got array.*wrap pixels of your own: Micrograph"):
        cryopick.pick(discs[0], picker="log", diameter=60)
    with pytest.raises(SettingError, match=r"expected a Micrograph, got 'raw/m0\.mrc'; read a file with read_micrograph"):
        cryopick.picker("log").pick("raw/m0.mrc")
    with pytest.raises(SettingError, match="expected a picker's name"):
        cryopick.pick("raw", picker=cryopick.picker("log"), diameter=60)
    with pytest.raises(SettingError, match=r"read_micrograph\(path\): expected a path, got array"):
        cryopick.read_micrograph(discs[0])
    for wrong in (0, -3, np.nan, "60"):
        with pytest.raises(SettingError, match=f"the diameter must be positive, got '?{wrong}"):
            cryopick.pick("raw", picker="log", diameter=wrong)


def test_a_threshold_that_no_score_can_be_compared_with_is_refused_by_every_way_to_a_picker(discs):
    for make in (lambda: cryopick.picker("unet", threshold=7), lambda: cryopick.pick("raw", threshold=7, out="run")):
        with pytest.raises(SettingError, match=r"threshold must be in \[0, 1\], got 7"):
            make()


def test_a_run_on_disk_gives_the_same_picks_and_is_resumed(discs):
    in_memory = cryopick.pick("raw", picker="log", diameter=60, threshold=0.4)
    on_disk = cryopick.pick("raw", picker="log", diameter=60, threshold=0.4, out="run")
    again = cryopick.pick("raw", picker="log", diameter=60, threshold=0.4, out="run")
    for one, two, three in zip(in_memory, on_disk, again, strict=True):
        np.testing.assert_allclose(one.xy, two.xy, atol=1e-3)
        np.testing.assert_array_equal(two.xy, three.xy)
    assert Path("run/particles.star").is_file()
    with pytest.raises(SettingError, match="other settings"):
        cryopick.pick("raw", picker="log", diameter=80, threshold=0.4, out="run")


def test_a_threshold_and_settings_reach_the_picker(discs):
    everything = cryopick.pick("raw/m0.mrc", picker="log", diameter=60, threshold=0.0)
    few = cryopick.pick("raw/m0.mrc", picker="log", diameter=60, threshold=0.9)
    assert len(everything[0]) > len(few[0])
    with pytest.raises(SettingError, match="nonsense"):
        cryopick.pick("raw", picker="log", diameter=60, nonsense=1)


def test_a_damaged_file_is_skipped_in_a_run_and_an_error_without_one(discs, caplog):
    Path("raw/m1.mrc").write_bytes(b"not an image")
    with pytest.raises(FileError, match=r"m1\.mrc"):
        cryopick.pick("raw", picker="log", diameter=60)
    found = cryopick.pick("raw", picker="log", diameter=60, out="run")
    assert [each.micrograph for each in found] == ["m0.mrc"]
    assert "m1.mrc: failed and skipped" in caplog.text


def test_the_default_picker_is_the_packages():
    assert inspect.signature(cryopick.pick).parameters["picker"].default == DEFAULT


def test_options_that_do_not_apply_are_refused(discs):
    with pytest.raises(SettingError, match="workers=2 needs out"):
        cryopick.pick("raw", picker="log", diameter=60, workers=2)
    with pytest.raises(SettingError, match="apply to files"):
        cryopick.pick(cryopick.Micrograph(discs[0]), picker="log", pixel_size=2.0)


def test_micrographs_of_picks_are_given_as_paths_or_as_what_was_found(discs):
    cryopick.write_picks(cryopick.Picks("m1", [[10, 20]]), "picks.csv")
    for micrographs in (
        "raw",
        ["raw/m0.mrc", "raw/m1.mrc"],
        cryopick.find_micrographs("raw"),
        cryopick.read_micrograph("raw/m1.mrc"),
    ):
        (picks,) = cryopick.read_picks("picks.csv", micrographs=micrographs)
        assert (picks.micrograph, picks.shape_hw, picks.pixel_size) == ("m1.mrc", (256, 256), 2.0)
    with pytest.raises(SettingError, match="micrographs: expected paths or micrographs, got 3"):
        cryopick.read_picks("picks.csv", micrographs=3)


def test_places_and_sizes_that_cannot_be_written_to_are_named(in_folder):
    picks = cryopick.Picks("m", [[10, 20]], diameter=5)
    with pytest.raises(FileError, match=r"raw: is a folder\. Name a file in it, such as raw/particles\.star"):
        cryopick.write_picks(picks, "raw", format="star")
    for wrong in (-5, 0, 64.5, "64"):
        with pytest.raises(SettingError, match="the box size must be a whole number of pixels"):
            cryopick.write_picks(picks, "m.box", box=wrong)
    with pytest.raises(SettingError, match="downsample must be positive, got 0"):
        cryopick.write_picks(picks, "m.txt", downsample=0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "size must be a number of pixels, or \\(height, width\\), got 0"),
        ({"size": 256.0}, "size must be"),
        ({"pixel_size": 0}, "the pixel size must be positive, got 0 Å"),
        ({"seed": -1}, "a random seed must be a whole number of at least 0, got -1"),
        ({"index": -1}, "index must be a whole number of at least 0, got -1"),
        ({"device": "gpu"}, "there is no device 'gpu'"),
        ({"preset": "typcal"}, "did you mean 'typical'"),
    ],
)
def test_an_impossible_simulation_is_refused(wrong, message):
    with pytest.raises(SettingError, match=message):
        cryopick.simulate_micrograph(**{"seed": 1, "size": 256, "pixel_size": 4.0} | wrong)


def test_converting_sets_threshold_and_diameter(in_folder):
    cryopick.write_picks(cryopick.Picks("a.mrc", [[1, 2], [3, 4]], [0.9, 0.1], diameters=[5, 6]), "in.csv")
    (kept,) = cryopick.convert("in.csv", "out.star", threshold=0.5, diameter=30)
    assert (kept.xy.tolist(), kept.diameter, kept.diameters) == ([[1, 2]], 30, None)
    assert cryopick.read_picks("out.star")[0].xy.tolist() == [[1, 2]]
    cryopick.write_picks(cryopick.Picks("a.mrc", [[1, 2]]), "unscored.csv")
    with pytest.raises(SettingError, match="no scores; omit the threshold"):
        cryopick.convert("unscored.csv", "out.star", threshold=0.5)


def test_writing_a_micrograph_takes_one_as_it_was_read(discs):
    micrograph = cryopick.read_micrograph("raw/m0.mrc")
    cryopick.write_micrograph("copy.mrc", micrograph)
    assert cryopick.read_micrograph("copy.mrc").pixel_size == 2.0
    with pytest.raises(SettingError, match="give the path first"):
        cryopick.write_micrograph(micrograph.pixels, "copy.mrc")


def test_evaluation_takes_the_picks_of_one_micrograph_or_of_many():
    truth = cryopick.Picks("m", [[1, 1], [50, 50]], diameter=10)
    assert cryopick.evaluate_picks(truth, [truth]).f1 == cryopick.evaluate_picks([truth], truth).f1 == 1
    with pytest.raises(SettingError, match="expected the picks of a micrograph"):
        cryopick.evaluate_picks([[1, 2]], truth)
