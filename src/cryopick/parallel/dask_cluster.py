"""Workers on the machines of a cluster, through Dask: its scheduler hands out tasks, batch jobs are asked for and replaced."""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import chdir, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import Any, Literal, TypeVar
from uuid import uuid4

from cryopick.errors import MissingExtraError, SettingError
from cryopick.parallel.process import one_thread, one_thread_for_children
from cryopick.parallel.worker import portable

logger = logging.getLogger(__name__)
Task = TypeVar("Task")
Result = TypeVar("Result")
Batch = Literal["slurm", "pbs", "lsf"]
CLASSES: dict[str, str] = {"slurm": "SLURMCluster", "pbs": "PBSCluster", "lsf": "LSFCluster"}
ATTEMPTS = 3
"""Machines on which a task may fail before it counts as failed."""
BLAMES = 3
"""Tasks that fail on one machine and succeed on another before the first one gets no more."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """What is asked of a cluster.

    Attributes
    ----------
    count : jobs at a time; on one machine ("local") worker processes.
    cores : of each job, which runs as many workers of one thread each.
    memory : of each job, shared by its workers: "16GB".
    time : after which the cluster ends a job; another one follows.
    queue : queue or partition.
    setup : lines of shell before the workers start: modules, environments.
    extra : further directives of the job script, as "--gres=gpu:1".
    interface : network through which workers reach this process: "ib0".
    logs : folder for what jobs print.
    """

    count: int = 1
    cores: int = 1
    memory: str = "4GB"
    time: str = "04:00:00"
    queue: str | None = None
    setup: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    interface: str | None = None
    logs: Path | None = None


def job_script(where: str, jobs: Jobs) -> str:
    """The script of one job as it would be submitted. Raises `SettingError` where no jobs are submitted."""
    if where not in CLASSES:
        raise SettingError(f"--cluster {where} submits no jobs; job scripts are for {', '.join(CLASSES)}")
    with _batch_cluster(where, jobs) as cluster:
        return str(cluster.job_script())


@contextmanager
def open_cluster(where: str, jobs: Jobs) -> Iterator["DaskCrew"]:
    """Workers by "slurm", "pbs", "lsf", on this machine ("local"), or those of a scheduler that runs ("tcp://host:8786").

    Jobs that the cluster ends or loses are submitted again. Raises `SettingError` for another `where`, without the extra
    `cluster`, and when a scheduler does not answer.
    """
    if where in CLASSES:
        opened = _batch_cluster(where, jobs)
    elif where == "local":
        opened = _local_cluster(jobs)
    elif re.match(r"(tcp|tls|ucx)://", where):
        opened = _running_scheduler(where)
    else:
        raise SettingError(f"there is no cluster {where!r}; give {', '.join(CLASSES)}, local, or a scheduler as tcp://host:8786")
    with opened as cluster, _distributed().Client(cluster, set_as_default=False) as client:
        if where in CLASSES:
            cluster.adapt(minimum_jobs=jobs.count, maximum_jobs=jobs.count)
        yield DaskCrew(client, expected=jobs.count * (1 if where == "local" else jobs.cores))


class DaskCrew:
    """Runs tasks on Dask's workers; `expected` is how many of them may come."""

    def __init__(self, client: Any, *, expected: int) -> None:
        self.client = client
        self.expected = expected

    @property
    def dashboard(self) -> str:
        """Where a browser sees the workers."""
        return str(self.client.dashboard_link)

    def run(
        self,
        tasks: Iterable[Task],
        start: Callable[[], Callable[[Task], Result]],
        *,
        lost: Callable[[Task, str], Result],
        failed: Callable[[Result], bool],
    ) -> Generator[Result]:
        """The results of the tasks, in the order in which they come; as `run_tasks`, and forgiving to bad machines.

        A task whose result has `failed`, or that raised, is tried on other machines before that is believed. A machine whose
        failures succeed elsewhere gets no more tasks. A task whose workers die is `lost` in the end. Twice as many tasks as there
        are workers are drawn ahead.
        """
        campaign = _Campaign(self.client, start, lost, failed)
        completed = _distributed().as_completed(loop=self.client.loop)
        remaining = iter(tasks)
        try:
            while True:
                ahead = 2 * max(self.expected, len(campaign.workers())) - len(campaign.flights)
                for task in islice(remaining, max(0, ahead)):
                    completed.add(campaign.submit(task, ()))
                if completed.is_empty():
                    return
                outcome = campaign.land(next(completed))
                if isinstance(outcome, _Again):
                    completed.add(campaign.submit(outcome.task, outcome.failed_on))
                else:
                    yield outcome.result
        finally:
            with suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(campaign.flights), force=True)


@dataclass(frozen=True)
class _Flight:
    task: Any
    failed_on: tuple[str, ...]


@dataclass(frozen=True)
class _Again(_Flight):
    """A task to be tried on another machine than those on which it has failed."""


@dataclass(frozen=True)
class _Landed:
    result: Any


class _Campaign:
    """Tasks in the hands of Dask, and what has been learnt of the machines."""

    def __init__(self, client: Any, start: Any, lost: Callable[[Any, str], Any], failed: Callable[[Any], bool]) -> None:
        self.client = client
        self.start = start
        self.lost = lost
        self.failed = failed
        self.name = uuid4().hex
        self.flights: dict[Any, _Flight] = {}
        self.blames: Counter[str] = Counter()

    def workers(self) -> dict[str, str]:
        """The machine of each worker, by address, without machines that get no more tasks."""
        known = self.client.scheduler_info(n_workers=-1)["workers"]
        hosts = {address: _host(address) for address in known}
        good = {address: host for address, host in hosts.items() if self.blames[host] < BLAMES}
        return good or hosts

    def submit(self, task: Any, failed_on: tuple[str, ...]) -> Any:
        workers = self.workers()
        others = [address for address, host in workers.items() if host not in failed_on]
        future = self.client.submit(
            _perform,
            self.name,
            os.getcwd(),  # noqa: PTH109 - a plain string for the worker
            self.start,
            task,
            pure=False,
            workers=others or None,
            allow_other_workers=bool(others),
        )
        self.flights[future] = _Flight(task, failed_on)
        return future

    def land(self, future: Any) -> _Again | _Landed:
        """The result of a task, or that it is to be tried again. Raises what it raised wherever it was tried."""
        flight = self.flights.pop(future)
        try:
            performed: _Performed = future.result()
        except _distributed().KilledWorker as error:
            return _Landed(self.lost(flight.task, f"its worker processes died, the last one {error.last_worker.address}"))
        tried = (*flight.failed_on, performed.host)
        bad = performed.error is not None or self.failed(performed.result)
        if bad and len(tried) < ATTEMPTS and set(self.workers().values()) - set(tried):
            return _Again(flight.task, tried)
        if performed.error is not None:
            raise performed.error
        if not bad:
            self.blame(flight.failed_on)
        return _Landed(performed.result)

    def blame(self, hosts: Iterable[str]) -> None:
        for host in set(hosts):
            self.blames[host] += 1
            if self.blames[host] == BLAMES:
                logger.warning("%s fails at what other machines do; it gets no more tasks", host)


@dataclass(frozen=True)
class _Performed:
    """What came of a task on a machine."""

    host: str
    result: Any = None
    error: Exception | None = None


_begun: dict[str, Callable[[Any], Any]] = {}
"""What `start` gave in this worker process, by the name of the campaign; the last one only."""
_alone = Lock()


def _perform(campaign: str, folder: str, start: Callable[[], Callable[[Any], Any]], task: Any) -> _Performed:
    """Runs in a worker: one task at a time, in the folder in which the run was started."""
    host = _host(_distributed().get_worker().address)
    try:
        with _alone, chdir(folder):
            if campaign not in _begun:
                _begun.clear()
                one_thread_for_children()
                _begun[campaign] = start()
                one_thread()
            return _Performed(host, _begun[campaign](task))
    except Exception as error:
        return _Performed(host, error=portable(error))


def _host(address: str) -> str:
    """The machine in a worker's address."""
    return re.sub(r"^\w+://|:\d+$", "", address)


@contextmanager
def _batch_cluster(where: str, jobs: Jobs) -> Iterator[Any]:
    try:
        import dask_jobqueue
    except ImportError as error:
        raise _missing(error) from None
    kind = getattr(dask_jobqueue, CLASSES[where])
    time = ":".join(jobs.time.split(":")[:2]) if where == "lsf" else jobs.time  # LSF counts no seconds
    with kind(
        cores=jobs.cores,
        processes=jobs.cores,
        memory=jobs.memory,
        walltime=time,
        queue=jobs.queue,
        job_script_prologue=list(jobs.setup),
        job_extra_directives=list(jobs.extra),
        job_name="cryopick",
        interface=jobs.interface,
        log_directory=None if jobs.logs is None else str(jobs.logs),
        scheduler_options={"dashboard_address": ":0"},
    ) as cluster:
        yield cluster


@contextmanager
def _local_cluster(jobs: Jobs) -> Iterator[Any]:
    local = _distributed().LocalCluster
    with local(n_workers=jobs.count, threads_per_worker=1, memory_limit=0, dashboard_address=":0") as cluster:
        yield cluster


@contextmanager
def _running_scheduler(address: str) -> Iterator[str]:
    try:
        with _distributed().Client(address, timeout="10s", set_as_default=False):
            pass
    except (OSError, ValueError) as error:
        raise SettingError(f"no Dask scheduler answers at {address} ({error}); start one with `dask scheduler`") from None
    yield address


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise _missing(error) from None
    return distributed


def _missing(error: ImportError) -> MissingExtraError:
    return MissingExtraError("cluster", f"--cluster ({error})")
