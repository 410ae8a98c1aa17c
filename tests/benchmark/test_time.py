"""Timing of stages, programs, workers and training steps."""

from pathlib import Path

import pytest

from cryopick.benchmark.entrants import OwnPicker, PickFiles
from cryopick.benchmark.programs import RelionAutopick
from cryopick.benchmark.results import Origin
from cryopick.benchmark.tables import time_tables
from cryopick.benchmark.timing.cases import (
    Timing,
    TimingCase,
    TimingKey,
    read_timings,
    run_timings,
    stage_case,
    timing_cases,
    timing_set,
)
from cryopick.benchmark.timing.profile import SLOW_RUN, Sample, TimedFunctions, profile_stages, repeat_timing, stage_functions
from cryopick.benchmark.timing.throughput import seconds_between
from cryopick.errors import CryopickError

ORIGIN = Origin(version="1", commit="abc", command="cryopick benchmark --time", processor="p", workers=1)


class Work:
    """Two stages and something else, by a clock that only work moves on; the network calls itself."""

    def __init__(self):
        self.now = 0.0

    def prepare(self):
        self.now += 2

    def network(self, depth=0):
        self.now += 3
        if depth < 2:
            self.network(depth + 1)

    def all(self):
        self.prepare()
        self.network()
        self.now += 1
        self.network(depth=2)
        return "picks"


def test_a_stage_has_the_time_of_its_functions_and_the_rest_is_find():
    work = Work()
    functions = TimedFunctions(prepare=[Work.prepare], network=[Work.network])
    assert profile_stages(work.all, functions, lambda: work.now) == ("picks", {"prepare": 2, "network": 12, "find": 1})


def test_a_stage_without_functions_takes_no_time():
    work = Work()
    functions = TimedFunctions(prepare=[Work.prepare], network=[Work.network])
    assert profile_stages(work.prepare, functions, lambda: work.now)[1] == {"prepare": 2, "network": 0, "find": 0}


@pytest.mark.parametrize("picker", ["unet", "detr", "log", "template"])
def test_every_picker_names_the_functions_that_prepare_its_micrographs(picker):
    assert all(callable(function) and function.__code__ for function in stage_functions(picker).prepare)


def sample(wall, cpu=1.0, **stages):
    return Sample(wall=wall, cpu=cpu, stages=stages)


def test_the_first_run_does_not_count_unless_it_is_slow():
    walls = iter([5.0, 1.0, 2.0, SLOW_RUN + 1])
    assert [one.wall for one in repeat_timing(lambda: sample(next(walls)), repeats=2)] == [1.0, 2.0]
    assert [one.wall for one in repeat_timing(lambda: sample(next(walls)), repeats=2)] == [SLOW_RUN + 1]


def test_throughput_excludes_the_start_of_the_workers():
    ends = [10.0, 11.0, 13.0, 13.5, 14.0, 17.0]  # two workers: from 11.0 four more in 6 s
    assert seconds_between(ends[::-1], workers=2) == 1.5
    assert seconds_between(ends, workers=1) == pytest.approx(1.4)


def timing(kind, subject, samples, *, size=4096, workers=1, device="cpu", peak_mib=100.4):
    key = TimingKey(kind=kind, subject=subject, size=size, workers=workers, device=device)
    return Timing(key=key, samples=samples, peak_mib=peak_mib, signature="s", origin=ORIGIN)


def rows(table):
    return [dict(zip(table.header, row, strict=True)) for row in table.rows]


def test_stages_have_medians_ranges_and_ratios_to_the_fastest_at_the_same_size():
    ours = [
        sample(3.0, 1.0, read=0.1, network=0.9),
        sample(2.0, 2.0, read=0.3, network=1.7),
        sample(4.0, 4.0, read=0.2, network=3.8),
    ]
    taken = [timing("stages", "log", ours), timing("stages", "published", [sample(61.0, 60.0, network=60.0)])]
    ours, theirs = rows(time_tables([*taken, timing("stages", "log", [sample(0.1, 0.1, read=0.1)], size=512)])["time-stages"])[1:]
    assert (ours["read s"], ours["network s"]) == ("0.20 (0.10–0.30)", "1.70 (0.90–3.80)")
    assert (ours["all s"], ours["wall s"], ours["find s"]) == ("2.00 (1.00–4.00)", "3.00 (2.00–4.00)", "0.00 (0.00–0.00)")
    assert (ours["ratio"], theirs["ratio"], theirs["repeats"], theirs["network s"]) == ("1.0", "30.0", "1", "60.00")


def test_ratios_are_per_device_and_use_wall_time_on_a_gpu():
    taken = [timing("stages", name, [sample(wall, 9.0)], device="cuda") for name, wall in (("a", 0.5), ("b", 2.0))]
    found = rows(time_tables([*taken, timing("stages", "a", [sample(0.1, 0.1)])])["time-stages"])
    assert {(row["picker"], row["device"]): row["ratio"] for row in found} == {
        ("a", "cuda"): "1.0",
        ("b", "cuda"): "4.0",
        ("a", "cpu"): "1.0",
    }


def test_efficiency_is_relative_to_a_single_worker():
    one, two = rows(
        time_tables([timing("workers", "log", [sample(2.0)]), timing("workers", "log", [sample(1.25)], workers=2)])[
            "time-workers"
        ]
    )
    assert (one["micrographs per hour"], one["efficiency"]) == ("1800", "1.00")
    assert (two["micrographs per hour"], two["efficiency"], two["MiB per worker"]) == ("2880", "0.80", "100")


def test_kinds_that_were_not_timed_have_no_table():
    assert list(time_tables([timing("training", "unet", [sample(2.0, 1.5)], size=0)])) == ["time-training"]


def test_timings_are_reused_and_a_failing_one_is_reported(tmp_path):
    def fail(folder: Path):
        raise CryopickError("it cannot be")

    good = TimingCase(TimingKey(kind="program", subject="good"), 1, lambda folder: ([sample(1.0)], 50.0))
    bad = TimingCase(TimingKey(kind="program", subject="bad"), 1, fail)
    skipped = []

    def take(*cases):
        return [kept for _, kept in run_timings(cases, tmp_path, ORIGIN, on_skip=lambda *what: skipped.append(what))]

    assert take(bad, good) == [False]
    assert skipped == [("program-bad-cpu-0-1", "it cannot be")]
    (tmp_path / "timings" / "of another version.json").write_text("{}")
    assert [one.peak_mib for one in read_timings(tmp_path)] == [50.0]
    assert take(good) == [True]
    assert take(TimingCase(good.key, 2, good.take)) == [False]


def test_timings_use_one_simulated_micrograph_of_the_given_size(tmp_path):
    task = timing_set(tmp_path, 64)
    case = stage_case(OwnPicker("log"), 64, task, device="cpu", repeats=1)
    assert (case.key.name, len(task.sources), task.diameter) == ("stages-log-cpu-64-1", 1, 160.0)
    assert task.sources[0].read().shape_hw == (64, 64)


def test_everything_but_files_of_picks_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr("cryopick.benchmark.timing.cases.available_cores", lambda: 3)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    methods = [OwnPicker("unet"), PickFiles("theirs", "p.star"), RelionAutopick("relion_autopick")]
    cases = timing_cases(methods, [64, 96], tmp_path, repeats=1, published=True)
    assert {case.key.name for case in cases} == {
        *("stages-unet-cpu-64-1", "stages-unet-cpu-96-1", "stages-cryosegnet-cpu-64-1", "stages-cryosegnet-cpu-96-1"),
        *("program-unet-cpu-64-1", "program-unet-cpu-96-1", "program-relion-log-cpu-64-1", "program-relion-log-cpu-96-1"),
        *("workers-unet-cpu-96-1", "workers-unet-cpu-96-2", "training-unet-cpu-0-1"),
    }
    assert len(cases) == 11
