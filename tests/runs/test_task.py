"""The work on micrographs: one at a time, and in batches on a GPU."""

import logging
from functools import partial
from pathlib import Path
from threading import Barrier, Thread
from weakref import WeakSet

import msgspec
import numpy as np
import pytest
import stub_pickers
from stub_pickers import SETTINGS

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import find_micrographs
from cryopick.runs import local as workers_module
from cryopick.runs.folder import RunFolder
from cryopick.runs.local import GpuSharing
from cryopick.runs.notices import collect_warnings
from cryopick.runs.pick import run_picking
from cryopick.runs.task import BatchPickStages, PickStages, PickTask, start_picking

OUT = Path("out")
COUNT = 7
ON_GPU = msgspec.structs.replace(SETTINGS, device="cuda")


@pytest.fixture
def sources(tmp_path, monkeypatch):
    (tmp_path / "raw").mkdir()
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    for index in range(COUNT):
        pixels = rng.normal(size=(64, 96)).astype(np.float32)
        write_micrograph(tmp_path / "raw" / f"m{index}.mrc", pixels, pixel_size=2.0)
    return find_micrographs(["raw"])


def files(out) -> dict[str, bytes]:
    without = ("records/m", "micrographs.csv", "run.yaml", ".")
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if not name.startswith(without)}


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_on_gpus_picks_in_batches_what_one_on_a_cpu_picks_and_names_the_same_failures(
    sources, tmp_path, monkeypatch, workers
):
    monkeypatch.setattr(workers_module, "gpu_sharing", lambda workers: GpuSharing(3, [{"CUDA_VISIBLE_DEVICES": "0"}]))
    result = run_picking(sources, OUT, ON_GPU, workers=workers, build=stub_pickers.build_in_parts)
    (failed,) = result.failed
    assert (failed.name, failed.error) == ("m3.mrc", "MemoryError: of the GPU")
    of_batches = "batches of micrographs in a row failed"  # whether two do in a row depends on how fast micrographs are read
    notes = {outcome.name: [note for note in outcome.notes if of_batches not in note] for outcome in result.outcomes}
    assert {name: each for name, each in notes.items() if each} == {"m1.mrc": ["too thick"]}
    (tmp_path / "out").rename(tmp_path / "gpu")
    others = [source for source in sources if source.name != "m3.mrc"]
    run_picking(others, OUT, SETTINGS, build=stub_pickers.build)
    assert files(tmp_path / "gpu") == files(tmp_path / "out")


def test_batches_are_picked_only_where_a_size_is_given_and_the_picker_can(tmp_path):
    start = partial(start_picking, RunFolder(tmp_path), SETTINGS)
    assert isinstance(start(stub_pickers.build_in_parts, batch_size=4), BatchPickStages)
    assert start(stub_pickers.build_in_parts, batch_size=4).ahead == 4
    assert type(start(stub_pickers.build_in_parts)) is PickStages
    assert type(start(stub_pickers.build, batch_size=4)) is PickStages


class Hoarding(stub_pickers.InParts):
    """Fills the memory with a batch of several micrographs, and fails while any of that is left."""

    def __init__(self) -> None:
        super().__init__(stub_pickers.StubSettings())
        self.left: WeakSet[np.ndarray] = WeakSet()

    def predict(self, ready):
        batch = np.zeros(len(ready)).view(Batch)
        self.left.add(batch)
        if len(self.left) > 1 or len(batch) > 1:
            raise MemoryError("of the GPU")
        return super().predict(ready)


class Batch(np.ndarray):
    """An array that can be kept in a set."""

    __hash__ = object.__hash__  # type: ignore[assignment]


def test_the_memory_of_a_failed_batch_is_free_again_before_its_micrographs_are_picked_one_by_one(sources, tmp_path):
    work = BatchPickStages(RunFolder(tmp_path / "out"), SETTINGS, Hoarding(), ahead=2)
    states = work.compute([work.read(PickTask(source, source.name)) for source in sources[:2]])
    assert [state.error for state in states] == ["", ""]


class NoBatches(stub_pickers.InParts):
    """Picks single micrographs only, except batches whose number is in `good`."""

    def __init__(self, *good: int) -> None:
        super().__init__(stub_pickers.StubSettings())
        self.good, self.batches = good, 0

    def predict(self, ready):
        if len(ready) > 1:
            self.batches += 1
            if self.batches not in self.good:
                raise MemoryError("of the GPU\nat a long list of places")
        return super().predict(ready)


def batches(sources, tmp_path, picker: stub_pickers.InParts, count: int) -> list[list[str]]:
    """The notes of all micrographs of so many batches of two."""
    work, states = BatchPickStages(RunFolder(tmp_path / "out"), SETTINGS, picker, ahead=2), []
    for _ in range(count):
        states += work.compute([work.read(PickTask(source, source.name)) for source in sources[4:6]])
    assert [state.error for state in states] == [""] * len(states)
    return [state.notes for state in states]


def test_batches_that_keep_failing_are_reported_once_on_the_terminal_and_in_one_note(sources, tmp_path, caplog):
    (note,) = [note for notes in batches(sources, tmp_path, NoBatches(), 5) for note in notes]
    assert note.startswith("2 batches of micrographs in a row failed on the GPU (MemoryError: of the GPU).")
    assert "takes longer" in note
    assert caplog.messages == [note]


def test_single_batches_that_fail_between_others_are_not_reported(sources, tmp_path, caplog):
    assert not any(batches(sources, tmp_path, NoBatches(2, 4), 5))
    assert caplog.messages == []


def test_a_micrograph_is_freed_before_its_files_are_written(sources, tmp_path):
    work = PickStages(RunFolder(tmp_path / "out"), SETTINGS, stub_pickers.build(SETTINGS))
    (state,) = work.compute([work.read(PickTask(sources[0], "m0"))])
    assert not hasattr(state, "micrograph")
    assert len(state.picks) == 7


def test_warnings_of_threads_do_not_mix_and_others_are_shown(caplog):
    logger, meet = logging.getLogger("cryopick.test"), Barrier(2, timeout=20)
    kept: dict[str, list[str]] = {"one": [], "two": []}

    def warn(name: str) -> None:
        with collect_warnings(kept[name]):
            meet.wait()
            logger.warning("of %s", name)
            meet.wait()

    thread = Thread(target=warn, args=["one"])
    thread.start()
    with collect_warnings([]):
        pass
    warn("two")
    thread.join()
    assert kept == {"one": ["of one"], "two": ["of two"]}
    assert caplog.messages == []
    logger.warning("shown")
    assert caplog.messages == ["shown"]


def test_warnings_of_a_thread_that_collects_none_are_shown_while_another_collects_its_own(caplog):
    logger = logging.getLogger("cryopick.test")
    kept: list[str] = []
    with collect_warnings(kept):
        thread = Thread(target=logger.warning, args=["of another"])
        thread.start()
        thread.join()
        logger.warning("of this one")
    assert (kept, caplog.messages) == (["of this one"], ["of another"])
