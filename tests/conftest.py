"""Shared fixtures. Real micrographs are looked for beside the checkout; tests that need them skip where they are absent."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # several test processes share the cores; set before numpy and torch are imported

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = Path(__file__).parent / "golden"


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
