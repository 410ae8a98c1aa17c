"""Shared fixtures. Real micrographs are looked for beside the checkout; tests that need them skip where they are absent."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores; set before numpy and torch are imported

import signal
from collections.abc import Iterator
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("unhurried", deadline=None)  # a busy machine must not fail a test
settings.load_profile("unhurried")

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"


def pytest_configure() -> None:
    """Hear Ctrl-C: what a shell puts into the background is deaf to it, and so is every program that the tests start there."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240917)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of numbers that the published programs gave for deterministic inputs."""
    return GOLDEN


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = Path(os.environ.get("CRYOPICK_REAL_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("real micrographs are not beside the checkout (set CRYOPICK_REAL_DATA)")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a window; one for all tests of a process, because Playwright runs once in each."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = which("chromium") or which("chromium-browser") or which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium here (apt install chromium)")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()
