"""Another package adds a picker and a pick format by entry points, and the command line uses both."""

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from zipfile import ZipFile

import numpy as np
import pytest

from cryopick.io.micrographs.files import write_micrograph

MODULE = dedent(
    '''
    """A picker of bright pixels, and a format of one line per pick."""

    from dataclasses import dataclass
    from pathlib import Path

    import numpy as np

    from cryopick.coordinates import PixelMap
    from cryopick.detection.detections import Detections, to_picks
    from cryopick.io.picks.xmipp import XmippPos


    @dataclass(frozen=True)
    class BrightSettings:
        level: float = 100.0
        threshold: float = 0.5


    class BrightPicker:
        Settings = BrightSettings
        SUMMARY = "bright pixels"
        STAGES = {}

        def __init__(self, settings):
            self.settings = settings

        def pick(self, micrograph, *, diameter=None):
            rows, columns = np.nonzero(micrograph.pixels > self.settings.level)
            found = Detections(np.column_stack([columns, rows]).astype(float), np.ones(len(rows), np.float32))
            return to_picks(found, PixelMap(), micrograph, diameter=diameter)


    class Lines(XmippPos):
        """Writes x and y of every pick, and reads nothing."""

        suffix = ".lines"

        def recognises(self, *_):
            return False

        def text(self, picks, *_):
            return "".join(f"{x:g} {y:g}\\n" for x, y in picks.xy)
    '''
)
BROKEN = "raise ImportError('no module named magic')\n"


def install(folder: Path, target: Path, name: str, module: str, points: str) -> None:
    """Make a wheel of one module and install it with pip, without an index, into a folder."""
    wheel = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": points,
    }
    with ZipFile(wheel, "w") as archive:
        record = ""
        for path, text in files.items():
            archive.writestr(path, text)
            digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
            record += f"{path},sha256={digest},{len(text.encode())}\n"
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(scope="module")
def plugins(tmp_path_factory) -> Path:
    folder, target = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    points = "[cryopick.pickers]\nbright = brightness:BrightPicker\n\n[cryopick.pick_formats]\nlines = brightness:Lines\n"
    install(folder, target, "brightness", MODULE, points)
    install(folder, target, "unfinished", BROKEN, "[cryopick.pickers]\nmagic = unfinished:Magic\n")
    return target


def cryopick(plugins: Path, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(plugins), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "cryopick", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_picker_and_a_format_of_another_package_work_from_the_command_line(plugins, tmp_path):
    pixels = np.zeros((40, 60), np.float32)
    pixels[10, 20] = pixels[30, 50] = 255
    write_micrograph(tmp_path / "m.mrc", pixels, pixel_size=2.0)
    words = ["--picker", "bright", "--diameter", 20, "--set", "level=200", "--to", "lines", "--no-previews", "--no-report"]
    ran = cryopick(plugins, "pick", tmp_path / "m.mrc", "--out", tmp_path / "out", *words, "--workers", 1)
    assert ran.returncode == 0, ran.stderr
    (written,) = (tmp_path / "out").rglob("*.lines")
    assert written.read_text() == "20 10\n50 30\n"


def test_a_typo_in_the_name_of_another_packages_picker_offers_it(plugins, tmp_path):
    write_micrograph(tmp_path / "m.mrc", np.zeros((40, 60), np.float32), pixel_size=2.0)
    ran = cryopick(plugins, "pick", tmp_path / "m.mrc", "--out", tmp_path / "out", "--picker", "brigth")
    assert ran.returncode == 2
    assert "no picker 'brigth'; did you mean 'bright'?" in ran.stderr


def test_a_picker_that_cannot_be_loaded_names_its_package(plugins, tmp_path):
    write_micrograph(tmp_path / "m.mrc", np.zeros((40, 60), np.float32), pixel_size=2.0)
    ran = cryopick(plugins, "pick", tmp_path / "m.mrc", "--out", tmp_path / "out", "--picker", "magic")
    assert ran.returncode == 2
    assert "the picker 'magic' of the package unfinished cannot be loaded (ImportError: no module named magic)" in ran.stderr
    assert "Traceback" not in ran.stderr
