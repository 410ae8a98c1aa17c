"""What `benchmarks/fuzz.py` reads: valid inputs of each kind, and how the program reads them.

A target writes its valid inputs, each into a folder of its own. Its `read` runs inside a copy of one of them, some of whose files
were changed; it may raise `CryopickError`, and raises `Accepted` for a result that no input may have.
"""

import csv
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cryopick.config import load_preset, parse_words, preset_names, resolve
from cryopick.errors import CryopickError
from cryopick.io.check import check_micrograph, check_picks
from cryopick.io.datasets.cryoppp import BadArea, DatasetFolder, write_areas
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.io.micrographs.headers import is_whole, read_shape
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.io.picks.formats import FORMATS, detect_format, place_in, read_picks, write_picks
from cryopick.types import Picks

LARGEST_COORDINATE = 1e7
"""Pixels; the largest detectors have some 10,000 along a side."""
SIDE = 96
BOXED = ("box", "cbox", "coco")
NAMES = ("grid1/m1.mrc", "grid1/m2.mrc", "grid1/Präparat 3.mrc")


class Accepted(Exception):  # noqa: N818 - it says what happened
    """Nonsense was read without an error."""


@dataclass(frozen=True)
class Target:
    """A kind of input.

    Attributes
    ----------
    name : for the table and for replays.
    make : writes valid inputs into an empty folder, each into a folder of its own.
    read : reads the input in the present folder.
    share : how many inputs of this kind are tried for one of a kind with the share 1.
    fixed : names of files and folders in the inputs that are not changed.
    """

    name: str
    make: Callable[[Path], None]
    read: Callable[[Random], None]
    share: int = 1
    fixed: tuple[str, ...] = ("micrographs", "victim")


def expect(true: object, what: str) -> None:
    """Raise `Accepted` unless it is true."""
    if not true:
        raise Accepted(what)


def check_sound(all_picks: Iterable[Picks]) -> None:
    """Raise `Accepted` for picks that no micrograph has."""
    for picks in all_picks:
        extreme = float(np.abs(picks.xy).max(initial=0))
        expect(math.isfinite(extreme) and extreme <= LARGEST_COORDINATE, f"a coordinate of {extreme:g}")
        expect(picks.scores is None or np.isfinite(picks.scores).all(), "a score that is not finite")
        for name, value in (("diameter", picks.diameter), ("pixel size", picks.pixel_size)):
            expect(value is None or (math.isfinite(value) and value > 0), f"a {name} of {value}")
        expect(picks.shape_hw is None or min(picks.shape_hw) > 0, f"a shape of {picks.shape_hw}")
        expect(picks.uid is None or 0 <= picks.uid < 2**64, f"a UID of {picks.uid}")


def images(count: int = 3) -> list[np.ndarray[Any, np.dtype[np.float32]]]:
    """Noise with four discs."""
    rng = np.random.default_rng(5)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    found = []
    for number in range(count):
        image = rng.normal(0, 0.3, (SIDE, SIDE))
        for x, y in ((24, 30), (60, 26 + number), (30, 70), (70, 66)):
            image[(columns - x) ** 2 + (rows - y) ** 2 < 64] -= 1
        found.append(image.astype(np.float32))
    return found


def make_micrographs(folder: Path, names: Iterable[str] = ("m1.mrc", "m2.mrc", "m3.mrc")) -> None:
    """Write three small micrographs of 2 Å pixels."""
    for name, image in zip(names, images(), strict=False):
        write_micrograph(folder / name, image, pixel_size=2.0)


# Picks


def _make_picks(folder: Path) -> None:
    rng = np.random.default_rng(1)
    every = [
        Picks(name, rng.uniform(9, 80, (7, 2)).round(1), rng.uniform(0.1, 0.9, 7).round(3), 32.0, (SIDE, SIDE), 2.0, 1, 7 + index)
        for index, name in enumerate(NAMES)
    ]
    for name in FORMATS.own:
        place = folder / name
        make_micrographs(place / "micrographs" / "grid1", [Path(each).name for each in NAMES])
        write_picks(every, place_in(place / "picks", "particles", format=name), format=name)
    make_micrographs(folder / "topaz-reduced" / "micrographs" / "grid1", [Path(each).name for each in NAMES])
    write_picks(every, folder / "topaz-reduced" / "picks" / "particles.txt", format="topaz", downsample=4)
    with (folder / "topaz-reduced" / "picks" / "wide.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["micrograph", "x", "y", "score", "diameter", "class", "note"])
        table.writerows([name, 10 + row, 20.5, 0.5, 32, row % 3, "ä, b"] for name in NAMES for row in range(4))


def _read_picks(rng: Random) -> None:
    known = sorted(FORMATS.own)
    place = Path("picks")
    files = sorted(path for path in place.rglob("*") if path.is_file())
    path = rng.choice([place, *files]) if files else place
    check_picks(path)
    name = detect_format(path) if rng.random() < 0.8 else rng.choice(known)
    sources = find_micrographs("micrographs/grid1/*") if rng.random() < 0.5 else None
    downsample = rng.choice((1.0, 1.0, 4.0))
    found = read_picks(path, format=name, micrographs=sources, unknown=set() if sources else None, downsample=downsample)
    check_sound(found)
    other = rng.choice(known)
    target = place_in(Path("again"), "particles", format=other)
    write_picks(found, target, format=other, box=rng.choice((None, 15, 16)) if other in BOXED else None)
    if not found or not sum(map(len, found)):
        return
    try:
        again = read_picks(target, format=other, micrographs=found_again(found))
    except CryopickError as error:
        raise Accepted(f"{name} written as {other} cannot be read again: {error}") from error
    check_sound(again)
    counts = sum(map(len, found)), sum(map(len, again))
    expect(counts[0] == counts[1], f"{counts[0]} picks of {name} became {counts[1]} as {other}")


def found_again(all_picks: list[Picks]) -> list[Any]:
    """The micrographs of picks, for formats that need their shapes."""
    from cryopick.runs.results import PickedMicrograph

    return [PickedMicrograph.of(picks) for picks in all_picks]


# Micrographs


def _make_images(folder: Path) -> None:
    import bz2
    import gzip

    import cv2
    import tifffile

    image = images(1)[0]
    bytes_, words = (np.clip(image * 40 + 128, 0, 255).astype(kind) for kind in (np.uint8, np.uint16))
    for number, pixels in enumerate((image, bytes_, words, image.astype(np.float16), bytes_.astype(np.int8))):
        write_micrograph(folder / f"mrc{number}" / "m.mrc", pixels, pixel_size=2.0)
    plain = (folder / "mrc0" / "m.mrc").read_bytes()
    for name, packed in (("m.mrc.gz", gzip.compress(plain, mtime=0)), ("m.mrc.bz2", bz2.compress(plain))):
        (folder / name).mkdir()
        (folder / name / name).write_bytes(packed)
    write_micrograph(folder / "tiff" / "m.tif", image, pixel_size=2.0)
    for name, kind in (("cv", ".tif"), ("png", ".png"), ("jpeg", ".jpg")):
        (folder / name).mkdir()
        cv2.imwrite(str(folder / name / f"m{kind}"), bytes_)
    options: dict[str, dict[str, Any]] = {
        "lzw": {"compression": "lzw", "predictor": True},
        "deflate": {"compression": "zlib", "tile": (32, 32)},
        "jpeg-tiff": {"compression": "jpeg"},
        "big": {"bigtiff": True},
        "imagej": {"imagej": True, "resolution": (0.5, 0.5), "metadata": {"unit": "angstrom"}},
        "motorola": {"byteorder": ">"},
    }
    for name, option in options.items():
        (folder / name).mkdir()
        tifffile.imwrite(folder / name / "m.tif", bytes_, **option)


def _read_image(rng: Random) -> None:
    (path,) = [one for one in Path().iterdir() if one.is_file()]
    check_micrograph(path)
    is_whole(path)
    shape, size = None, None
    with suppress(CryopickError):
        shape, size = read_shape(path)
    find_micrographs(path)
    micrograph = read_micrograph(path, salvage=rng.random() < 0.5)
    expect(np.isfinite(micrograph.pixels).all() and micrograph.pixels.ndim == 2, "pixels that are not finite")
    own = micrograph.pixel_size
    expect(own is None or (math.isfinite(own) and own > 0), f"a pixel size of {own}")
    if shape is not None:
        expect(shape == micrograph.shape_hw, f"a header of {shape} for an image of {micrograph.shape_hw}")
        expect(size == own, f"a pixel size of {size} by the header alone and of {own} by the whole file")


# Lists of micrographs


def _make_lists(folder: Path) -> None:
    from cryopick.io.tables.star import star_text

    rows = [f"micrographs/m{number}.mrc" for number in (1, 2, 3)]
    optics = {"rlnOpticsGroupName": ["opticsGroup1"], "rlnOpticsGroup": [1], "rlnMicrographPixelSize": [2.0]}
    table = {"rlnMicrographName": rows, "rlnOpticsGroup": [1, 1, 1], "rlnDefocusU": [9000.5, 1e4, 2e4]}
    for name in ("star", "old", "cs", "txt"):
        make_micrographs(folder / name / "micrographs")
    (folder / "star" / "micrographs.star").write_text(star_text({"optics": optics, "micrographs": table}))
    old = {"rlnMicrographName": rows, "rlnDetectorPixelSize": [5.0] * 3, "rlnMagnification": [25_000.0] * 3}
    (folder / "old" / "micrographs_ctf.star").write_text(star_text({"": old}))
    (folder / "txt" / "micrographs.txt").write_text("".join(f"{row}\n" for row in rows))
    exposures = np.zeros(
        3,
        [
            ("uid", "<u8"),
            ("micrograph_blob/path", "S40"),
            ("micrograph_blob/idx", "<u4"),
            ("micrograph_blob/shape", "<u4", (2,)),
            ("micrograph_blob/psize_A", "<f4"),
        ],
    )
    exposures["uid"], exposures["micrograph_blob/path"] = (11, 12, 13), rows
    exposures["micrograph_blob/shape"], exposures["micrograph_blob/psize_A"] = (SIDE, SIDE), 2.0
    with (folder / "cs" / "exposures.cs").open("wb") as file:
        np.save(file, exposures)


def _read_list(rng: Random) -> None:
    (path,) = [one for one in Path().iterdir() if one.is_file()]
    for source in find_micrographs(path):
        size = source.pixel_size
        expect(size is None or (math.isfinite(size) and size > 0), f"a pixel size of {size}")
        expect(source.uid is None or 0 <= source.uid < 2**64, f"a UID of {source.uid}")
        expect(source.optics_group >= 0, f"an optics group of {source.optics_group}")
        with suppress(CryopickError):
            source.read()


# Labels and structures


def _make_labels(folder: Path) -> None:
    place = DatasetFolder(folder / "set")
    make_micrographs(place.micrographs)
    xy = [[24.0, 30.0], [60.0, 26.0], [30.0, 70.0]]
    every = [Picks(f"m{number}.mrc", xy, None, 32.0, (SIDE, SIDE), 2.0) for number in (1, 2, 3)]
    write_picks(every, place.coordinates, format="cryoppp")
    write_picks(every[:2], place.false_positives, format="cryoppp")
    write_areas({"m1.mrc": [BadArea(9.0, [(40.0, 40.0), (50.0, 45.0)])]}, place.areas)


def _read_labels(rng: Random) -> None:
    from cryopick.train.data.labelled import find_labelled

    found = find_labelled(".", None, diameter=rng.choice((None, 32.0)), pixel_size=rng.choice((None, 2.0)), format=None)
    for one in found.micrographs:
        check_sound([one.truth, one.false_positives])
        for area in one.areas:
            extreme = max(abs(value) for point in area.points for value in (*point, area.radius))
            expect(extreme <= LARGEST_COORDINATE, f"an area at {extreme:g}")


PDB = """\
CRYST1   50.000   50.000   50.000  90.00  90.00  90.00 P 1           1
ATOM      1  N   ALA A   1      11.104   6.134  -6.504  1.00  0.00           N
ATOM      2  CA  ALA A   1      11.639   6.071  -5.147  1.00  0.00           C
ATOM      3  CA  GLY A   2      14.639   8.071  -3.147  1.00  0.00           C
ATOM      4  CA  LYS B   1      21.639  16.071  15.147  1.00  0.00           C
ATOM      5  P     G C   1      31.639  26.071   5.147  1.00  0.00           P
END
"""


def _make_structures(folder: Path) -> None:
    import gemmi

    from cryopick.io.volumes import write_map

    for name in ("pdb", "cif", "map"):
        (folder / name).mkdir()
    (folder / "pdb" / "s.pdb").write_text(PDB)
    gemmi.read_pdb_string(PDB).make_mmcif_document().write_file(str(folder / "cif" / "s.cif"))
    rows = np.indices((12, 12, 12)) - 6
    write_map(folder / "map" / "s.mrc", np.exp(-(rows**2).sum(0) / 18).astype(np.float32), voxel_size=4.0)


def _read_structure(rng: Random) -> None:
    from cryopick.simulate.structure_files import read_structure

    (path,) = [one for one in Path().iterdir() if one.is_file()]
    structure = read_structure(path)
    for name in ("beads", "weights", "sigma", "diameter", "mass_kda"):
        expect(np.isfinite(getattr(structure, name)).all(), f"{name} that are not finite")
    expect(0 < structure.diameter < LARGEST_COORDINATE, f"a diameter of {structure.diameter:g} Å")


# Weights


def _make_cards(folder: Path) -> None:
    import torch

    from cryopick.models import weights
    from cryopick.models.attention_unet import AttentionUNet

    torch.manual_seed(0)
    (folder / "unet").mkdir()
    settings = {"width": 1, "levels": 3}
    about: dict[str, Any] = {
        "input": {"diameter_px": 16.0},
        "data": {"seen": ["a.mrc"], "held_out": ["b.mrc"]},
        "metrics": {"f1": 0.8},
    }
    card = weights.Card("attention-unet", settings, source="a test", licence="MIT", notes="ä", **about)
    weights.save(folder / "unet" / "tiny.safetensors", AttentionUNet(**settings).state_dict(), card)
    (folder / "bare").mkdir()
    torch.save(AttentionUNet(**settings).state_dict(), folder / "bare" / "tiny.pth")


def _read_card(rng: Random) -> None:
    from cryopick.models import weights

    (path,) = [one for one in Path().iterdir() if one.is_file()]
    with suppress(CryopickError):
        weights.read_card(path)
    weights.verify(path)
    weights.load(path, architecture="attention-unet")


# Settings

WORDS = (
    "threshold=0.3",
    "spacing=0.6",
    "particles=dark",
    "diameter_range=[100, 200]",
    "loop.steps=10",
    "maps=null",
    "border=1e-1",
)


def _make_settings(folder: Path) -> None:
    from cryopick.runs.settings import run_record, run_settings

    (folder / "words").mkdir()
    (folder / "words" / "words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    (folder / "run").mkdir()
    run_record(run_settings("log", diameter=32.0)).write(folder / "run" / "run.yaml")
    for namespace in _kinds():
        for name in preset_names(namespace):
            place = folder / f"{namespace}--{name}"
            place.mkdir()
            lines = (f"{key}: {_yaml(value)}\n" for key, value in load_preset(namespace, name).items())
            (place / "preset.yaml").write_text("".join(lines))
            (place / "kind.txt").write_text(namespace)


def _yaml(value: Any) -> str:
    import yaml

    return str(yaml.safe_dump(value, default_flow_style=True)).removesuffix("...\n").strip()


def _kinds() -> dict[str, type[Any]]:
    from cryopick.pickers import PICKERS
    from cryopick.preprocess.denoise import DenoiseSettings
    from cryopick.simulate.settings import SimulationSettings

    return {
        **{name: PICKERS.get(name).Settings for name in PICKERS.own},
        "simulate": SimulationSettings,
        "denoise": DenoiseSettings,
    }


def _read_settings(rng: Random) -> None:
    from cryopick.provenance import RunRecord
    from cryopick.runs.settings import mismatch, run_settings
    from cryopick.train.recipes.unet import UNetTraining

    if Path("run.yaml").exists():
        mismatch(RunRecord.read(Path("run.yaml"), "pick"), run_settings("log", diameter=32.0))
        return
    if Path("words.txt").exists():
        words = Path("words.txt").read_text(errors="replace").splitlines()
        layer = parse_words(rng.sample(words, min(len(words), rng.choice((1, 1, 2)))))
        kind: type[Any] = rng.choice([*_kinds().values(), UNetTraining])
    else:
        layer = load_preset("log", "preset.yaml")
        kind = _kinds()[Path("kind.txt").read_text()]
    _check_finite(asdict(resolve(kind, layer, subject="settings")))


def _check_finite(value: Any) -> None:
    if isinstance(value, float):
        expect(not math.isnan(value), "a setting that is not a number")
    for one in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _check_finite(asdict(one) if is_dataclass(one) and not isinstance(one, type) else one)


READERS = (
    Target("picks", _make_picks, _read_picks, share=5),
    Target("micrographs", _make_images, _read_image, share=4, fixed=()),
    Target("lists", _make_lists, _read_list, share=2),
    Target("labels", _make_labels, _read_labels),
    Target("structures", _make_structures, _read_structure),
    Target("cards", _make_cards, _read_card),
    Target("settings", _make_settings, _read_settings, share=2, fixed=("kind.txt",)),
)
