"""How many workers are started: as cores, memory and micrographs allow."""

import msgspec
import numpy as np
import pytest
from stub_pickers import SETTINGS

from cryopick.distributed import capacity
from cryopick.distributed.capacity import available_memory, suggest_workers
from cryopick.io.micrographs import write_micrograph
from cryopick.io.sources import MicrographSource

GB = 2**30


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Twenty micrographs of 0.25 GB as float32, of which five copies and 0.2 GB are reckoned for each worker."""
    monkeypatch.setattr(capacity, "available_cores", lambda: 8)
    monkeypatch.setattr(capacity, "read_shape", lambda path: ((8192, 8192), None))
    return [MicrographSource(tmp_path / f"m{index}.mrc", f"m{index}.mrc") for index in range(20)]


@pytest.mark.parametrize(
    ("free", "count", "expected", "because"),
    [
        (100 * GB, 20, 8, "8 cores"),
        (100 * GB, 3, 3, "number of micrographs"),
        (10 * GB, 20, 5, "10.0 GB of free memory, 1.4 GB each"),  # 0.8 × 10 / 1.45
        (GB, 20, 1, "free memory"),
        (None, 20, 8, "8 cores"),
    ],
)
def test_the_scarcest_thing_decides_and_is_named(sources, monkeypatch, free, count, expected, because):
    monkeypatch.setattr(capacity, "available_memory", lambda: free)
    workers, reason = suggest_workers(msgspec.structs.replace(SETTINGS, settings={}), sources[:count])
    assert workers == expected
    assert because in reason


def test_a_network_takes_more_memory_and_a_gpu_has_one_worker(sources, monkeypatch):
    monkeypatch.setattr(capacity, "available_memory", lambda: 10 * GB)
    assert suggest_workers(msgspec.structs.replace(SETTINGS, settings={"device": "cpu"}), sources)[0] == 4  # 0.8 × 10 / 1.95
    assert suggest_workers(msgspec.structs.replace(SETTINGS, device="cuda"), sources) == (1, "one for the GPU")


def test_a_first_micrograph_that_cannot_be_read_is_passed_over(tmp_path, monkeypatch):
    write_micrograph(tmp_path / "b.mrc", np.eye(100, dtype=np.float32))
    sources = [MicrographSource(tmp_path / name, name) for name in ("a.mrc", "b.mrc")]
    assert capacity._pixels(sources) == 100 * 100
    assert capacity._pixels(sources[:1]) == 0


def test_a_containers_limit_counts_where_it_leaves_less_than_the_machine_has(tmp_path):
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    4000 kB\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 4000 * 1024
    (tmp_path / "memory.current").write_text("1000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 4000 * 1024
    (tmp_path / "memory.max").write_text("51000\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 50000
    assert available_memory(tmp_path / "absent", tmp_path / "absent") is None
