"""Timing of pickers, other programs and training steps, each in processes of its own.

Micrographs are simulated with a fixed seed and the same density of particles at all sizes.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import msgspec

from cryopick import __version__
from cryopick.benchmark.entrants import Method, OwnPicker, PickFiles
from cryopick.benchmark.results import Origin
from cryopick.benchmark.sets import SET, BenchmarkSet
from cryopick.benchmark.simulated import DIAMETERS, SEED, structure_of
from cryopick.benchmark.timing.profile import Device, Sample, StageJob, TrainingJob, repeat_timing
from cryopick.benchmark.timing.throughput import pick_many
from cryopick.benchmark.timing.usage import run_and_measure
from cryopick.config import parse_words
from cryopick.coordinates import length_from_px
from cryopick.errors import CryopickError
from cryopick.files import write_bytes
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.parallel.process import THREAD_VARIABLES, available_cores
from cryopick.pickers import PICKERS
from cryopick.pickers.base import Untrained
from cryopick.provenance import earlier_result, fingerprint, read_result
from cryopick.runs.settings import run_settings
from cryopick.train.recipe import COMPACT_MODELS

Kind = Literal["stages", "program", "workers", "training"]
PROTOCOL = 1
"""Version of the protocol; timings of another version are taken again."""
PRESET, PIXEL_SIZE = "typical", 1.5
"""Preset and pixel size in Å of the simulated micrographs."""
ONE_THREAD = dict.fromkeys(THREAD_VARIABLES, "1")


class TimingKey(msgspec.Struct, frozen=True, kw_only=True):
    """Identifies a timing.

    Attributes
    ----------
    kind : the stages of a picker, a whole program with its start, several workers on many micrographs, or training steps.
    subject : name of the picker, program or model.
    device : cpu or cuda.
    size : side of the micrographs in pixels; 0 for training.
    workers : number of processes.
    """

    kind: Kind
    subject: str
    device: Device = "cpu"
    size: int = 0
    workers: int = 1

    @property
    def name(self) -> str:
        """Name of its file and in messages."""
        return f"{self.kind}-{self.subject}-{self.device}-{self.size}-{self.workers}"


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """A timing and its origin.

    Attributes
    ----------
    key : what was timed.
    samples : one for each micrograph or training step.
    peak_mib : peak of resident memory in MiB.
    signature : digest of everything that determines the timing.
    origin : origin of the timing.
    """

    key: TimingKey
    samples: list[Sample]
    peak_mib: float
    signature: str
    origin: Origin


Measurement = tuple[list[Sample], float]
"""Samples, and the peak of resident memory in MiB."""


@dataclass(frozen=True)
class TimingCase:
    """A timing to take.

    Attributes
    ----------
    key : what is timed.
    identity : everything but the machine that determines the time.
    take : takes the timing in an empty folder.
    """

    key: TimingKey
    identity: Any
    take: Callable[[Path], Measurement]


def timing_set(folder: Path, size: int) -> BenchmarkSet:
    """Return a set of one simulated micrograph of `size` pixels, without ground truth; it is simulated if it does not exist."""
    from cryopick.simulate import FixedStructures, load_settings, simulate_micrograph

    path = folder / f"time-{size}.mrc"
    if not path.exists():
        structures = FixedStructures([structure_of(PRESET)])
        settings = load_settings(PRESET)
        example = simulate_micrograph(
            seed=SEED, index=0, size=size, pixel_size=PIXEL_SIZE, settings=settings, structures=structures
        )
        write_micrograph(path, example.micrograph.pixels, pixel_size=PIXEL_SIZE)
    source = MicrographSource(path, path.name, PIXEL_SIZE)
    return BenchmarkSet(name=path.stem, sources=(source,), truth=(), diameter=DIAMETERS[PRESET], pixel_size=PIXEL_SIZE)


def timing_cases(
    methods: Sequence[Method], sizes: Sequence[int], folder: Path, *, repeats: int, published: bool
) -> list[TimingCase]:
    """List the timings to take of several methods, and with `published` of pickers that are timed with random weights.

    These are stages and whole programs at every size, throughput by the number of workers at the largest size, and steps of the
    default training recipes, each also on a GPU if possible. Files of picks are not timed. Micrographs are kept in `folder`.
    """
    sets = {size: timing_set(folder, size) for size in sizes}
    programs = [method for method in methods if not isinstance(method, PickFiles)]
    own = [method for method in programs if isinstance(method, OwnPicker)]
    on_devices = [(one, device) for one in own for device in _devices(one)]
    untrained = [OwnPicker(name) for name in PICKERS.own if isinstance(PICKERS.get(name), Untrained)] if published else []
    trained = [name for name in dict.fromkeys(one.picker for one in own) if name in COMPACT_MODELS]
    last = max(sets)
    return [
        *(stage_case(one, size, sets[size], device=device, repeats=repeats) for one, device in on_devices for size in sets),
        *(
            stage_case(one, size, sets[size], device=device, repeats=repeats, random_weights=True)
            for one in untrained
            for device in _cuda_too()
            for size in sets
        ),
        *(program_case(method, size, sets[size], repeats=repeats) for method in programs for size in sets),
        *(
            workers_case(one, last, sets[last], device=device, workers=count)
            for one, device in on_devices
            for count in _worker_counts()
        ),
        *(training_case(model, device=device, repeats=repeats) for model in trained for device in _cuda_too()),
    ]


def stage_case(
    own: OwnPicker, size: int, task: BenchmarkSet, *, device: Device, repeats: int, random_weights: bool = False
) -> TimingCase:
    """Return the timing of a picker's stages."""
    words = [word.replace(SET, task.name) for word in own.words]
    settings = run_settings(own.picker, preset=own.preset, settings=parse_words(words), device=device)
    path = str(task.sources[0].path.absolute())
    pixel_size, diameter = length_from_px(1.0, task.pixel_size), task.diameter
    job = StageJob(
        settings=settings,
        path=path,
        pixel_size=pixel_size,
        diameter=diameter,
        device=device,
        repeats=repeats,
        random_weights=random_weights,
    )
    key = TimingKey(kind="stages", subject=own.name, device=device, size=size)
    return TimingCase(key, [repeats, own.identity], lambda folder: _run_job(job, folder))


def program_case(method: Method, size: int, task: BenchmarkSet, *, repeats: int) -> TimingCase:
    """Return the timing of a whole program on one micrograph, including its start."""

    def take(folder: Path) -> Measurement:
        peaks: list[float] = []

        def once() -> Sample:
            run = folder / f"run{len(peaks)}"
            if isinstance(method, OwnPicker):
                commands = [method.command(task, run, workers=1)]
            else:
                commands = method.commands(task, run, workers=1)
            costs = [run_and_measure(command, folder / "log.txt", variables=ONE_THREAD) for command in commands]
            peaks.append(max(cost.peak_mib for cost in costs))
            return Sample(wall=sum(cost.wall for cost in costs), cpu=sum(cost.cpu for cost in costs))

        return repeat_timing(once, repeats=repeats), max(peaks)

    return TimingCase(TimingKey(kind="program", subject=method.name, size=size), [repeats, method.identity], take)


def workers_case(own: OwnPicker, size: int, task: BenchmarkSet, *, device: Device, workers: int) -> TimingCase:
    """Return the timing of several workers on many micrographs."""
    key = TimingKey(kind="workers", subject=own.name, device=device, size=size, workers=workers)

    def take(folder: Path) -> Measurement:
        sample, peak_mib = pick_many(own, task, folder, workers=workers, device=device)
        return [sample], peak_mib

    return TimingCase(key, own.identity, take)


def training_case(model: str, *, device: Device, repeats: int) -> TimingCase:
    """Return the timing of training steps with the default recipe of a model."""
    job = TrainingJob(model=model, device=device, repeats=repeats)
    return TimingCase(TimingKey(kind="training", subject=model, device=device), [repeats], lambda folder: _run_job(job, folder))


def run_timings(
    cases: Sequence[TimingCase], out: Path, origin: Origin, *, on_skip: Callable[[str, str], None]
) -> Iterator[tuple[Timing, bool]]:
    """Take all timings and write them to ``out/timings``; yield each and whether it is from an earlier run.

    Those that fail are skipped, and `on_skip` is called with the name and the reason.
    """
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    for case in cases:
        path = out / "timings" / f"{case.key.name}.json"
        signature = _signature(case, origin)
        earlier = earlier_result(path, Timing, signature)
        if earlier is not None:
            yield earlier, True
            continue
        try:
            with TemporaryDirectory(dir=work) as folder:
                samples, peak_mib = case.take(Path(folder))
        except CryopickError as error:
            on_skip(case.key.name, str(error))
            continue
        timing = Timing(key=case.key, samples=samples, peak_mib=peak_mib, signature=signature, origin=origin)
        write_bytes(path, msgspec.json.format(msgspec.json.encode(timing), indent=1))
        yield timing, False


def read_timings(out: Path) -> list[Timing]:
    """Read all timings in a folder, sorted by kind, subject, device, size and workers, except damaged ones."""
    found = [timing for path in (out / "timings").glob("[!.]*.json") if (timing := read_result(path, Timing)) is not None]
    return sorted(found, key=lambda one: msgspec.structs.astuple(one.key))


def _run_job(job: StageJob | TrainingJob, folder: Path) -> Measurement:
    samples = folder / "samples.json"
    words = [sys.executable, "-m", "cryopick.benchmark.timing.profile", msgspec.json.encode(job).decode(), str(samples)]
    finished = {"CUDA_LAUNCH_BLOCKING": "1"} if isinstance(job, StageJob) else {}  # stages wait for their kernels
    cost = run_and_measure(words, folder / "log.txt", variables={**ONE_THREAD, **finished})
    return msgspec.json.decode(samples.read_bytes(), type=list[Sample]), cost.peak_mib


def _devices(own: OwnPicker) -> tuple[Device, ...]:
    return _cuda_too() if "device" in {field.name for field in fields(PICKERS.get(own.picker).Settings)} else ("cpu",)


def _cuda_too() -> tuple[Device, ...]:
    import torch

    return ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)


def _worker_counts() -> list[int]:
    """Return 1, 2, 4 … up to the number of cores."""
    return [2**power for power in range(available_cores().bit_length())]


def _signature(case: TimingCase, origin: Origin) -> str:
    return fingerprint(PROTOCOL, __version__, case.key, case.identity, origin.processor)
