"""Helpers for tests of public reports: the command line in a folder, and errors that say what is wrong and what to do."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cryopick.errors import CryopickError
from cryopick.io.micrographs.files import write_micrograph

PYTHON_WORDS = ("Traceback", "NoneType", "Error(", "object at 0x", " None")


@pytest.fixture
def data() -> Path:
    """Folder of small files as other programs wrote them."""
    return Path(__file__).parent / "data"


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `cryopick` with these words in the test's folder; no traceback may come of it, whatever its exit code."""

    def run(*words: object, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "cryopick", *map(str, words)]
        ended = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=timeout, env={**os.environ})
        assert "Traceback" not in ended.stderr, ended.stderr
        return ended

    return run


@pytest.fixture
def refused() -> Callable[..., str]:
    """Check that a call raises the package's own error, in plain words that contain each of `parts`; returns the message."""

    def check(call: Callable[[], object], *parts: str) -> str:
        with pytest.raises(CryopickError) as caught:
            call()
        message = str(caught.value)
        assert not [word for word in PYTHON_WORDS if word in message], message
        missing = [part for part in parts if part not in message]
        assert not missing, f"{missing} not in: {message}"
        return message

    return check


@pytest.fixture
def noise() -> Callable[..., Path]:
    """Write a small micrograph of noise; its shape is not square, so that exchanged axes show."""

    def write(path: Path, *, shape_hw: tuple[int, int] = (48, 64), pixel_size: float | None = 2.0) -> Path:
        pixels = np.random.default_rng(7).normal(size=shape_hw).astype(np.float32)
        write_micrograph(path, pixels, pixel_size=pixel_size)
        return path

    return write
