"""Reading of sets, running of programs, and reuse of results."""

import os
import sys
from dataclasses import dataclass, replace
from functools import partial

import mrcfile
import numpy as np
import pytest

from cryopick.benchmark.entrants import OwnPicker, PickFiles
from cryopick.benchmark.programs import RelionAutopick, TopazAutopick, find_program, write_mrcs
from cryopick.benchmark.results import read_results, run_all
from cryopick.benchmark.sets import read_sets
from cryopick.benchmark.timing.usage import run_and_measure
from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.picks.formats import write_picks
from cryopick.types import Picks

XY = np.array([[30.0, 30.0], [70.0, 40.0], [40.0, 80.0]])


def labels(name, xy, **about):
    return Picks(name, xy, None, **{"diameter": 40.0, "shape_hw": (100, 120), "pixel_size": 2.0, **about})


@pytest.fixture
def folder(tmp_path, rng):
    """A set of two micrographs of 2 Å per pixel, particles 40 Å across, and one micrograph without truth."""
    root = tmp_path / "mine"
    for name in ("one", "two", "unlabelled"):
        pixels = rng.standard_normal((100, 120), dtype=np.float32)
        write_micrograph(root / "micrographs" / f"{name}.mrc", pixels, pixel_size=2.0)
    for name in ("one", "two"):
        (root / "truth").mkdir(exist_ok=True)
        (root / "truth" / f"{name}.csv").write_text("x,y,diameter\n" + "".join(f"{x},{y},20\n" for x, y in XY))
    return root


def skipped_by(methods, tasks, out):
    skipped = []
    results = list(run_all(methods, tasks, out, workers=1, command="test", on_skip=lambda *what: skipped.append(what)))
    return results, skipped


def test_a_folder_is_one_set_of_the_micrographs_with_ground_truth(folder):
    (found,) = read_sets(folder)
    assert (found.name, [source.name for source in found.sources]) == ("mine", ["one.mrc", "two.mrc"])
    assert (found.diameter, found.pixel_size, found.diameter_px) == (40.0, 2.0, 20.0)


def test_a_list_has_sizes_and_paths_relative_to_itself(folder):
    path = folder.parent / "sets.yaml"
    path.write_text("- {name: s, micrographs: mine/micrographs, truth: mine/truth, diameter: 50, pixel_size: 2.5, border: 7}\n")
    (found,) = read_sets(path)
    assert (found.diameter, found.pixel_size, found.border, len(found.truth)) == (50, 2.5, 7, 2)


@pytest.mark.parametrize("text", ["- {name: s, micrographs: m, truth: t, diametre: 3}", "name: s", "- {name: s}"])
def test_an_invalid_list_of_sets_raises(tmp_path, text):
    path = tmp_path / "sets.yaml"
    path.write_text(text)
    with pytest.raises(SettingError, match="not a list of benchmark sets"):
        read_sets(path)


def test_the_error_for_a_folder_without_ground_truth_names_it(tmp_path):
    (tmp_path / "micrographs").mkdir()
    with pytest.raises(FileError, match="truth"):
        read_sets(tmp_path)


def test_a_fingerprint_changes_with_the_labels(folder):
    (before,) = read_sets(folder)
    (folder / "truth" / "one.csv").write_text("x,y,diameter\n1,2,20\n")
    assert read_sets(folder)[0].fingerprint != before.fingerprint


def test_results_are_reused_until_the_ground_truth_changes(folder, tmp_path):
    write_picks([labels("one.mrc", XY)], tmp_path / "theirs.star")
    methods = [PickFiles("theirs", str(tmp_path / "theirs.star"))]
    ((first, kept),), skipped = skipped_by(methods, read_sets(folder), tmp_path / "out")
    assert (first.scores.default.precision, first.scores.default.recall, kept, skipped) == (1.0, 0.5, False, [])
    assert read_results(tmp_path / "out") == [first]
    (tmp_path / "out" / "results" / first.dataset / "of another version.json").write_text("{}")
    assert read_results(tmp_path / "out") == [first]
    ((_, kept),), _ = skipped_by(methods, read_sets(folder), tmp_path / "out")
    assert kept
    (folder / "truth" / "two.csv").write_text("x,y,diameter\n")
    ((again, kept),), _ = skipped_by(methods, read_sets(folder), tmp_path / "out")
    assert (again.scores.default.recall, kept) == (1.0, False)


def test_new_picks_at_the_same_path_are_scored_again(folder, tmp_path):
    path, out = tmp_path / "theirs.star", tmp_path / "out"
    write_picks([labels("one.mrc", XY)], path)
    skipped_by([PickFiles("theirs", str(path))], read_sets(folder), out)
    write_picks([labels("one.mrc", XY), labels("two.mrc", XY)], path)
    ((result, kept),), _ = skipped_by([PickFiles("theirs", str(path))], read_sets(folder), out)
    assert (result.scores.default.recall, kept) == (1.0, False)


@dataclass(frozen=True)
class Program(PickFiles):
    """Writes nothing, and ends with the given exit status."""

    status: int = 0

    def commands(self, task, folder, *, workers):
        return [[sys.executable, "-c", f"import sys; print('so it is'); sys.exit({self.status})"]]


def test_a_failing_program_is_skipped_with_its_output_and_the_others_run(folder, tmp_path):
    write_picks([labels("one.mrc", XY)], tmp_path / "theirs.star")
    good = Program("good", str(tmp_path / "theirs.star"))
    results, skipped = skipped_by([replace(good, name="bad", status=3), good], read_sets(folder), tmp_path / "out")
    assert [result.method for result, _ in results] == ["good"]
    assert [what[:2] for what in skipped] == [("bad", "mine")]
    assert "failed with exit code 3: so it is" in skipped[0][2]


def test_an_interrupted_program_starts_over_so_its_cost_is_complete(folder, tmp_path):
    write_picks([labels("one.mrc", XY)], tmp_path / "theirs.star")

    @dataclass(frozen=True)
    class GoesOn(PickFiles):
        def commands(self, task, folder, *, workers):
            assert not (folder / "half").exists()
            work = f"import pathlib, sys; pathlib.Path({str(folder / 'half')!r}).touch(); sys.exit({len(stopped) == 0})"
            return [[sys.executable, "-c", work]]

    stopped = []
    program = GoesOn("goes-on", str(tmp_path / "theirs.star"))
    _, stopped = skipped_by([program], read_sets(folder), tmp_path / "out")
    assert len(stopped) == 1
    assert skipped_by([program], read_sets(folder), tmp_path / "out")[1] == []


def test_memory_is_that_of_the_command_not_of_this_process(tmp_path):
    held = np.ones(200 * 2**20 // 8)
    small = run_and_measure([sys.executable, "-I", "-S", "-c", "pass"], tmp_path / "log")
    large = run_and_measure([sys.executable, "-I", "-S", "-c", "x = b'1' * (150 * 2**20)"], tmp_path / "log")
    assert small.peak_mib < 100 < held.nbytes / 2**20
    assert large.peak_mib > small.peak_mib + 140


def test_a_missing_program_raises(tmp_path):
    with pytest.raises(CryopickError, match="not installed"):
        run_and_measure(["there-is-none-of-this-name"], tmp_path / "log")


def test_pickers_run_below_their_threshold_unless_a_preset_is_given(folder, tmp_path):
    (task,) = read_sets(folder)
    (command,) = OwnPicker("log").commands(task, tmp_path, workers=2)
    assert command[command.index("--threshold") + 1] == "0.1"
    assert command[command.index("--diameter") + 1] == "40"
    assert OwnPicker("log").threshold == 0.5
    (command,) = OwnPicker("cryosegnet", "economical").commands(task, tmp_path, workers=2)
    assert "--threshold" not in command


def test_topaz_is_run_at_about_24_pixels_per_particle_with_their_radius(folder, tmp_path):
    (task,) = read_sets(folder)
    task = replace(task, diameter=200.0)  # 100 pixels: reduced by 4 they are 25, radius 12.5
    preprocess, extract = TopazAutopick("topaz").commands(task, tmp_path / "topaz", workers=1)
    assert preprocess[preprocess.index("--scale") + 1] == "4"
    assert (extract[extract.index("--radius") + 1], extract[extract.index("--up-scale") + 1]) == ("12", "4")
    assert sorted(path.name for path in (tmp_path / "mrc").iterdir()) == ["one.mrc", "two.mrc"]


def test_a_changed_micrograph_is_copied_again(folder, tmp_path):
    (task,) = read_sets(folder)
    copy = write_mrcs(task, tmp_path / "mrc")[0].path
    before = copy.stat().st_mtime_ns
    assert write_mrcs(task, tmp_path / "mrc")[0].path.stat().st_mtime_ns == before
    write_micrograph(task.sources[0].path, np.eye(100, 120, dtype=np.float32), pixel_size=2.0)
    os.utime(task.sources[0].path, ns=(before + 1, before + 1))
    write_mrcs(task, tmp_path / "mrc")
    assert mrcfile.read(copy).trace() == 100


def test_coarse_topaz_is_run_at_about_18_pixels_per_particle(folder, tmp_path):
    (task,) = read_sets(folder)
    coarse = find_program(f"topaz-coarse={sys.executable}")
    preprocess, extract = coarse.commands(replace(task, diameter=200.0), tmp_path / "topaz", workers=1)
    assert (after(preprocess, "--scale"), after(extract, "--radius")) == ("6", "8")  # 100 / 6 is 16.7
    assert (coarse.name, coarse.identity) != ("topaz", TopazAutopick(sys.executable).identity)


def stack(path, *, pixel_size):
    with mrcfile.new(path) as file:
        file.set_data(np.zeros((2, 16, 16), np.float32))
        file.voxel_size = pixel_size


def after(words, option):
    return words[words.index(option) + 1]


def test_each_set_has_its_own_references_and_relion_gets_their_pixel_size(folder, tmp_path):
    (task,) = read_sets(folder)
    stack(tmp_path / "mine.mrcs", pixel_size=6.5)
    path = str(tmp_path / "{set}.mrcs")
    (words,) = RelionAutopick("relion_autopick", path).commands(task, tmp_path / "out", workers=1)
    assert (after(words, "--ref"), after(words, "--angpix_ref")) == (str(tmp_path / "mine.mrcs"), "6.5")
    assert (after(words, "--angpix"), after(words, "--lowpass"), after(words, "--shrink")) == ("2", "20", "0")
    (words,) = OwnPicker("template", None, (f"references={path}",)).commands(task, tmp_path / "out", workers=1)
    assert f"references={tmp_path / 'mine.mrcs'}" in words


def test_without_a_pixel_size_references_are_filtered_by_the_diameter(folder, tmp_path):
    task = replace(read_sets(folder)[0], pixel_size=None, diameter=80.0)
    stack(tmp_path / "mine.mrcs", pixel_size=0)
    (words,) = RelionAutopick("relion_autopick", str(tmp_path / "mine.mrcs")).commands(task, tmp_path / "out", workers=1)
    assert after(words, "--lowpass") == "10"
    assert "--angpix_ref" not in words


@pytest.mark.parametrize(
    "make", [lambda path: OwnPicker("template", None, (f"references={path}",)), partial(RelionAutopick, "r")]
)
def test_new_references_at_the_same_path_change_the_identity(tmp_path, make):
    method = make(str(tmp_path / "{set}.mrcs"))
    stack(tmp_path / "mine.mrcs", pixel_size=2)
    before = method.identity
    stack(tmp_path / "yours.mrcs", pixel_size=2)
    assert method.identity != before


def test_picks_of_topaz_and_relion_get_the_names_of_the_original_micrographs(folder, tmp_path):
    (task,) = read_sets(folder)
    (tmp_path / "picks.txt").write_text("image_name\tx_coord\ty_coord\tscore\none\t30\t40\t1.5\n")
    (found,) = TopazAutopick("topaz").read(task, tmp_path)
    assert (found.micrograph, found.xy.tolist(), found.scores.tolist()) == ("one.mrc", [[30, 40]], [1.5])
    star = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n30 40 0.7\n"
    (tmp_path / "picks" / "mrc").mkdir(parents=True)
    (tmp_path / "picks" / "mrc" / "two_autopick.star").write_text(star)
    (found,) = RelionAutopick("relion_autopick").read(task, tmp_path)
    assert (found.micrograph, found.pixel_size) == ("two.mrc", 2.0)
    assert found.scores.tolist() == pytest.approx([0.7])


@pytest.mark.parametrize(
    ("word", "message"),
    [("eman", "unknown program"), ("topaz=/none/topaz", "not installed"), ("relion-template", "--references")],
)
def test_the_error_for_a_program_that_cannot_run_says_what_to_do(word, message):
    with pytest.raises(SettingError, match=message):
        find_program(word)
