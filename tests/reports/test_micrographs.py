"""Micrographs as users of this and other programs reported them: read right, or refused by name, and never silently wrong."""

import bz2
import csv
import gzip
import io
import os
import struct
import warnings
import zipfile
import zlib
from contextlib import suppress

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

from cryopick import find_micrographs, read_micrograph, read_picks, write_micrograph
from cryopick.cli import app
from cryopick.errors import CryopickError, FileError
from cryopick.io.check import check_micrograph
from cryopick.io.micrographs.headers import is_whole, read_shape
from cryopick.io.volumes import read_map, read_stack
from cryopick.models import weights
from cryopick.models.attention_unet import AttentionUNet
from cryopick.simulate import simulate_micrograph
from cryopick.simulate.structure_files import read_structure


@pytest.fixture(scope="module")
def simulated():
    """Some 18 particles of 160 Å on 384 x 384 pixels of 4 Å."""
    return simulate_micrograph(seed=1, size=(384, 384), pixel_size=4.0).micrograph.pixels


@pytest.fixture
def frames(rng):
    return rng.normal(100, 8, (4, 48, 64)).astype(np.float32)


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def pick(*words, diameter=160):
    return run("pick", *words, "--picker", "log", "--diameter", diameter, "--workers", 1, "--no-report")


def rows(out):
    with (out / "micrographs.csv").open(encoding="utf-8", newline="") as table:
        return {row["name"]: row for row in csv.DictReader(table)}


# ---- axes of TIFFs: topaz#217, topaz#219, tifffile#19, tifffile#66, tifffile#100, tifffile#155

ONE_IMAGE = {
    "one leading axis": (lambda a: a[None], {"photometric": "minisblack"}),
    "two leading axes": (lambda a: a[None, None], {}),
    "three leading axes": (lambda a: a[None, None, None], {"photometric": "minisblack"}),
    "a trailing axis": (lambda a: a[..., None], {}),
    "both": (lambda a: a[None, ..., None], {"photometric": "minisblack"}),
    "ImageJ": (lambda a: a[None, None, None], {"imagej": True}),
    "OME": (lambda a: a[None, None], {"ome": True}),
    "one plane deep": (lambda a: a[None], {"volumetric": True, "photometric": "minisblack"}),
    "a leading axis, 16 bits, LZW": (lambda a: a[None].astype("u2"), {"compression": "lzw", "photometric": "minisblack"}),
    "a leading axis, in tiles": (lambda a: a[None], {"tile": (16, 16), "photometric": "minisblack"}),
    "equal planes": (lambda a: np.stack([a] * 3), {}),
    "equal planes with a leading axis": (lambda a: np.stack([a] * 3)[None], {"photometric": "rgb", "planarconfig": "separate"}),
}


@pytest.mark.parametrize("case", ONE_IMAGE)
def test_axes_of_length_one_are_no_pixels(tmp_path, frames, case):
    arrange, options = ONE_IMAGE[case]
    values = arrange(frames[0])
    tifffile.imwrite(tmp_path / "m.tif", values, **options)
    micrograph = read_micrograph(tmp_path / "m.tif")
    assert np.array_equal(micrograph.pixels, frames[0].astype(values.dtype))
    assert read_shape(tmp_path / "m.tif")[0] == (48, 64)
    assert is_whole(tmp_path / "m.tif")
    assert check_micrograph(tmp_path / "m.tif").facts["size"].startswith("64 x 48 pixels")


STACKS = {
    "planar, 4 frames": (lambda f: f, {}),
    "planar, 3 frames": (lambda f: f[:3], {}),
    "planar, 3 frames of 16 bits": (lambda f: f[:3].astype("u2"), {}),
    "planar, 3 frames of 8 bits": (lambda f: f[:3].astype("u1"), {}),
    "planar, 2 frames": (lambda f: f[:2], {"photometric": "minisblack", "planarconfig": "separate"}),
    "planar, 4 frames, called grey": (lambda f: f, {"photometric": "minisblack", "planarconfig": "separate"}),
    "planar, with a leading axis": (lambda f: f[None, :3], {}),
    "pages": (lambda f: f, {"photometric": "minisblack"}),
    "pages with an axis of one": (lambda f: f[:, None], {"photometric": "minisblack"}),
    "ImageJ": (lambda f: f[None], {"imagej": True}),
    "a volume": (lambda f: f, {"volumetric": True, "photometric": "minisblack"}),
}


@pytest.mark.parametrize("case", STACKS)
def test_frames_are_never_colours(tmp_path, frames, case):
    arrange, options = STACKS[case]
    values = arrange(frames)
    tifffile.imwrite(tmp_path / "m.tif", values, **options)
    with pytest.raises(FileError, match=f"is a stack of {values.size // (48 * 64)} images"):
        read_micrograph(tmp_path / "m.tif")


@pytest.mark.parametrize("count", [2, 3, 4, 5])
def test_frames_between_the_pixels_are_refused(tmp_path, frames, count):
    values = np.stack([*frames, frames[0] + 1][:count], axis=-1)
    tifffile.imwrite(tmp_path / "m.tif", values, photometric="minisblack", planarconfig="contig")
    with pytest.raises(FileError, match=f"has {count} different values for each pixel"):
        read_micrograph(tmp_path / "m.tif")


def test_colours_are_still_colours_and_transparency_is_dropped(tmp_path, frames, caplog):
    red, green, blue, alpha = frames.astype("u1")
    tifffile.imwrite(tmp_path / "c.tif", np.stack([red, green, blue], axis=-1), photometric="rgb")
    grey = np.float32(0.299) * red + np.float32(0.587) * green + np.float32(0.114) * blue
    assert np.allclose(read_micrograph(tmp_path / "c.tif").pixels, grey, atol=1e-3)
    assert "luminance" in caplog.text
    tifffile.imwrite(tmp_path / "a.tif", np.stack([red, alpha], axis=-1), photometric="minisblack", planarconfig="contig",
                     extrasamples=["unassalpha"])  # fmt: skip
    assert np.array_equal(read_micrograph(tmp_path / "a.tif").pixels, red)


# ---- cut and damaged TIFFs


def tiffs(folder, pixels):
    """TIFFs whose directory is at the end (OpenCV) and at the beginning (tifffile), in several compressions."""
    made = {}
    for compression in (1, 5, 8, 7):
        kind = pixels.astype("u1") if compression == 7 else pixels.astype("u2")
        cv2.imwrite(str(folder / "x.tif"), kind, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
        made["OpenCV", compression] = (folder / "x.tif").read_bytes()
    several = [
        {},
        {"compression": "lzw", "rowsperstrip": 8},
        {"compression": "zlib", "tile": (16, 16)},
        *({"compression": name} for name in ("zstd", "jpeg", "jpeg2000")),
        {"bigtiff": True},
    ]
    for options in several:
        tifffile.imwrite(folder / "x.tif", pixels.astype("u1"), **options)
        made["tifffile", str(options)] = (folder / "x.tif").read_bytes()
    return made


def readable(path):
    """The micrograph; None where it is refused by its name, and its shape too or not."""
    with suppress(FileError):
        read_shape(path)
    try:
        return read_micrograph(path)
    except FileError as error:
        return None if error.path == path else pytest.fail(f"{error} names another file than {path}")


@pytest.mark.parametrize("fill", [False, True], ids=["cut", "zero-filled"])
def test_a_cut_tiff_of_any_length_is_refused_by_name_or_whole(tmp_path, rng, fill):
    path = tmp_path / "m.tif"
    tried = 0
    for key, content in tiffs(tmp_path, rng.integers(50, 200, (60, 76))).items():
        path.write_bytes(content)
        whole = read_micrograph(path).pixels
        for length in [*range(1, len(content), max(1, len(content) // 25)), len(content) - 1]:
            path.write_bytes(content[:length] + bytes(len(content) - length if fill else 0))
            got = readable(path)
            if not (fill and key in {("OpenCV", 1), ("tifffile", "{}"), ("tifffile", "{'bigtiff': True}")}):
                assert got is None or np.array_equal(got.pixels, whole) or length > len(content) - 40, (key, length)
            assert isinstance(is_whole(path), bool)
            examined = check_micrograph(path)
            assert examined.faults or got is not None
            tried += 1
    assert tried > 200


def test_zeros_at_the_end_of_an_image_are_noted(tmp_path, rng):
    pixels = rng.normal(10, 1, (100, 64)).astype(np.float32)
    write_micrograph(tmp_path / "m.tif", pixels)
    content = (tmp_path / "m.tif").read_bytes()
    (tmp_path / "m.tif").write_bytes(content[: -30 * 256] + bytes(30 * 256))
    assert "the last 30 of 100 rows are 0" in " ".join(check_micrograph(tmp_path / "m.tif").notes)


@pytest.fixture
def with_damage(tmp_path, simulated):
    """A folder whose first micrograph is the first half of a TIFF that OpenCV wrote, with two good ones."""
    folder = tmp_path / "data"
    folder.mkdir()
    cv2.imwrite(str(folder / "a0.tif"), simulated)
    content = (folder / "a0.tif").read_bytes()
    (folder / "a0.tif").write_bytes(content[: len(content) // 2])
    for name in ("b.mrc", "c.mrc"):
        write_micrograph(folder / name, simulated, pixel_size=4.0)
    (folder / "truth.csv").write_text(
        "micrograph,x,y,score\na0.tif,10,20,0.9\na0.tif,30,20,0.9\nb.mrc,100,120,0.9\nc.mrc,150,120,0.8\n"
    )
    return folder


def test_a_damaged_micrograph_stops_no_command(tmp_path, with_damage, capfd):
    out = tmp_path / "out"
    assert pick(with_damage, "--out", out).exit_code == 1
    assert {name: row["status"] for name, row in rows(out).items()} == {"a0.tif": "failed", "b.mrc": "done", "c.mrc": "done"}
    assert "damaged TIFF" in rows(out)["a0.tif"]["error"]
    checked = run("check", with_damage)
    assert checked.exit_code == 1
    assert checked.output.count("good") >= 2
    truth = with_damage / "truth.csv"
    scored = run("evaluate", out, truth, "--micrographs", with_damage, "--diameter", 160)
    assert scored.exit_code == 0, scored.output
    for name in ("star", "cs", "cryoppp", "relion"):
        converted = run("convert", truth, tmp_path / name, "--to", name, "--micrographs", with_damage, "--diameter", 160)
        assert converted.exit_code == 1, converted.output
        assert "2 picks on 2 micrographs" in converted.output
        assert "a0.tif" in converted.output
    made = run(
        "dataset", "coco", with_damage, "--picks", truth, "--diameter", 160, "--out", tmp_path / "coco", "--split", 1, 0, 0
    )
    assert (tmp_path / "coco" / "train.json").is_file(), made.output
    assert "tifffile" not in "".join(capfd.readouterr())  # what the library logs


# ---- pixel sizes: focus#201, IsoNet2#13, relion#126


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0.21, "if it is in nm, give --pixel-size 2.1"),
        (0.106, "if it is in nm, give --pixel-size 1.06"),
        (2.1e-10, "if it is in m, give --pixel-size 2.1"),
        (2.1e-4, "if it is in µm, give --pixel-size 2.1"),
        (210.0, "if it is in pm, give --pixel-size 2.1"),
        (2.1e10, "check it"),
        (2.1, None),
        (0.55, None),
        (14.0, None),
    ],
)
def test_an_implausible_pixel_size_is_noted_with_the_unit_it_may_be_in(tmp_path, simulated, size, said, caplog):
    write_micrograph(tmp_path / "m.mrc", simulated, pixel_size=size)
    notes = " ".join(check_micrograph(tmp_path / "m.mrc").notes)
    assert ("pixel size" in notes) == (said is not None)
    assert (said or "") in notes
    read_micrograph(tmp_path / "m.mrc")
    assert (said or "") in caplog.text


def test_particles_that_do_not_fit_fail_with_their_size_and_the_others_go_on(tmp_path, simulated):
    for name, size in (("nm", 0.21), ("m", 2.1e-10), ("right", 4.0)):
        write_micrograph(tmp_path / f"in/{name}.mrc", simulated, pixel_size=size)
    assert pick(tmp_path / "in", "--out", tmp_path / "out").exit_code == 1
    found = rows(tmp_path / "out")
    # 160 Å / 0.21 Å = 761.9
    assert "its particles would have a diameter of 762 pixels, but the image has only 384" in found["nm.mrc"]["error"]
    assert "--pixel-size 2.1" in found["m.mrc"]["error"]
    assert (found["right.mrc"]["status"], int(found["right.mrc"]["picks"]) > 10) == ("done", True)


def test_a_diameter_that_does_not_fit_is_an_error_also_in_python(tmp_path, simulated):
    import cryopick

    write_micrograph(tmp_path / "m.mrc", simulated, pixel_size=4.0)
    for given in (tmp_path / "m.mrc", read_micrograph(tmp_path / "m.mrc")):
        with pytest.raises(CryopickError, match="diameter of 4,000 pixels, but the image has only 384"):
            cryopick.pick(given, picker="log", diameter=16000)


# ---- bytes: mrcfile#25, mrcfile#69, cisTEM#260


def bytes_mrc(path, values, *, statistics):
    with mrcfile.new(path, values.view(np.int8), overwrite=True) as mrc:
        mrc.voxel_size = 4.0
        if not statistics:
            mrc.header.dmin = mrc.header.dmax = mrc.header.dmean = 0
    return path


@pytest.mark.parametrize("statistics", [False, True])
@pytest.mark.parametrize(("mean", "deviation"), [(128, 25), (60, 25), (128, 42), (190, 25), (110, 8)])
def test_unsigned_bytes_are_told_by_their_values(tmp_path, rng, mean, deviation, statistics):
    values = np.clip(rng.normal(mean, deviation, (128, 96)), 0, 255).astype(np.uint8)
    path = bytes_mrc(tmp_path / "m.mrc", values, statistics=statistics)
    pixels = read_micrograph(path).pixels
    assert np.array_equal(pixels, values)
    assert "uint8" in check_micrograph(path).facts["stored"]
    assert "unsigned" in " ".join(check_micrograph(path).notes)


@pytest.mark.parametrize(("mean", "deviation"), [(0, 25), (10, 42), (-40, 20), (3, 2), (100, 5)])
def test_signed_bytes_stay_signed(tmp_path, rng, mean, deviation):
    values = np.clip(rng.normal(mean, deviation, (128, 96)), -128, 127).astype(np.int8)
    path = bytes_mrc(tmp_path / "m.mrc", values, statistics=False)
    assert np.array_equal(read_micrograph(path).pixels, values)
    assert check_micrograph(path).notes == ()


def test_bytes_of_which_nothing_shows_the_sign_are_noted(tmp_path, rng):
    path = bytes_mrc(tmp_path / "m.mrc", rng.integers(0, 256, (128, 96)).astype(np.uint8), statistics=False)
    assert "neither the header nor the values show" in " ".join(check_micrograph(path).notes)


def test_unsigned_bytes_of_stacks_are_told_too(tmp_path, rng):
    values = np.clip(rng.normal(128, 25, (3, 64, 64)), 0, 255).astype(np.uint8)
    with mrcfile.new(tmp_path / "refs.mrcs", values.view(np.int8)) as mrc:
        mrc.header.dmin = mrc.header.dmax = 0
    assert np.array_equal(read_stack(tmp_path / "refs.mrcs")[0], values)


# ---- several images of one exposure: scipion#1994

FOLDERS = {
    "MotionCor2": (["m0.mrc", "m0_DW.mrc", "m0_DWS.mrc", "m1.mrc", "m1_DW.mrc"], ["m0_DW.mrc", "m1_DW.mrc"]),
    "RELION's own": (["m0.mrc", "m0_noDW.mrc", "m0_PS.mrc", "m0_EVN.mrc", "m0_ODD.mrc"], ["m0.mrc"]),
    "CryoSPARC": (
        [
            f"00000128146724373705{n}_m{n}{end}"
            for n in range(2)
            for end in (
                "_patch_aligned.mrc",
                "_patch_aligned_doseweighted.mrc",
                "_background_estimate.mrc",
                "_thumb_@1x.png",
                "_thumb_@2x.png",
                "_patch_aligned_doseweighted_thumb_@1x.png",
            )
        ],
        [f"00000128146724373705{n}_m{n}_patch_aligned_doseweighted.mrc" for n in range(2)],
    ),
    "packed": (["m.mrc.gz", "m_DW.mrc.gz"], ["m_DW.mrc.gz"]),
    "TIFF": (["m.tif", "m_DW.tif"], ["m_DW.tif"]),
    "not dose-weighted": (["m0.mrc", "m0_DWS.mrc"], ["m0_DWS.mrc"]),
    "only one of each": (["a.mrc", "b_DW.mrc", "c_patch_aligned.mrc", "d_PS.mrc"],) * 2,
    "names that end alike": (["_DW.mrc", "a.mrc", "aDW.mrc", "a_DWX.mrc"],) * 2,
}


@pytest.mark.parametrize("case", FOLDERS)
def test_of_several_images_of_one_exposure_the_dose_weighted_one_is_picked_and_one_line_says_so(tmp_path, case, caplog):
    there, chosen = FOLDERS[case]
    for name in there:
        (tmp_path / name).write_bytes(b"not opened")
    for given in (tmp_path, tmp_path / "*", tmp_path / "**/*"):
        assert [source.name for source in find_micrographs(given)] == sorted(chosen)
    lines = [record.getMessage() for record in caplog.records if str(tmp_path) in record.getMessage()]
    assert len(lines) == (0 if there == chosen else 3)
    find_micrographs(tmp_path)
    assert len([record for record in caplog.records if "one exposure" in record.getMessage()]) == len(lines)  # a watch repeats


def test_files_given_by_name_are_always_picked_with_a_line(tmp_path, caplog):
    paths = [tmp_path / name for name in ("m0.mrc", "m0_DW.mrc", "m0_DWS.mrc")]
    for path in paths:
        path.write_bytes(b"not opened")
    assert [source.path for source in find_micrographs(paths)] == paths
    assert "seem to be images of one exposure" in caplog.text
    assert [source.path for source in find_micrographs(tmp_path / "*_DWS.mrc")] == [paths[2]]
    listing = tmp_path / "all.txt"
    listing.write_text("m0.mrc\nm0_DW.mrc\n")
    assert [source.path for source in find_micrographs(listing)] == paths[:2]


# ---- absurd values


def spoilt(pixels, count, value):
    changed = pixels.copy()
    changed.flat[np.random.default_rng(3).choice(pixels.size, count, replace=False)] = value
    return changed


def saved(path, pixels):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # mrcfile's statistics of such values
        write_micrograph(path, pixels, pixel_size=4.0)
    return path


@pytest.mark.parametrize(
    ("count", "value"), [(1, np.nan), (3, np.inf), (3, -np.inf), (1, 1e30), (2, 3e38), (2, -3e38), (1000, np.nan)]
)
def test_a_few_absurd_pixels_are_replaced_with_a_note(tmp_path, simulated, count, value):
    path = saved(tmp_path / "m.mrc", spoilt(simulated, count, np.float32(value)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = pick(path, "--out", tmp_path / "out")
    assert result.exit_code == 0, result.output
    row = rows(tmp_path / "out")["m.mrc"]
    assert "replaced by the median" in row["notes"]
    plain = pick(saved(tmp_path / "plain.mrc", simulated), "--out", tmp_path / "plain")
    assert plain.exit_code == 0
    assert abs(int(row["picks"]) - int(rows(tmp_path / "plain")["plain.mrc"]["picks"])) <= 1


def test_many_nan_are_an_error_that_salvage_helps_with_up_to_half(tmp_path, simulated):
    some = saved(tmp_path / "some.mrc", spoilt(simulated, simulated.size // 10, np.nan))
    most = saved(tmp_path / "most.mrc", spoilt(simulated, simulated.size * 6 // 10, np.nan))
    for path in (some, most):
        with pytest.raises(FileError, match="NaN and 0 infinite pixels, the first in row"):
            read_micrograph(path)
    assert np.isfinite(read_micrograph(some, salvage=True).pixels).all()
    with pytest.raises(FileError, match="NaN"):
        read_micrograph(most, salvage=True)


@pytest.mark.parametrize("power", [-40, -20, -8, -4, 4, 8, 20, 34])
def test_the_scale_of_the_values_changes_no_pick(tmp_path, simulated, power):
    scaled = (simulated.astype(np.float64) * 10.0**power).astype(np.float32)
    saved(tmp_path / "in/a.mrc", scaled)
    saved(tmp_path / "in/b.mrc", simulated)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick(tmp_path / "in", "--out", tmp_path / "out").exit_code == 0
    found = rows(tmp_path / "out")
    assert found["a.mrc"]["picks"] == found["b.mrc"]["picks"]
    assert ("multiplied" in found["a.mrc"]["notes"]) == (abs(power) > 4)


@pytest.mark.parametrize("case", ["one grey", "one grey but for a pixel", "zeros and NaN", "zeros and 1e30", "hot pixels"])
def test_nothing_absurd_passes_without_a_word(tmp_path, simulated, case):
    pixels = {
        "one grey": np.full((64, 64), 7, np.float32),
        "one grey but for a pixel": spoilt(np.full((200, 200), 7, np.float32), 1, 9),
        "zeros and NaN": spoilt(np.zeros((200, 200), np.float32), 1, np.nan),
        "zeros and 1e30": spoilt(np.zeros((200, 200), np.float32), 1, 1e30),
        "hot pixels": spoilt(simulated, 60, np.float32(1000 * simulated.std())),
    }[case]
    path = saved(tmp_path / "m.mrc", pixels)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pick(path, "--out", tmp_path / "out", diameter=80)
    row = rows(tmp_path / "out")["m.mrc"]
    assert row["error"] or row["notes"]
    examined = check_micrograph(path)
    assert examined.faults or examined.notes


# ---- claims


def png(width, height, data=b""):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def mrc_header(nx, ny, mode=2, extended=0):
    header = bytearray(1024)
    struct.pack_into("<4i", header, 0, nx, ny, 1, mode)
    struct.pack_into("<i", header, 92, extended)
    header[208:216] = b"MAP \x44\x44\0\0"
    return bytes(header)


def jpeg(width, height):
    stream = io.BytesIO()
    Image.fromarray(np.tile(np.arange(64, dtype=np.uint8), (64, 1))).save(stream, "JPEG")
    content = bytearray(stream.getvalue())
    place = content.index(b"\xff\xc0") + 5
    content[place : place + 4] = struct.pack(">HH", height, width)
    return bytes(content)


def tiff(folder, side, **options):
    tifffile.imwrite(folder / "claim.tif", np.arange(64 * 64, dtype="u1").reshape(64, 64), **options)
    with tifffile.TiffFile(folder / "claim.tif", mode="r+") as opened:
        for tag in ("ImageWidth", "ImageLength"):
            opened.pages[0].tags[tag].overwrite(side, dtype="I")
    return (folder / "claim.tif").read_bytes()


CLAIMS = {
    "a.jpg": lambda folder: jpeg(32_000, 32_000),
    "b.jpg": lambda folder: jpeg(65_000, 65_000),
    "c.png": lambda folder: png(32_000, 32_000, zlib.compress(bytes(1000))),
    "d.png": lambda folder: png(200_000, 200_000, zlib.compress(bytes(32_000_000))),
    "e.tif": lambda folder: tiff(folder, 32_000),
    "f.tif": lambda folder: tiff(folder, 200_000, compression="zlib"),
    "g.tif": lambda folder: tiff(folder, 32_000, compression="zstd", tile=(64, 64)),
    "h.mrc": lambda folder: mrc_header(200_000, 200_000) + bytes(1000),
    "i.mrc.gz": lambda folder: gzip.compress(mrc_header(200_000, 200_000) + bytes(1000)),
    "j.mrc.bz2": lambda folder: bz2.compress(mrc_header(32_000, 32_000) + bytes(50_000_000)),
    "k.mrc.gz": lambda folder: gzip.compress(mrc_header(64, 64, extended=1 << 30) + bytes(1000)),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_that_the_file_cannot_hold_takes_no_memory(tmp_path, name):
    import resource

    path = tmp_path / name
    path.write_bytes(CLAIMS[name](tmp_path))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for use in (read_micrograph, lambda path: read_micrograph(path, salvage=True)):
        with pytest.raises(FileError, match=r"claim|truncated|damaged"):
            use(path)
    is_whole(path)
    assert check_micrograph(path).faults
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # kB


def test_a_packed_map_that_claims_too_much_is_refused(tmp_path):
    header = bytearray(mrc_header(4000, 4000))
    struct.pack_into("<i", header, 8, 4000)
    (tmp_path / "v.map.gz").write_bytes(gzip.compress(bytes(header) + bytes(1000)))
    with pytest.raises(FileError, match="claims 4,000 sections"):
        read_map(tmp_path / "v.map.gz")


def test_a_packed_file_that_goes_on_after_its_image_is_not_unpacked_to_its_end(tmp_path, rng):
    pixels = rng.normal(size=(64, 64)).astype("<f4")
    with bz2.open(tmp_path / "m.mrc.bz2", "wb") as packed:
        packed.write(mrc_header(64, 64) + pixels.tobytes())
        for _ in range(100):
            packed.write(bytes(1 << 20))
    assert np.array_equal(read_micrograph(tmp_path / "m.mrc.bz2").pixels, pixels)


@pytest.mark.parametrize(
    "settings",
    [{"width": 1000, "levels": 5}, {"width": 10**9, "levels": 1}, {"width": 2, "levels": 3, "maps": 10**7}, {"width": 1e300}],
)
def test_a_card_is_compared_with_the_tensors_before_the_network_is_built(tmp_path, settings):
    path = tmp_path / "tiny.safetensors"
    weights.save(path, {"a": torch.zeros(1)}, weights.Card("attention-unet", settings))
    with pytest.raises(FileError, match=r"does not fit|invalid settings"):
        weights.load(path)


def test_a_card_whose_particles_are_huge_is_refused(tmp_path):
    from cryopick.pickers.unet import UNetPicker, UNetSettings

    state = AttentionUNet(2, 3).state_dict()
    for about in ({"particle_px": 1e6}, {"particle_px": 14.0, "calibration": [float("inf"), 0.0]}):
        weights.save(tmp_path / "w.safetensors", state, weights.Card("attention-unet", {"width": 2, "levels": 3}, input=about))
        with pytest.raises(FileError, match=r"w\.safetensors"):
            UNetPicker(UNetSettings(weights=str(tmp_path / "w.safetensors")))


def test_a_checkpoint_that_unpacks_to_far_more_than_its_file_is_refused(tmp_path):
    torch.save({"a": torch.zeros(4_000_000)}, tmp_path / "plain.pth")
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in plain.namelist():
            packed.writestr(name, plain.read(name))
    with pytest.raises(FileError, match="claims 16,"):
        weights.load(tmp_path / "packed.pth")
    torch.save({"a": torch.zeros(1).expand(100_000, 100_000)}, tmp_path / "wide.pth")
    with pytest.raises(FileError, match="claims more values than it contains"):
        weights.load(tmp_path / "wide.pth")


def test_a_safetensors_file_with_a_damaged_card_is_named(tmp_path):
    for card in ("{", "[]", '{"architecture": 3}', '{"architecture": "attention-unet", "settings": [1]}', "[" * 5000):
        save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors", metadata={"cryopick": card})
        with pytest.raises(FileError, match=r"w\.safetensors"):
            weights.load(tmp_path / "w.safetensors")


# ---- links, names, pipes


def test_patterns_search_links_that_lead_in_circles_once(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("m0.mrc", "a/m1.mrc", "a/b/m2.mrc", "elsewhere/m3.mrc"):
        (tmp_path / name).write_bytes(b"not opened")
    for number in range(8):
        (tmp_path / f"here{number}").symlink_to(".")
        (tmp_path / "a" / f"up{number}").symlink_to("..")
    (tmp_path / "z").symlink_to("elsewhere")
    found = [str(source.path.relative_to(tmp_path)) for source in find_micrographs(tmp_path / "**/*.mrc")]
    assert found == ["a/b/m2.mrc", "a/m1.mrc", "elsewhere/m3.mrc", "m0.mrc"]
    assert [source.name for source in find_micrographs(tmp_path / "a/**/*.mrc")] != []


def test_links_to_folders_elsewhere_are_followed(tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/m.mrc").write_bytes(b"not opened")
    (tmp_path / "project").mkdir()
    (tmp_path / "project/Micrographs").symlink_to(tmp_path / "data")
    (source,) = find_micrographs(tmp_path / "project/**/*.mrc")
    assert source.path == tmp_path / "project/Micrographs/m.mrc"


def test_a_list_with_nul_characters_is_named(tmp_path):
    (tmp_path / "m.star").write_bytes(b"data_\n\nloop_\n_rlnMicrographName #1\nm.mrc\nx\0y.mrc\n")
    (tmp_path / "m.mrc").write_bytes(b"not opened")
    with pytest.raises(FileError, match=r"m\.star.*NUL"):
        find_micrographs(tmp_path / "m.star")
    (tmp_path / "utf16.txt").write_bytes("m.mrc\n".encode("utf-16-le"))
    with pytest.raises(FileError, match=r"utf16\.txt.*NUL"):
        find_micrographs(tmp_path / "utf16.txt")
    with pytest.raises(FileError, match="is not a file name"):
        read_micrograph("a\0b.mrc")


def test_pipes_are_refused_and_not_waited_for(tmp_path, simulated):
    write_micrograph(tmp_path / "good.mrc", simulated, pixel_size=4.0)
    (tmp_path / "pipes").mkdir()
    for name in ("m.mrc", "m.tif", "m.png", "m.star", "m.txt", "m.cs", "m.pdb", "m.safetensors"):
        os.mkfifo(tmp_path / "pipes" / name)
    for name in ("m.mrc", "m.tif", "m.png", "m.star", "m.txt", "m.cs"):
        path = tmp_path / "pipes" / name
        with pytest.raises(FileError, match="is a pipe"):
            find_micrographs(path)
        assert not is_whole(path)
        assert run("check", path).exit_code == 1
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.mrc").symlink_to(tmp_path / "pipes/m.mrc")
    (tmp_path / "in/b.mrc").symlink_to(tmp_path / "good.mrc")
    assert pick(tmp_path / "in", "--out", tmp_path / "out").exit_code == 1
    assert rows(tmp_path / "out")["b.mrc"]["status"] == "done"
    for use, name in ((read_structure, "m.pdb"), (weights.load, "m.safetensors"), (read_stack, "m.mrc")):
        with pytest.raises(FileError):
            use(tmp_path / "pipes" / name)
    with pytest.raises(FileError, match="is a pipe"):
        read_picks(tmp_path / "pipes/m.star", format="star")


NAMES = ["plain.mrc", "c#1.mrc", "d\\e.mrc", "h%20i.mrc", "j?k.mrc", "l m.mrc", "ö.mrc"]


def test_a_report_finds_the_image_of_every_name(tmp_path, simulated):
    import json
    from urllib.parse import unquote, urlsplit

    from cryopick.report.page import write_report

    for name in NAMES:
        write_micrograph(tmp_path / "in" / name, simulated, pixel_size=4.0)
    out = tmp_path / "out"
    result = run("pick", tmp_path / "in", "--picker", "log", "--diameter", 160, "--workers", 1, "--out", out)
    assert result.exit_code == 0, result.output
    write_report(out, budget=1)  # images beside the page
    entries = json.loads((out / "report/part-0000.js").read_text().removeprefix("addPart(").rstrip(";\n").removesuffix(")"))
    assert {entry["name"] for entry in entries} == set(NAMES)
    for entry in entries:
        parts = urlsplit(entry["image"])
        assert (parts.query, parts.fragment) == ("", "")
        assert "\\" not in entry["image"]
        assert (out / unquote(parts.path)).is_file(), entry["image"]


# ---- structures

ATOM = "ATOM      1  CA  ALA A   1    {:>8}  13.207   2.100  1.00  0.00           C\nEND\n"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_atoms_without_a_position_are_refused(tmp_path, value):
    (tmp_path / "good.pdb").write_text(ATOM.format("11.104"))
    assert read_structure(tmp_path / "good.pdb").diameter > 0
    (tmp_path / "m.pdb").write_text(ATOM.format(value))
    with pytest.raises(FileError, match="valid position"):
        read_structure(tmp_path / "m.pdb")


@pytest.mark.parametrize("content", ["", "\n\n", "# a comment\n", "data_x\n", "data_x\nloop_\n_atom_site.id\n"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_cif_without_atoms_is_named(tmp_path, content, packed):
    path = tmp_path / ("m.cif.gz" if packed else "m.cif")
    path.write_bytes(gzip.compress(content.encode()) if packed else content.encode())
    with pytest.raises(FileError, match=r"no atoms|is empty"):
        read_structure(path)


def test_a_packed_model_that_unpacks_without_end_is_refused(tmp_path):
    with gzip.open(tmp_path / "m.pdb.gz", "wb") as packed:
        for _ in range(100):
            packed.write(b" " * (1 << 20))
    with pytest.raises(FileError, match="unpacks to more than"):
        read_structure(tmp_path / "m.pdb.gz")


@pytest.mark.parametrize(("value", "voxel"), [(np.nan, 2.0), (np.inf, 2.0), (1.0, 2e10), (0.0, 2.0)])
def test_maps_that_hold_no_particle_are_named(tmp_path, value, voxel):
    density = np.zeros((8, 8, 8), np.float32)
    density[4, 4, 4] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with mrcfile.new(tmp_path / "m.map", density) as mrc:
            mrc.set_volume()
            mrc.voxel_size = voxel
    with pytest.raises(FileError, match=r"m\.map"):
        read_structure(tmp_path / "m.map")
