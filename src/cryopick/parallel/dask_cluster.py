"""Workers on the machines of a cluster through Dask, which submits batch jobs and distributes tasks."""

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
LOOPBACK = "127.0.0.1"
DASHBOARD = f"{LOOPBACK}:0"
"""Where web pages about the workers are served: on the machine itself, at a free port."""
ATTEMPTS = 3
"""Machines on which a task must fail before it counts as failed."""
FAILURES_TO_EXCLUDE = 3
"""Tasks that fail on one machine and succeed on another before the first machine is excluded."""


@dataclass(frozen=True, kw_only=True)
class Jobs:
    """Batch jobs to request from a cluster.

    Attributes
    ----------
    count : number of jobs at a time; number of worker processes with "local".
    cores : cores of each job, which runs one worker of one thread on each.
    memory : memory of each job, shared by its workers: "16GB".
    time : time limit of a job ("HH:MM:SS"), after which it is replaced.
    queue : queue or partition.
    setup : shell commands before the workers start, for modules and environments.
    extra : further directives of the job script, such as "--gres=gpu:1".
    interface : network interface through which workers reach this process: "ib0". Without one, "local" uses the loopback address
        and a batch system the address of this machine.
    logs : folder for the output of jobs.
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
    """Return the script of one job as it would be submitted. Raises `SettingError` for clusters without jobs."""
    if where not in CLASSES:
        raise SettingError(f"--cluster {where} submits no jobs; there are job scripts for {', '.join(CLASSES)}")
    with _batch_cluster(where, jobs) as cluster:
        return str(cluster.job_script())


@contextmanager
def open_cluster(where: str, jobs: Jobs) -> Iterator["DaskPool"]:
    """Open workers in jobs of "slurm", "pbs" or "lsf", on this machine ("local"), or of a running scheduler ("tcp://host:8786").

    Jobs that end are submitted again. Raises `SettingError` for any other `where`, if the extra `cluster` is not installed, and
    if the scheduler does not answer.
    """
    if where in CLASSES:
        opened = _batch_cluster(where, jobs)
    elif where == "local":
        opened = _local_cluster(jobs)
    elif re.match(r"(tcp|tls|ucx)://", where):
        opened = _running_scheduler(where)
    else:
        raise SettingError(f"--cluster must be {', '.join(CLASSES)}, local, or a scheduler as tcp://host:8786, got {where!r}")
    with opened as cluster, _distributed().Client(cluster, set_as_default=False) as client:
        if where in CLASSES:
            _warn_of_open_port(client.scheduler_info()["address"])
            cluster.adapt(minimum_jobs=jobs.count, maximum_jobs=jobs.count)
        yield DaskPool(client, expected=jobs.count * (1 if where == "local" else jobs.cores))


class DaskPool:
    """A pool of Dask workers; `expected` is the number of workers that may come."""

    def __init__(self, client: Any, *, expected: int) -> None:
        self.client = client
        self.expected = expected

    @property
    def dashboard(self) -> str:
        """Address of the web page that shows the workers."""
        return str(self.client.dashboard_link)

    def run(
        self,
        tasks: Iterable[Task],
        start: Callable[[], Callable[[Task], Result]],
        *,
        lost: Callable[[Task, str], Result],
        failed: Callable[[Result], bool],
    ) -> Generator[Result]:
        """Yield the results of the tasks as they are completed; as `run_tasks`, but tolerant of faulty machines.

        A task whose result has `failed`, or that raised an exception, is tried again on other machines. A machine whose failed
        tasks succeed elsewhere is excluded. A task whose workers keep dying is `lost`. Two tasks per worker are drawn ahead.
        """
        run = _Run(self.client, start, lost, failed)
        completed = _distributed().as_completed(loop=self.client.loop)
        remaining = iter(tasks)
        try:
            while True:
                ahead = 2 * max(self.expected, len(run.workers())) - len(run.submitted)
                for task in islice(remaining, max(0, ahead)):
                    completed.add(run.submit(task, ()))
                if completed.is_empty():
                    return
                received = run.receive(next(completed))
                if isinstance(received, _Submission):
                    completed.add(run.submit(received.task, received.failed_on))
                else:
                    yield received.result
        finally:
            with suppress(Exception):  # the scheduler may have ended
                self.client.cancel(list(run.submitted), force=True)


@dataclass(frozen=True)
class _Submission:
    """A task, and the machines on which it has failed so far and is not to be tried again."""

    task: Any
    failed_on: tuple[str, ...]


@dataclass(frozen=True)
class _Finished:
    """The final result of a task."""

    result: Any


class _Run:
    """The tasks that Dask has been given, and the failures attributed to each machine."""

    def __init__(self, client: Any, start: Any, lost: Callable[[Any, str], Any], failed: Callable[[Any], bool]) -> None:
        self.client = client
        self.start = start
        self.lost = lost
        self.failed = failed
        self.name = uuid4().hex
        self.submitted: dict[Any, _Submission] = {}
        self.failures: Counter[str] = Counter()

    def workers(self) -> dict[str, str]:
        """Return the machine of each worker by address, without excluded machines unless all are excluded."""
        known = self.client.scheduler_info(n_workers=-1)["workers"]
        hosts = {address: _host(address) for address in known}
        good = {address: host for address, host in hosts.items() if self.failures[host] < FAILURES_TO_EXCLUDE}
        return good or hosts

    def submit(self, task: Any, failed_on: tuple[str, ...]) -> Any:
        """Give Dask a task, for machines on which it has not failed; return its future."""
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
        self.submitted[future] = _Submission(task, failed_on)
        return future

    def receive(self, future: Any) -> _Submission | _Finished:
        """Return the result of a task, or how to submit it again. Raises the exception of a task that failed on every machine."""
        submission = self.submitted.pop(future)
        try:
            performed: _Performed = future.result()
        except _distributed().KilledWorker as error:
            reason = f"its worker processes died, the last one on {error.last_worker.address}"
            return _Finished(self.lost(submission.task, reason))
        tried = (*submission.failed_on, performed.host)
        bad = performed.error is not None or self.failed(performed.result)
        if bad and len(tried) < ATTEMPTS and set(self.workers().values()) - set(tried):
            return _Submission(submission.task, tried)
        if performed.error is not None:
            raise performed.error
        if not bad:
            self.attribute_failure(submission.failed_on)
        return _Finished(performed.result)

    def attribute_failure(self, hosts: Iterable[str]) -> None:
        """Count a failure of machines on a task that another machine has completed."""
        for host in set(hosts):
            self.failures[host] += 1
            if self.failures[host] == FAILURES_TO_EXCLUDE:
                logger.warning("%s is excluded: %d tasks failed there and succeeded on other machines", host, FAILURES_TO_EXCLUDE)


@dataclass(frozen=True)
class _Performed:
    """The result of a task on one machine, or its error."""

    host: str
    result: Any = None
    error: Exception | None = None


_started: dict[str, Callable[[Any], Any]] = {}
"""The work that `start` returned in this worker process, by the name of the run; only that of the last run is kept."""
_one_task = Lock()


def _perform(run: str, folder: str, start: Callable[[], Callable[[Any], Any]], task: Any) -> _Performed:
    """Perform a task in a worker, one at a time, in the folder in which the run was started."""
    host = _host(_distributed().get_worker().address)
    try:
        with _one_task, chdir(folder):
            if run not in _started:
                _started.clear()
                one_thread_for_children()
                _started[run] = start()
                one_thread()
            return _Performed(host, _started[run](task))
    except Exception as error:
        return _Performed(host, error=portable(error))


def _host(address: str) -> str:
    """Return the machine of a worker, from its address."""
    return re.sub(r"^\w+://|:\d+$", "", address)


@contextmanager
def _batch_cluster(where: str, jobs: Jobs) -> Iterator[Any]:
    try:
        import dask_jobqueue
    except ImportError:
        raise _missing() from None
    kind = getattr(dask_jobqueue, CLASSES[where])
    time = ":".join(jobs.time.split(":")[:2]) if where == "lsf" else jobs.time  # LSF takes no seconds
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
        worker_extra_args=["--dashboard-address", DASHBOARD],
        log_directory=None if jobs.logs is None else str(jobs.logs),
        scheduler_options={"dashboard_address": DASHBOARD} | ({} if jobs.interface else {"host": _distributed().utils.get_ip()}),
    ) as cluster:
        yield cluster


@contextmanager
def _local_cluster(jobs: Jobs) -> Iterator[Any]:
    where = {"interface": jobs.interface} if jobs.interface else {"host": LOOPBACK}
    options = {"threads_per_worker": 1, "memory_limit": 0, "dashboard_address": DASHBOARD}
    with _distributed().LocalCluster(n_workers=jobs.count, **options, **where) as cluster:
        yield cluster


def _warn_of_open_port(address: str) -> None:
    if not address.startswith("tls://"):
        logger.warning(
            "the scheduler listens at %s without encryption: whoever can reach this port can run programs as you. "
            "Give --job-interface with a network interface that only the cluster's machines reach",
            address,
        )


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
    except ImportError:
        raise _missing() from None
    return distributed


def _missing() -> MissingExtraError:
    return MissingExtraError("cluster", "--cluster")
