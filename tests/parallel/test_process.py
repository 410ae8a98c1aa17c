"""The number of cores that this process may use."""

import os
from pathlib import Path

import pytest

from cryopick.parallel.process import available_cores


@pytest.fixture
def many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)), raising=False)


def control_groups(tmp_path: Path, own: str, files: dict[str, str]) -> int:
    (tmp_path / "cgroup").write_text(own)
    for name, text in files.items():
        (tmp_path / "sys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "sys" / name).write_text(text)
    return available_cores(tmp_path / "cgroup", tmp_path / "sys")


@pytest.mark.usefixtures("many_cores")
def test_without_control_groups_the_affinity_mask_counts(tmp_path):
    assert available_cores(tmp_path / "absent", tmp_path) == 64


@pytest.mark.usefixtures("many_cores")
@pytest.mark.parametrize(
    ("quota", "cores"), [("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("max 100000", 64)]
)
def test_a_quota_of_a_version_2_group_lowers_the_number_to_whole_cores(tmp_path, quota, cores):
    assert control_groups(tmp_path, "0::/job\n", {"job/cpu.max": quota}) == cores


@pytest.mark.usefixtures("many_cores")
def test_the_tightest_of_the_groups_around_the_process_counts(tmp_path):
    files = {"slurm/cpu.max": "300000 100000", "slurm/job/cpu.max": "max 100000", "cpu.max": "800000 100000"}
    assert control_groups(tmp_path, "0::/slurm/job\n", files) == 3


@pytest.mark.usefixtures("many_cores")
def test_a_quota_of_a_version_1_group_lowers_the_number(tmp_path):
    files = {"cpu,cpuacct/box/cpu.cfs_quota_us": "600000\n", "cpu,cpuacct/box/cpu.cfs_period_us": "100000\n"}
    assert control_groups(tmp_path, "5:memory:/box\n4:cpu,cpuacct:/box\n", files) == 6


@pytest.mark.usefixtures("many_cores")
def test_a_version_1_group_without_a_quota_lowers_nothing(tmp_path):
    files = {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}
    assert control_groups(tmp_path, "4:cpu:/\n", files) == 64
