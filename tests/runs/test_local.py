"""The number of workers, as cores, memory and micrographs allow."""

import msgspec
import numpy as np
import pytest
from stub_pickers import SETTINGS

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.runs import local as capacity
from cryopick.runs.local import GpuSharing, available_memory, gpu_sharing, gpu_workers, suggest_workers

GB = 2**30


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """Twenty micrographs of 0.25 GB as float32, of which six copies and 0.2 GB are estimated for each worker."""
    monkeypatch.setattr(capacity, "available_cores", lambda: 8)
    monkeypatch.setattr(capacity, "read_shape", lambda path: ((8192, 8192), None))
    return [MicrographSource(tmp_path / f"m{index}.mrc", f"m{index}.mrc") for index in range(20)]


@pytest.mark.parametrize(
    ("free", "count", "expected", "because"),
    [
        (100 * GB, 20, 8, "8 cores"),
        (100 * GB, 3, 3, "number of micrographs"),
        (10 * GB, 20, 4, "10.0 GB of free memory, 1.7 GB each"),  # 0.8 × 10 / 1.7
        (GB, 20, 1, "free memory"),
        (None, 20, 8, "8 cores"),
    ],
)
def test_the_scarcest_resource_decides_and_is_named(sources, monkeypatch, free, count, expected, because):
    monkeypatch.setattr(capacity, "available_memory", lambda: free)
    workers, reason = suggest_workers(msgspec.structs.replace(SETTINGS, settings={}), sources[:count])
    assert workers == expected
    assert because in reason


def test_a_network_takes_more_memory(sources, monkeypatch):
    monkeypatch.setattr(capacity, "available_memory", lambda: 10 * GB)
    assert suggest_workers(msgspec.structs.replace(SETTINGS, settings={"device": "cpu"}), sources)[0] == 3  # 0.8 × 10 / 2.2


ON_GPU = msgspec.structs.replace(SETTINGS, device="cuda")


@pytest.fixture
def machine(sources, monkeypatch):
    """Suggests the number of workers on a machine with GPUs, with what limits it."""

    def suggested(*, gpus: list[int], cores: int, free: int = 500 * GB, count: int = 20) -> tuple[int, str]:
        monkeypatch.setattr(capacity, "_gpu_memories", lambda: [size * GB for size in gpus])
        monkeypatch.setattr(capacity, "available_cores", lambda: cores)
        monkeypatch.setattr(capacity, "available_memory", lambda: free)
        return suggest_workers(ON_GPU, sources[:count])

    return suggested


def test_each_gpu_has_a_worker_for_every_four_cores_and_one_at_least(machine):
    assert machine(gpus=[24], cores=2) == (1, "1 GPU, 2 cores")
    assert machine(gpus=[80, 80], cores=16) == (4, "2 GPUs, 16 cores")
    assert machine(gpus=[80, 80, 80], cores=16) == (3, "3 GPUs, 16 cores")  # all as many


def test_memory_of_the_gpu_of_the_machine_and_the_number_of_micrographs_limit_the_workers_on_gpus(machine):
    assert machine(gpus=[12, 24], cores=32) == (2, "2 GPUs of 12 GB")
    assert machine(gpus=[80], cores=32, free=40 * GB) == (2, "40.0 GB of free memory, 11.0 GB each")  # 2 + 36 × 0.25
    assert machine(gpus=[80], cores=32, count=3) == (3, "the number of micrographs")


def test_before_there_are_micrographs_gpus_and_cores_alone_decide(machine):
    machine(gpus=[80, 80], cores=16, free=GB, count=1)
    assert gpu_workers() == 4


def test_workers_see_one_gpu_each_of_the_visible_ones_and_share_the_cores(machine, monkeypatch):
    machine(gpus=[80, 80], cores=16)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    shown = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert gpu_sharing(4) == GpuSharing(batch_size=4, environments=shown)
    assert gpu_sharing(8).batch_size == 2
    assert gpu_sharing(64).batch_size == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,GPU-5ab1")
    assert gpu_sharing(2).environments == [{"CUDA_VISIBLE_DEVICES": "2"}, {"CUDA_VISIBLE_DEVICES": "GPU-5ab1"}]


def test_an_unreadable_first_micrograph_is_skipped(tmp_path, monkeypatch):
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
    (tmp_path / "memory.stat").write_text("anon 100\ninactive_file 700\nactive_file 200\n")
    assert available_memory(tmp_path / "meminfo", tmp_path) == 50700  # the disk cache gives way
    assert available_memory(tmp_path / "absent", tmp_path / "absent") is None
