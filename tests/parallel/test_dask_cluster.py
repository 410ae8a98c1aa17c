"""Runs on Dask's workers give the bytes of a run on one machine, even when workers or machines fail."""

import os
import pickle
import stat
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import stub_pickers
from stub_pickers import SETTINGS

from cryopick.errors import CryopickError, SettingError
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.parallel import dask_cluster as cluster
from cryopick.parallel.dask_cluster import FAILURES_TO_EXCLUDE, DaskPool, Jobs, _Run, job_script, open_cluster
from cryopick.runs.pick import RunResult, run_picking

distributed = pytest.importorskip("distributed", reason="the extra cluster is not installed")

TESTS = Path(__file__).parents[1] / "support"
OUT = Path("out")
COUNT = 8


@pytest.fixture(scope="module")
def micrographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("micrographs")
    rng = np.random.default_rng(1)
    for index in range(COUNT):
        write_micrograph(folder / f"m{index}.mrc", rng.normal(size=(64, 96)).astype(np.float32), pixel_size=2.0)
    return folder


@pytest.fixture(scope="module")
def expected(micrographs: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run in this process."""
    place = tmp_path_factory.mktemp("reference")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        run_picking(find_micrographs([micrographs]), OUT, SETTINGS, build=stub_pickers.build)
    return files_of_picks(place / OUT)


def files_of_picks(out: Path) -> dict[str, bytes]:
    files = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    without = ("records/m", "micrographs.csv", ".")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(without)}


def run(micrographs: Path, pool: DaskPool, build: Any = stub_pickers.build) -> RunResult:
    return run_picking(find_micrographs([micrographs]), OUT, SETTINGS, build=build, pool=pool)


def test_a_worker_that_is_killed_costs_nothing(micrographs, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STUB_KILL_ONCE", str(tmp_path / "killed"))
    with open_cluster("local", Jobs(count=2)) as pool:
        assert pool.dashboard.startswith("http://")
        result = run(micrographs, pool)
    assert (tmp_path / "killed").exists()
    assert [outcome.status for outcome in result.outcomes] == ["done"] * COUNT
    assert files_of_picks(tmp_path / OUT) == expected


@pytest.fixture
def machines() -> Iterator[str]:
    """The address of a scheduler with a worker on each of two machines, the second of which is broken."""
    options = {"nthreads": 1, "memory_limit": 0, "dashboard_address": None}
    workers = {
        "sound": {"cls": distributed.Nanny, "options": options | {"host": "127.0.0.1"}},
        "broken": {"cls": distributed.Nanny, "options": options | {"host": "127.0.0.2", "env": {"STUB_BROKEN": "1"}}},
    }
    scheduler = {"cls": distributed.Scheduler, "options": {"host": "127.0.0.1", "dashboard_address": ":0"}}
    with distributed.SpecCluster(workers=workers, scheduler=scheduler) as cluster:
        yield cluster.scheduler_address


def test_a_faulty_machine_does_not_spoil_the_run(micrographs, expected, tmp_path, monkeypatch, machines):
    monkeypatch.chdir(tmp_path)
    with open_cluster(machines, Jobs()) as pool:
        pool.client.wait_for_workers(2)
        result = run(micrographs, pool)
    assert result.failed == []
    assert files_of_picks(tmp_path / OUT) == expected


class FakeClient:
    """Has three workers on two machines."""

    def scheduler_info(self, n_workers: int) -> dict[str, Any]:
        return {"workers": {f"tcp://10.0.0.{worker}": {} for worker in ("1:501", "1:502", "2:501")}}


def test_a_machine_whose_failed_tasks_succeed_elsewhere_is_excluded_unless_all_are(caplog):
    pool_run = _Run(FakeClient(), start=None, lost=lambda task, reason: None, failed=lambda result: False)
    assert set(pool_run.workers().values()) == {"10.0.0.1", "10.0.0.2"}
    for _ in range(FAILURES_TO_EXCLUDE):
        pool_run.attribute_failure(["10.0.0.1"])
    assert set(pool_run.workers().values()) == {"10.0.0.2"}
    assert "10.0.0.1 is excluded" in caplog.text
    for _ in range(FAILURES_TO_EXCLUDE):
        pool_run.attribute_failure(["10.0.0.2"])
    assert len(pool_run.workers()) == 3  # all machines are as bad


def test_a_picker_that_cannot_be_made_anywhere_ends_the_run(micrographs, tmp_path, monkeypatch, machines):
    monkeypatch.chdir(tmp_path)
    with open_cluster(machines, Jobs()) as pool, pytest.raises(CryopickError, match="weights are missing"):
        run_picking(
            find_micrographs([micrographs]),
            OUT,
            SETTINGS,
            build=stub_pickers.build_without_weights_in_workers,
            pool=pool,
        )


def test_jobs_that_are_submitted_pick_for_real(micrographs, expected, tmp_path, monkeypatch):
    """Stand-ins for SLURM's commands run the submitted script."""
    programs = tmp_path / "bin"
    programs.mkdir()
    copy = tmp_path / "job.sh"  # the script is removed once it is submitted
    write_program(programs / "sbatch", f'cp "$1" {copy} && {{ bash {copy} > /dev/null 2>&1 & echo "Submitted batch job $!"; }}')
    write_program(programs / "scancel", 'kill "$1" 2> /dev/null')
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")])))
    monkeypatch.chdir(tmp_path)
    with open_cluster("slurm", Jobs(count=1, interface="lo")) as pool:
        result = run(micrographs, pool)
    assert result.failed == []
    assert files_of_picks(tmp_path / OUT) == expected


def listening_sockets() -> set[tuple[int, str, int]]:
    """Processes, addresses and ports of this process and its children that listen."""
    psutil = pytest.importorskip("psutil")
    processes = [psutil.Process(), *psutil.Process().children(recursive=True)]
    found = [(process.pid, each) for process in processes for each in process.net_connections("inet")]
    return {(pid, each.laddr.ip, each.laddr.port) for pid, each in found if each.status == psutil.CONN_LISTEN}


def new_addresses(before: set[tuple[int, str, int]]) -> set[str]:
    return {address for _, address, _ in listening_sockets() - before}


def test_only_programs_on_this_machine_can_reach_local_workers(caplog):
    before = listening_sockets()
    with open_cluster("local", Jobs(count=2)):
        assert new_addresses(before) == {"127.0.0.1"}
    assert "without encryption" not in caplog.text


def test_the_scheduler_of_a_batch_system_listens_where_told_and_its_open_port_is_warned_of(tmp_path, monkeypatch, caplog):
    before = listening_sockets()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dask_jobqueue.SLURMCluster.adapt", lambda *_, **__: None)
    with open_cluster("slurm", Jobs(interface="lo")):
        assert new_addresses(before) == {"127.0.0.1"}
    assert "whoever can reach this port can run programs as you" in caplog.text
    with open_cluster("slurm", Jobs()):
        assert not new_addresses(before) & {"0.0.0.0", "::"}
    lines = job_script("slurm", Jobs()).splitlines()
    assert "--dashboard-address 127.0.0.1:0" in lines[-1]


def write_program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/bash\n{line}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


ASKED = Jobs(
    cores=4, memory="16GB", time="02:30:00", queue="gpu", setup=("module load cuda",), extra=("--gres=gpu:1",), logs=Path("logs")
)


@pytest.mark.parametrize(
    ("where", "directives"),
    [
        ("slurm", ["#SBATCH -p gpu", "#SBATCH --cpus-per-task=4", "#SBATCH -t 02:30:00", "#SBATCH --gres=gpu:1"]),
        ("pbs", ["#PBS -q gpu", "#PBS -l select=1:ncpus=4:mem=15GB", "#PBS -l walltime=02:30:00", "#PBS --gres=gpu:1"]),
        ("lsf", ["#BSUB -q gpu", "#BSUB -n 4", "#BSUB -W 02:30", "#BSUB -M 16000000", "#BSUB --gres=gpu:1"]),
    ],
)
def test_a_job_script_requests_the_given_resources_and_starts_a_worker_of_one_thread_for_each_core(
    tmp_path, monkeypatch, where, directives
):
    monkeypatch.chdir(tmp_path)
    lines = job_script(where, ASKED).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert set(directives) <= set(lines)
    assert lines.index("module load cuda") < len(lines) - 1
    assert "distributed.cli.dask_worker tcp://" in lines[-1]
    assert "--nthreads 1" in lines[-1]
    assert "--nworkers 4" in lines[-1]


def test_an_unknown_cluster_is_an_error_that_names_the_known_ones():
    with pytest.raises(SettingError, match="slurm, pbs, lsf, local"), open_cluster("cloud", Jobs()):
        pass
    with pytest.raises(SettingError, match="submits no jobs"):
        job_script("local", Jobs())


class UnsendableError(Exception):
    """Like some libraries' errors, takes two arguments and keeps one, so that it cannot be unpickled."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


def test_an_error_that_cannot_be_pickled_keeps_its_text(tmp_path, monkeypatch):
    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(address="tcp://host:1"))

    def start() -> None:
        raise UnsendableError(503, "no weights to be had")

    performed = pickle.loads(pickle.dumps(cluster._perform("campaign", str(tmp_path), start, None)))
    assert (performed.host, str(performed.error)) == ("host", "UnsendableError: no weights to be had (503)")


def test_a_scheduler_that_does_not_answer_is_an_error(monkeypatch):
    with distributed.LocalCluster(n_workers=0, dashboard_address=":0") as cluster:
        address = cluster.scheduler_address
    client = distributed.Client
    monkeypatch.setattr(distributed, "Client", lambda address, **options: client(address, **options | {"timeout": "0.2s"}))
    with pytest.raises(SettingError, match="no Dask scheduler answers"), open_cluster(address, Jobs()):
        pass
