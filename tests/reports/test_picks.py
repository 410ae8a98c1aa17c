"""Files of picks and lists of micrographs as users of this and neighbouring programs reported them in public."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError
from cryopick.evaluate.pairing import pair_micrographs
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.names import NameIndex, uid
from cryopick.io.picks.formats import FORMATS, detect_format, outside_of, read_picks, reduced_doubt, write_picks
from cryopick.io.tables.star import read_star
from cryopick.runs.folder import RunFolder
from cryopick.train.data.labelled import find_labelled
from cryopick.types import Picks

SHAPE = (60, 80)
FLAT = "data_particles\n\nloop_\n_rlnMicrographName #1\n_rlnCoordinateX #2\n_rlnCoordinateY #3\n"
COORDINATES = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n_rlnAutopickFigureOfMerit #3\n"


def run(*words, code=0):
    result = CliRunner().invoke(app, list(map(str, words)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def images(folder, *names, shape=SHAPE, pixel_size=2.1):
    for name in names:
        pixels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
        write_micrograph(folder / name, pixels, pixel_size=pixel_size)
    return folder


def cs(path, paths, *, shape=SHAPE, fractions=(0.25, 0.5), extra=(), prefix="location/micrograph_path", **values):
    fields = [("uid", "<u8"), (prefix, "S60")]
    if prefix.startswith("location"):
        fields += [("location/center_x_frac", "<f4"), ("location/center_y_frac", "<f4")]
    fields += [("location/micrograph_shape", "<u4", (2,))] if shape is not None else []
    rows = np.zeros(len(paths), [*fields, *extra])
    rows["uid"], rows[prefix] = np.arange(1, len(paths) + 1), paths
    if prefix.startswith("location"):
        rows["location/center_x_frac"], rows["location/center_y_frac"] = fractions
    if shape is not None:
        rows["location/micrograph_shape"] = shape
    for name, value in values.items():
        rows[name] = value
    np.save(path.with_suffix(".npy"), rows)
    return path.with_suffix(".npy").rename(path)


# pyem#50, pyem#102: CryoSPARC's Export puts ">" before the paths of the exported .cs


def test_the_mark_of_exported_datasets_is_in_no_name_that_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cs(tmp_path / "gt.cs", [b">J2/mc/a.mrc", b">J2/mc/b.mrc"])
    run("convert", "gt.cs", "job", "--to", "relion")
    assert sorted(path.name for path in Path("job/J2/mc").iterdir()) == ["a_autopick.star", "b_autopick.star"]
    for name in FORMATS.own:
        write_picks(read_picks("gt.cs"), f"out-{name}", format=name, **({"box": 8} if name in {"box", "cbox", "coco"} else {}))
    written = [path for path in Path().rglob("*") if path.is_file() and path.name != "gt.cs"]
    assert len(written) > len(FORMATS.own)
    assert not [path for path in written if b">J2" in path.read_bytes() or ">" in str(path)]


def test_the_mark_is_left_out_of_names_in_other_formats_too(tmp_path):
    (picks,) = read_picks(write(tmp_path / "p.star", FLAT + ">J2/mc/a.mrc 1 2\n"))
    assert picks.micrograph == "J2/mc/a.mrc"


def test_exposures_with_the_mark_are_found_and_named_without_it(tmp_path):
    images(tmp_path / "J2" / "mc", "a.mrc")
    cs(tmp_path / "exposures.cs", [b">J2/mc/a.mrc"], shape=None, prefix="micrograph_blob/path")
    (source,) = find_micrographs(tmp_path / "exposures.cs")
    assert (source.name, source.path, source.uid) == ("J2/mc/a.mrc", tmp_path / "J2/mc/a.mrc", 1)


# pyem#131, cryodrgn#418: headers of 20 KB after a 3D classification of 100 classes


def test_a_dataset_with_a_long_header_is_read(tmp_path):
    extra = [(f"alignments_class_{number:03d}/{name}", "<f4") for number in range(100) for name in ("error", "alpha", "split")]
    cs(tmp_path / "big.cs", [b"a.mrc", b"a.mrc", b"b.mrc"], extra=extra, **{"location/center_x_frac": [0.1, 0.2, 0.3]})
    assert (tmp_path / "big.cs").read_bytes().index(b"\n") > 10_000
    assert [len(picks) for picks in read_picks(tmp_path / "big.cs")] == [2, 1]
    assert "big.cs: good" in run("check", tmp_path / "big.cs")


def test_a_dataset_that_claims_more_rows_than_it_has_takes_no_memory(tmp_path):
    rows = np.load(cs(tmp_path / "p.cs", [b"a.mrc"]))
    with (tmp_path / "bomb.cs").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(rows) | {"shape": (10**9,)})
        file.write(rows.tobytes())
    with pytest.raises(FileError, match="not a CryoSPARC dataset"):
        read_picks(tmp_path / "bomb.cs")


# vesicle-picker#8: external pickers leave the shape unset


@pytest.mark.parametrize("shape", [None, (0, 0), (60, 0)])
def test_fractions_of_an_unknown_shape_need_the_micrographs(tmp_path, shape):
    path = cs(tmp_path / "p.cs", [b"J2/mc/a.mrc"], shape=shape)
    with pytest.raises(CryopickError, match="shape is needed"):
        read_picks(path)
    sources = find_micrographs(images(tmp_path / "mc", "a.mrc"))
    (picks,) = read_picks(path, micrographs=sources)
    assert picks.xy.tolist() == [[20, 30]]  # a quarter of 80 columns, half of 60 rows


def test_rows_whose_shape_is_unset_have_that_of_their_micrograph(tmp_path):
    path = cs(tmp_path / "p.cs", [b"a.mrc", b"a.mrc"], **{"location/micrograph_shape": [(0, 0), SHAPE]})
    assert read_picks(path)[0].xy.tolist() == [[20, 30], [20, 30]]


def test_shapes_that_differ_within_a_micrograph_or_are_no_image_are_errors(tmp_path):
    path = cs(tmp_path / "p.cs", [b"a.mrc", b"a.mrc"], **{"location/micrograph_shape": [(30, 40), SHAPE]})
    with pytest.raises(FileError, match=r"location/micrograph_shape 30 x 40 and 60 x 80 for a\.mrc"):
        read_picks(path)
    path = cs(tmp_path / "q.cs", [b"a.mrc"], **{"location/micrograph_shape": (4_000_000_000, 80)})
    with pytest.raises(FileError, match=r"row 1 has location/micrograph_shape 4e\+09 x 80"):
        read_picks(path)


def test_a_row_without_a_micrograph_is_named(tmp_path):
    with pytest.raises(FileError, match=r"row 2 has no location/micrograph_path"):
        read_picks(cs(tmp_path / "p.cs", [b"a.mrc", b"", b"b.mrc"]))
    with pytest.raises(FileError, match="row 2 has no micrograph_blob/path"):
        find_micrographs(cs(tmp_path / "e.cs", [b"a.mrc", b">"], shape=None, prefix="micrograph_blob/path"))
    tables = {
        "p.csv": "micrograph,x,y\na.mrc,1,2\n,3,4\n",
        "p.txt": "image_name\tx_coord\ty_coord\na\t1\t2\n\t3\t4\n",
        "p.star": FLAT + "a.mrc 1 2\n'' 3 4\n",
    }
    for name, text in tables.items():
        with pytest.raises(FileError, match="row 2 names no micrograph"):
            read_picks(write(tmp_path / name, text))


# gemmi#17, relion: rows are split at blanks, so that data_… in a row is a value


@pytest.mark.parametrize(
    "name", ["data_1.mrc", "save_1.mrc", "$1.mrc", "_1.mrc", "'1.mrc", '"1.mrc', "loop_1.mrc", "stop_1.mrc", "data_"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_values_may_begin_like_words_of_star(tmp_path, name, place):
    labels = ["_rlnCoordinateX", "_rlnCoordinateY"]
    labels.insert(place, "_rlnMicrographName")
    rows = []
    for numbers in (["10", "20"], ["30", "40"]):
        numbers.insert(place, name)
        rows.append(" ".join(numbers))
    header = "data_particles\n\nloop_\n" + "".join(f"{label} #{number}\n" for number, label in enumerate(labels, 1))
    (picks,) = read_picks(write(tmp_path / "p.star", header + "\n".join(rows) + "\n"))
    assert (picks.micrograph, picks.xy.tolist()) == (name, [[10, 20], [30, 40]])


def test_a_list_of_micrographs_in_a_folder_called_data_is_read(tmp_path):
    images(tmp_path / "data_krios", "a.mrc", "b.mrc")
    names = "data_krios/a.mrc\ndata_krios/b.mrc\n"
    write(tmp_path / "Import/job001/micrographs.star", "data_micrographs\n\nloop_\n_rlnMicrographName #1\n" + names)
    found = find_micrographs(tmp_path / "Import/job001/micrographs.star")
    assert [source.name for source in found] == ["data_krios/a.mrc", "data_krios/b.mrc"]


@pytest.mark.parametrize("gap", ["", "\n", "\n# version 30001\n\n"])
def test_a_block_after_a_loop_of_one_column_is_a_block(tmp_path, gap):
    text = f"data_a\nloop_\n_name #1\ndata_1.mrc\nx.mrc\n{gap}data_b\n\nloop_\n_value #1\n7\n"
    tables = read_star(write(tmp_path / "x.star", text))
    assert {name: len(table) for name, table in tables.items()} == {"a": 2, "b": 1}


def test_names_that_begin_like_words_of_star_come_back(tmp_path):
    names = [
        "data_1.mrc",
        "loop_",
        "save_x",
        "_x.mrc",
        "a b.mrc",
        "'x.mrc",
        "#x.mrc",
        "$x",
        "a\tb\x0bc\x0cd",
        "Prä\u00a0parat",
        "x'",
    ]
    write_picks([Picks(name, [[1, 2]]) for name in names], tmp_path / "p.star")
    assert [picks.micrograph for picks in read_picks(tmp_path / "p.star")] == names


# ASPIRE#630, scipion#1522, relion#849, relion#700: what is wrong is named


def test_a_row_with_too_many_values_is_named_by_its_row_and_line(tmp_path):
    path = write(tmp_path / "a.star", FLAT + "a.mrc 10 20\na.mrc 30 40 9\nb.mrc 50 60\n")
    with pytest.raises(FileError, match=r"row 2 of data_particles \(line 8\) has 4 values, its loop has 3 columns"):
        read_picks(path)


def test_rows_whose_faults_cancel_out_are_seen(tmp_path):
    path = write(tmp_path / "a_autopick.star", "data_\nloop_\n_rlnCoordinateX\n_rlnCoordinateY\n1 2 3\n4 5\n6\n")
    with pytest.raises(FileError, match=r"row 1 of data_ \(line 5\) has 3 values"):
        read_picks(path)


def test_a_name_with_blanks_is_named(tmp_path):
    path = write(tmp_path / "m.star", "data_micrographs\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\nmic dir/29 kx.mrc 1\n")
    with pytest.raises(FileError, match=r"row 1 .*\(line 5\) has 4 values, .*text with blanks needs quotes"):
        find_micrographs(path)


@pytest.mark.parametrize(
    ("other", "said"), [("data_particles", "data_particles (lines 1 and 8)"), ("data_more", "data_more (line 8)")]
)
def test_joined_star_files_name_both_blocks(tmp_path, other, said):
    second = FLAT.replace("data_particles", other)
    with pytest.raises(FileError) as error:
        read_picks(write(tmp_path / "p.star", FLAT + "a.mrc 10 20\n" + second + "b.mrc 30 40\n"))
    assert "data_particles" in str(error.value)
    assert said in str(error.value)


def test_absurd_scores_and_magnifications_give_no_bare_warnings(tmp_path):
    scored = FLAT + "_rlnAutopickFigureOfMerit #4\na.mrc 10 20 3.1e12\na.mrc 30 40 1e39\n"
    images(tmp_path, "a.mrc")
    listed = "data_\nloop_\n_rlnMicrographName\n_rlnMagnification\n_rlnDetectorPixelSize\na.mrc 0 5.0\n"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(FileError, match=r"pick 2 of a\.mrc has the score 1e\+39, which is too large"):
            read_picks(write(tmp_path / "p.star", scored))
        assert find_micrographs(write(tmp_path / "m.star", listed))[0].pixel_size is None


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    tables = {
        "p.star": FLAT.replace("#3\n", "#3\n_rlnCoordinateX #4\n") + "a.mrc 1 2 3\n",
        "p.csv": "micrograph,x,y,x\na.mrc,1,2,3\n",
        "q.csv": "micrograph,x,y,X\na.mrc,1,2,3\n",
        "p.txt": "image_name\tx_coord\ty_coord\ty_coord\na\t1\t2\t3\n",
    }
    for name, text in tables.items():
        with pytest.raises(FileError, match=r"has the column \w+ twice"):
            read_picks(write(tmp_path / name, text))


# relion#582, scipion#785, topaz#102, micrograph_cleaner_em#4: folders with one coordinate STAR for each micrograph


@pytest.mark.parametrize("ending", ["", "_automatch", "_autopick", "_manualpick", "_topazpicks", "_picks"])
def test_a_folder_of_coordinate_stars_is_read_whatever_their_ending(tmp_path, ending):
    for number in range(2):
        write(tmp_path / "job" / f"sim_{number}{ending}.star", COORDINATES + f"1{number} 20 0.5\n30 40 0.7\n")
    for options in (
        {},
        {"format": "relion"},
        {"micrographs": find_micrographs(images(tmp_path / "raw", "sim_0.mrc", "sim_1.mrc"))},
    ):
        found = read_picks(tmp_path / "job", **options)
        assert [Path(picks.micrograph).stem for picks in found] == ["sim_0", "sim_1"]
        assert [picks.xy.tolist() for picks in found] == [[[10, 20], [30, 40]], [[11, 20], [30, 40]]]
    (one,) = read_picks(tmp_path / "job" / f"sim_0{ending}.star", **options)
    assert one.micrograph.endswith("sim_0.mrc")


def test_an_ending_that_all_files_share_is_left_out_where_the_micrographs_say_so(tmp_path):
    for number in range(2):
        write(tmp_path / "boxes" / f"sim_{number}_mypicker.box", "8\t18\t4\t4\n")
    sources = find_micrographs(images(tmp_path / "raw", "sim_0.mrc", "sim_1.mrc"))
    assert [picks.micrograph[-9:] for picks in read_picks(tmp_path / "boxes", micrographs=sources)] == ["sim_0.mrc", "sim_1.mrc"]


def test_gautomatchs_rejected_picks_are_left_out(tmp_path):
    for ending in ("_automatch", "_nonunique", "_rejected"):
        write(tmp_path / f"sim{ending}.star", COORDINATES + "10 20 0.5\n")
    assert [(picks.micrograph, len(picks)) for picks in read_picks(tmp_path)] == [("sim", 1)]


def test_two_files_of_one_micrograph_are_refused(tmp_path):
    for ending in ("_automatch", "_manualpick"):
        write(tmp_path / f"sim{ending}.star", COORDINATES + "10 20 0.5\n")
    with pytest.raises(FileError, match=r"two files of the micrograph sim: sim_automatch\.star and sim_manualpick\.star"):
        read_picks(tmp_path)


def test_a_list_of_micrographs_in_a_folder_is_no_file_of_picks(tmp_path):
    write(tmp_path / "micrographs.star", "data_\nloop_\n_rlnMicrographName\na.mrc\n")
    with pytest.raises(FileError, match="no known format"):
        read_picks(tmp_path)


# scipion#602: one .pos for all micrographs; pyem#59, topaz#138: no rlnMicrographName


def test_a_pos_file_that_names_micrographs_has_picks_on_each(tmp_path):
    rows = "10 20 a.mrc 1\n30 40 b.mrc 1\n50 60 a.mrc -1\n"
    path = write(tmp_path / "all.pos", f"# XMIPP_STAR_1 *\ndata_noname\nloop_\n _xcoor\n _ycoor\n _micrograph\n _enabled\n{rows}")
    assert [(picks.micrograph, picks.xy.tolist()) for picks in read_picks(path)] == [("a.mrc", [[10, 20]]), ("b.mrc", [[30, 40]])]
    sources, unknown = find_micrographs(images(tmp_path / "raw", "b.mrc")), set()
    assert [len(picks) for picks in read_picks(path, micrographs=sources, unknown=unknown)] == [1]
    assert unknown == {"a.mrc"}


def test_several_micrographs_are_not_read_as_one(tmp_path):
    blocks = "data_mic_a\nloop_\n _xcoor\n _ycoor\n 10 20\ndata_mic_b\nloop_\n _xcoor\n _ycoor\n 30 40\n"
    particles = COORDINATES.replace("_rlnAutopickFigureOfMerit", "_rlnImageName") + "10 20 1@a.mrcs\n30 40 1@b.mrcs\n"
    ids = "data_\nloop_\n _xcoor\n _ycoor\n _micrographId\n 10 20 1\n 30 40 2\n"
    cases = {
        "blocks.pos": (blocks, r"data_mic_a \(line 1\) and data_mic_b \(line 6\)"),
        "noname.star": (particles, "no column _rlnMicrographName"),
        "ids.pos": (ids, "without their names"),
        "mics.csv": ("mic,x,y\na.mrc,1,2\nb.mrc,3,4\n", "names of micrographs in the unknown column mic"),
        "cryoppp.csv": ("filename,X-Coordinate,Y-Coordinate\na.mrc,1,2\nb.mrc,3,4\n", "several micrographs"),
    }
    for name, (text, said) in cases.items():
        with pytest.raises(FileError, match=said):
            read_picks(write(tmp_path / name, text))
    with pytest.raises(FileError, match="several micrographs"):
        read_picks(write(tmp_path / "flat.star", FLAT + "a.mrc 1 2\nb.mrc 3 4\n"), format="relion")


# topaz#12, topaz#60, relion#1334, topaz#185: coordinates of reduced images


REDUCED = {
    "csv": "image_name,x_coord,y_coord\na,1,2\nb,5,6\n",
    "topaz": "image_name\tx_coord\ty_coord\na\t1\t2\nb\t5\t6\n",
    "star": FLAT + "a 1 2\nb 5 6\n",
}


@pytest.mark.parametrize("name", REDUCED)
def test_the_factor_multiplies_coordinates_of_every_format(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / f"p.{'txt' if name == 'topaz' else name}", REDUCED[name])
    assert detect_format(path) == name
    assert "images reduced by a factor of 8" in run("convert", path, "out.star", "--downsample", 8)
    assert [picks.xy.tolist() for picks in read_picks("out.star")] == [[[8, 16]], [[40, 48]]]


def test_the_factor_multiplies_boxes_diameters_and_pixel_sizes(tmp_path):
    write_picks([Picks("a.mrc", [[10, 20]], diameter=8)], tmp_path / "a.cbox")
    (picks,) = read_picks(tmp_path / "a.cbox", downsample=4)
    assert (picks.xy.tolist(), picks.diameter) == ([[40, 80]], 32)
    write_picks([Picks("a.mrc", [[10, 20]], diameter=60, pixel_size=8.0, shape_hw=(15, 20))], tmp_path / "p.json", box=6)
    write_picks([Picks("a.mrc", [[10, 20]], diameter=60, pixel_size=8.0)], tmp_path / "p.star")
    (picks,) = read_picks(tmp_path / "p.star", downsample=4)
    assert (picks.xy.tolist(), picks.diameter, picks.pixel_size) == ([[40, 80]], 60, 2)
    (picks,) = read_picks(tmp_path / "p.json", downsample=4)
    assert (picks.xy.tolist(), picks.diameter, picks.shape_hw) == ([[40, 80]], 24, (60, 80))


def test_the_factor_flips_rows_at_the_reduced_height(tmp_path):
    # RELION counts a TIFF's rows from the last: row 4 of 15 is row 10 from the first, row 40 of 60.
    sources = find_micrographs(images(tmp_path / "raw", "a.mrc"))
    write(tmp_path / "a.csv", "X-Coordinate,Y-Coordinate\n3,4\n")
    (picks,) = read_picks(tmp_path / "a.csv", micrographs=sources, downsample=4)
    assert picks.xy.tolist() == [[12, 40]]


def test_fractions_and_runs_refuse_the_factor(tmp_path):
    with pytest.raises(FileError, match="downsample does not apply"):
        run("convert", cs(tmp_path / "p.cs", [b"a.mrc"]), tmp_path / "o.csv", "--downsample", 2)
    images(tmp_path / "raw", "a.mrc")
    run("pick", tmp_path / "raw", "--out", tmp_path / "run", "--picker", "log", "--diameter", 20)
    with pytest.raises(SettingError, match="downsample does not apply to runs"):
        run("convert", tmp_path / "run", tmp_path / "o.csv", "--downsample", 2)
    for words in (["review", tmp_path / "run"], ["report", tmp_path / "run"], ["check", tmp_path / "run"]):
        with pytest.raises(SettingError, match="--downsample"):
            run(*words, "--downsample", 2)
    assert RunFolder(tmp_path / "run").table.is_file()


def test_topazs_table_is_written_with_the_coordinates_of_reduced_images(tmp_path):
    write(tmp_path / "p.star", FLAT + "a 80 160\n")
    assert "to" in run("convert", tmp_path / "p.star", tmp_path / "o.txt", "--downsample", 8)
    assert (tmp_path / "o.txt").read_text().splitlines()[1] == "a\t10\t20"
    run("convert", tmp_path / "o.txt", tmp_path / "again.txt", "--downsample", 8)
    assert (tmp_path / "again.txt").read_text() == (tmp_path / "o.txt").read_text()
    with pytest.raises(SettingError, match="downsample applies to topaz only"):
        write_picks(read_picks(tmp_path / "p.star"), tmp_path / "o.csv", downsample=8)


@pytest.mark.parametrize("factor", ["0", "0.5", "nan", "inf", "x"])
def test_a_senseless_factor_is_bad_usage(tmp_path, factor):
    write(tmp_path / "p.star", FLAT + "a 80 160\n")
    run("convert", tmp_path / "p.star", tmp_path / "o.csv", "--downsample", factor, code=2)


def test_evaluate_scores_reduced_coordinates_of_either_side(tmp_path):
    write(tmp_path / "found.txt", REDUCED["topaz"])
    write(tmp_path / "truth.csv", "micrograph,x,y\na.mrc,8,16\nb.mrc,40,48\n")
    words = ["--diameter", 8, "--json"]
    found = run("evaluate", tmp_path / "found.txt", tmp_path / "truth.csv", "--downsample", 8, *words)
    assert json.loads(found[found.index("{") :])["pooled"]["f1"] == 1
    found = run("evaluate", tmp_path / "truth.csv", tmp_path / "found.txt", "--truth-downsample", 8, *words)
    assert json.loads(found[found.index("{") :])["pooled"]["f1"] == 1


def test_finetune_and_dataset_read_reduced_coordinates(tmp_path):
    images(tmp_path / "raw", "a.mrc", "b.mrc")
    write(tmp_path / "p.txt", REDUCED["topaz"])
    found = find_labelled(tmp_path / "raw", tmp_path / "p.txt", diameter=20, downsample=8)
    assert [one.truth.xy.tolist() for one in found.micrographs] == [[[8, 16]], [[40, 48]]]
    words = ["--picks", tmp_path / "p.txt", "--diameter", 21, "--downsample", 8, "--split", 1, 0, 0]
    run("dataset", "coco", tmp_path / "raw", "--out", tmp_path / "coco", *words)
    assert [picks.xy.tolist() for picks in read_picks(tmp_path / "coco" / "train.json")] == [[[8, 16]], [[40, 48]]]


def test_check_and_review_read_reduced_coordinates(tmp_path):
    from cryopick.review.load import load_micrographs

    images(tmp_path / "raw", "a.mrc", "b.mrc")
    write(tmp_path / "p.txt", REDUCED["topaz"])
    opened = load_micrographs(tmp_path / "raw", picks=tmp_path / "p.txt", downsample=8)
    assert [each.picks.xy.tolist() for each in opened.micrographs] == [[[8, 16]], [[40, 48]]]
    assert "good" in run("check", tmp_path / "p.txt", "--micrographs", tmp_path / "raw", "--downsample", 8)
    # b's pick at (5, 6) is off 80 columns when multiplied by 20
    said = run("check", tmp_path / "p.txt", "--micrographs", tmp_path / "raw", "--downsample", 20, code=1)
    assert "1 of 1 picks lie outside" in said


def test_picks_that_fill_a_corner_of_all_micrographs_are_reported(tmp_path, caplog):
    points = np.random.default_rng(0).uniform(0, 1, (30, 2)) * (10, 7)
    assert "1/8" in (reduced_doubt([Picks("a", points, shape_hw=SHAPE)]) or "")
    assert reduced_doubt([Picks("a", points * 7, shape_hw=SHAPE)]) is None
    assert reduced_doubt([Picks("a", points[:5], shape_hw=SHAPE)]) is None
    images(tmp_path / "raw", "a.mrc")
    write_picks([Picks("a.mrc", points)], tmp_path / "p.csv")
    said = run("check", tmp_path / "p.csv", "--micrographs", tmp_path / "raw")
    assert "note: all picks lie in the first 1/8" in said


def test_a_box_for_a_format_without_boxes_is_refused(tmp_path):
    write(tmp_path / "p.csv", "micrograph,x,y\na.mrc,1,2\n")
    for name in set(FORMATS.own) - {"box", "cbox", "coco"}:
        with pytest.raises(SettingError, match=f"--box applies only to box, cbox, coco; the format {name} has no boxes"):
            run("convert", tmp_path / "p.csv", tmp_path / "out", "--to", name, "--box", 10)
    with pytest.raises(SettingError, match="the format csv has no boxes"):
        write_picks([Picks("a", [[1, 2]])], tmp_path / "o.csv", box=10)


def test_topazs_table_with_blanks_for_tabs_is_read(tmp_path):
    text = "image_name     x_coord     y_coord  score\nsim_0.mrc     10    20  -3.5\nsim_1.mrc     50    60  1\n"
    found = read_picks(write(tmp_path / "t.txt", text))
    assert [(picks.micrograph, picks.xy.tolist(), picks.scores.tolist()) for picks in found] == [
        ("sim_0.mrc", [[10, 20]], [-3.5]),
        ("sim_1.mrc", [[50, 60]], [1]),
    ]


# pyem#71, pyem#74, vesicle-picker#3: 21 digits before names


def test_digits_that_are_no_uid_are_a_part_of_the_name(tmp_path):
    name = "999999999999999999999_a.mrc"  # over 2⁶⁴
    assert uid(name) is None
    assert uid(f"{2**64 - 1:021d}_a.mrc") == 2**64 - 1
    assert uid(f"{2**64:021d}_a.mrc") is None
    assert uid("٠٠٠٠٠١٢٨١٤٦٧٢٤٣٧٣٧٠٥٩_a.mrc") is None
    write_picks([Picks(name, [[1, 2]], shape_hw=SHAPE)], tmp_path / "p.cs")
    write_picks([Picks(name, [[1, 2]])], tmp_path / "p.star", format="cryosparc-star")
    assert [read_picks(tmp_path / file)[0].micrograph for file in ("p.cs", "p.star")] == [name, name]


# pyem#114: check of an exposures .cs


def test_the_micrographs_of_exposures_and_lists_are_checked_with_their_pixel_sizes(tmp_path):
    images(tmp_path / "mc", "a.mrc", pixel_size=1.0)
    cs(
        tmp_path / "exposures.cs",
        [b"mc/a.mrc"],
        shape=None,
        prefix="micrograph_blob/path",
        extra=[("micrograph_blob/psize_A", "<f4")],
        **{"micrograph_blob/psize_A": 1.77},
    )
    said = run("check", tmp_path / "exposures.cs")
    assert "1 file checked, 0 with faults" in said
    assert "pixel size: 1.77 Å" in said
    optics = "data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 2.5\n\n"
    rows = "data_micrographs\nloop_\n_rlnMicrographName #1\n_rlnOpticsGroup #2\nmc/a.mrc 1\n"
    assert "pixel size: 2.5 Å" in run("check", write(tmp_path / "micrographs.star", optics + rows))


def test_exposures_given_as_picks_are_named_for_what_they_are(tmp_path):
    with pytest.raises(FileError, match="lists micrographs, not picks"):
        read_picks(cs(tmp_path / "e.cs", [b"a.mrc"], shape=None, prefix="micrograph_blob/path"))


def test_a_group_of_cryosparc_names_its_datasets(tmp_path):
    group = "results:\n  picks:\n    metafile: '>J12_picked_particles.cs'\n    type: particle\n"
    path = write(tmp_path / "J12.csg", group)
    for read in (read_picks, find_micrographs):
        with pytest.raises(FileError, match=r"CryoSPARC group.*Give the \.cs file that it names: J12_picked_particles\.cs"):
            read(path)


# cryolo#17, warp#224, warp#288: coordinates in tomograms


CBOX = "data_cryolo\nloop_\n_CoordinateX\n_CoordinateY\n_CoordinateZ\n_Width\n_Height\n_EstWidth\n_Confidence\n"
TOMOGRAMS = {
    "warp.star": FLAT.replace("#3\n", "#3\n_rlnCoordinateZ #4\n") + "TS_01.tomostar 10 20 30\n",
    "mic.star": FLAT.replace("#3\n", "#3\n_rlnCoordinateZ #4\n") + "TS_01.mrc 10 20 30\n",
    "name.star": FLAT + "TS_01.tomostar 10 20\n",
    "relion4.star": "data_particles\nloop_\n_rlnTomoName\n_rlnCoordinateX\n_rlnCoordinateY\n_rlnCoordinateZ\n1 10 20 30\n",
    "relion5.star": "data_particles\nloop_\n_rlnTomoName\n_rlnCenteredCoordinateXAngst\nTS_01 10\n",
    "t.cbox": CBOX + "1 2 12.0 64 64 70 0.5\n",
    "t.pos": "data_\nloop_\n_xcoor\n_ycoor\n_zcoor\n1 2 3\n",
    "t.csv": "micrograph,x,y,z\na,1,2,3\n",
    "t.txt": "image_name\tx_coord\ty_coord\tz_coord\na\t1\t2\t3\n",
    "t_info.json": '{"boxes_3d": [[1, 2, 3, "tomobox", 0.5, 0]], "boxes": []}',
}


@pytest.mark.parametrize("name", TOMOGRAMS)
def test_picks_in_tomograms_are_refused(tmp_path, name):
    with pytest.raises(FileError, match="contains picks in tomograms"):
        read_picks(write(tmp_path / name, TOMOGRAMS[name]))
    assert "contains picks in tomograms" in run("check", tmp_path / name, code=1)


def test_a_third_coordinate_of_0_is_no_tomogram(tmp_path):
    (picks,) = read_picks(write(tmp_path / "p.star", FLAT.replace("#3\n", "#3\n_rlnCoordinateZ #4\n") + "a.mrc 10 20 0\n"))
    assert picks.xy.tolist() == [[10, 20]]


# cryolo: a box without a confidence, and .cbox before it was STAR


def test_one_box_without_a_confidence_does_not_drop_those_of_the_others(tmp_path, caplog):
    text = CBOX + "0 0 <NA> 10 20 12 0.5\n10 20 <NA> 10 20 <NA> <NA>\n"
    (picks,) = read_picks(write(tmp_path / "a.cbox", text))
    assert picks.scores.tolist() == [0.5, 1.0]
    assert picks.diameters.tolist() == [12, 10]
    assert "1 of 2 boxes have no confidence" in caplog.text
    (picks,) = read_picks(write(tmp_path / "b.cbox", CBOX + "0 0 <NA> 10 20 12 <NA>\n"))
    assert picks.scores is None


def test_an_old_cbox_is_named_and_its_boxes_can_be_read(tmp_path):
    path = write(tmp_path / "a.cbox", "100\t120\t64\t64\t0.45\t70.5\t70.1\n")
    with pytest.raises(FileError, match=r"before version 1\.8.*--from box"):
        read_picks(path)
    (picks,) = read_picks(path, format="box")
    assert (picks.micrograph, picks.xy.tolist()) == ("a", [[132, 152]])


# topaz#24, MotionCor2 and CryoSPARC: names of one exposure


UID = "000001281467243737059"


@pytest.mark.parametrize(
    ("relion", "cryosparc"),
    [
        ("MotionCorr/job002/raw/x_fractions.mrc", f"J2/motioncorrected/{UID}_x_fractions_patch_aligned_doseweighted.mrc"),
        ("raw/x.mrc", f"J2/motioncorrected/{UID}_x_patch_aligned.mrc"),
        ("raw/x.mrc", f"{UID}_x_rigid_aligned_doseweighted"),
        ("raw/x_DW.mrc", f"{UID}_x_patch_aligned_doseweighted.mrc"),
        ("x_DWS.mrc", "other/x.tif"),
    ],
)
def test_relions_and_cryosparcs_names_of_one_exposure_meet(relion, cryosparc):
    assert NameIndex([relion, "raw/y.mrc"]).find(cryosparc) == relion
    assert NameIndex([cryosparc, "raw/y.mrc"]).find(relion) == cryosparc
    (pair,), others = pair_micrographs([Picks(relion, [[1, 2]])], [Picks(cryosparc, [[1, 2]])])
    assert (len(pair.found), others) == (1, ())


def test_a_name_with_the_same_mark_is_closer_than_one_without():
    assert NameIndex(["raw/x.mrc", "raw/x_DW.mrc"]).find("x_DW") == "raw/x_DW.mrc"
    assert NameIndex(["raw/x.mrc", "raw/x_DW.mrc"]).find("x") == "raw/x.mrc"
    with pytest.raises(NameMatchError, match="matches"):
        NameIndex(["raw/x.mrc", "raw/x_DW.mrc"]).find(f"{UID}_x_patch_aligned.mrc")


def test_another_copy_of_an_exposure_has_no_ground_truth_of_its_own():
    found = [Picks("x_DW.mrc", [[1, 2], [3, 4]]), Picks("x.mrc", [[1, 2]])]
    (pair,), others = pair_micrographs(found, [Picks("raw/x.mrc", [[1, 2]])])
    assert (pair.found.micrograph, others) == ("x.mrc", ("x_DW.mrc",))


# COCO categories, EMAN2, numbers


def coco(path, categories, used):
    annotations = [
        {"id": number, "image_id": 1, "category_id": category, "bbox": [number, 0, 4, 4]} for number, category in enumerate(used)
    ]
    named = [{"id": number, "name": name} for number, name in enumerate(categories, 1)]
    content = {"images": [{"id": 1, "file_name": "a.mrc"}], "annotations": annotations, "categories": named}
    return write(path, json.dumps(content))


@pytest.mark.parametrize(
    ("categories", "corners"),
    [
        (["particle", "ice"], [0, 2]),
        (["ice", "particle"], [1]),
        (["ribosome", "ice"], [0, 2]),
        (["good particle", "non-particle"], [0, 2]),
        (["top particle", "side particle"], [0, 1, 2]),
    ],
)
def test_particles_are_the_category_of_that_name_or_the_only_one_left(tmp_path, categories, corners):
    (picks,) = read_picks(coco(tmp_path / "x.json", categories, [1, 2, 1]))
    assert (picks.xy[:, 0] - 2).tolist() == corners


@pytest.mark.parametrize(
    ("categories", "said"),
    [(["ice"], r"no category of particles \(only ice\)"), (["a", "b"], r"several categories \(a, b\)"), (["x"], "category 2")],
)
def test_categories_that_may_not_be_particles_are_asked_about(tmp_path, categories, said):
    with pytest.raises(FileError, match=said):
        read_picks(coco(tmp_path / "x.json", categories, [1, 2 if len(categories) > 1 or "x" in categories else 1]))


def test_one_category_of_any_name_and_none_at_all_are_particles(tmp_path):
    assert len(read_picks(coco(tmp_path / "x.json", ["ribosome"], [1, 1]))[0]) == 2
    assert len(read_picks(coco(tmp_path / "y.json", [], [7, 7]))[0]) == 2


@pytest.mark.parametrize("number", ["1_000", "１２", "٣", "1e999", "0x10", "1,5"])
def test_numbers_that_only_python_takes_are_refused(tmp_path, number):
    tables = {
        "p.star": f"{FLAT}a.mrc {number} 2\n",
        "p.csv": f'micrograph,x,y\na.mrc,"{number}",2\n',
        "p.box": f"{number} 2 4 4\n",
        "p.txt": f"image_name\tx_coord\ty_coord\na\t{number}\t2\n",
        "p.pos": f"data_\nloop_\n_xcoor\n_ycoor\n{number} 2\n",
        "p_info.json": json.dumps({"boxes": [[number, 2, "manual"]]}),
    }
    for name, text in tables.items():
        with pytest.raises(FileError, match=r"row 1 has"):
            read_picks(write(tmp_path / name, text))


@pytest.mark.parametrize("name", ["xmipp", "topaz", "box", "relion", "csv", "star", "cryoppp"])
def test_a_coordinate_beyond_any_micrograph_is_neither_read_nor_written(tmp_path, name):
    with pytest.raises(CryopickError, match=r"a\.mrc: a pick has the coordinate 1e\+300"):
        write_picks(
            [Picks("a.mrc", [[1e300, 2]], shape_hw=SHAPE)], tmp_path / "out", format=name, box=4 if name == "box" else None
        )
    assert not list(tmp_path.rglob("a*"))
    with pytest.raises(FileError, match=r"pick 1 of a\.mrc is at \(1e\+300, 2\)"):
        read_picks(write(tmp_path / "p.csv", "micrograph,x,y\na.mrc,1e300,2\n"))


@pytest.mark.parametrize("size", ["1e30", "1e-30", "-1"])
def test_a_pixel_size_that_no_microscope_has_is_refused(tmp_path, size):
    optics = f"data_optics\nloop_\n_rlnOpticsGroup #1\n_rlnMicrographPixelSize #2\n1 {size}\n\n"
    path = write(tmp_path / "p.star", optics + FLAT.replace("#3\n", "#3\n_rlnOpticsGroup #4\n") + "a.mrc 1 2 1\n")
    with pytest.raises(FileError, match=r"pixel size .* must be between"):
        read_picks(path)


@pytest.mark.parametrize("group", ["1e30", "-1", "1.5"])
def test_a_group_that_is_no_number_of_a_group_is_named(tmp_path, group):
    path = write(tmp_path / "p.star", FLAT.replace("#3\n", "#3\n_rlnOpticsGroup #4\n") + f"a.mrc 1 2 {group}\n")
    with pytest.raises(FileError, match="row 1 has _rlnOpticsGroup"):
        read_picks(path)


def test_picks_off_their_micrographs_are_reported(tmp_path, caplog):
    images(tmp_path / "raw", "a.mrc")
    write(tmp_path / "p.csv", "micrograph,x,y\na.mrc,10,20\na.mrc,500,20\na.mrc,80,59.5\n")
    run("convert", tmp_path / "p.csv", tmp_path / "o.csv", "--micrographs", tmp_path / "raw")
    assert "1 of 3 picks lie outside their micrographs, such as 1 on a.mrc" in caplog.text
    assert outside_of([Picks("a", [[-0.5, 79.9]], shape_hw=(80, 80))]) is None


@pytest.mark.parametrize("start", [b"\x1f\x8b\x08", b"BZh91AY", b"PK\x03\x04"])
def test_compressed_picks_are_not_unpacked(tmp_path, start):
    with pytest.raises(FileError, match="is compressed"):
        read_picks(write(tmp_path / "p.star.gz", start + b"\0" * 100))


@pytest.mark.parametrize("name", ["box", "eman2", "cbox", "xmipp", "cryoppp", "relion"])
def test_a_format_that_is_not_written_leaves_no_single_file(tmp_path, name):
    # box and cbox need a diameter, cryoppp a shape, and relion a shape for the rows of a TIFF
    last = Picks("b.tif" if name == "relion" else "b.mrc", [[1e300, 2]] if name in {"eman2", "xmipp"} else [[1, 2]])
    with pytest.raises(CryopickError):
        write_picks([Picks("a.mrc", [[1, 2]], diameter=4, shape_hw=SHAPE), last], tmp_path / "out", format=name)
    assert not list(tmp_path.rglob("*.*"))


def test_hidden_tables_in_a_folder_are_not_picks(tmp_path):
    write(tmp_path / "a.csv", "x,y\n1,2\n")
    write(tmp_path / ".a-1a2b3c4d.csv", "x,y\n1,2\n3,4\n")
    assert [(picks.micrograph, len(picks)) for picks in read_picks(tmp_path)] == [("a", 1)]


@pytest.mark.parametrize("name", ["csv", "topaz", "star"])
def test_a_name_that_does_not_fit_into_a_row_is_refused_and_nothing_is_written(tmp_path, name):
    with pytest.raises(CryopickError, match="line end"):
        write_picks([Picks("a.mrc", [[1, 2]]), Picks("b\nc.mrc", [[1, 2]])], tmp_path / "out", format=name)
    assert not list(tmp_path.iterdir())


def test_an_optics_table_longer_than_the_first_look_at_a_file(tmp_path):
    groups = "".join(f"opticsGroup{number} {number} 1.06 {'x' * 100}\n" for number in range(1, 1000))
    optics = "data_optics\nloop_\n_rlnOpticsGroupName\n_rlnOpticsGroup\n_rlnMicrographPixelSize\n_rlnMtfFileName\n"
    path = write(tmp_path / "p.star", optics + groups + "\n" + FLAT.replace("#3\n", "#3\n_rlnOpticsGroup #4\n") + "a.mrc 1 2 7\n")
    (picks,) = read_picks(path)
    assert (picks.optics_group, picks.pixel_size) == (7, 1.06)
