"""What a worker does with micrographs: alone, and for a GPU with several at once."""

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
from cryopick.runs.local import GpuTeam
from cryopick.runs.notices import warnings_kept
from cryopick.runs.pick import run_picking
from cryopick.runs.task import PickOne, PickTogether, Task, start_picking

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
def test_a_run_on_gpus_picks_together_what_one_on_a_cpu_picks_and_names_the_same_failures(
    sources, tmp_path, monkeypatch, workers
):
    monkeypatch.setattr(workers_module, "gpu_team", lambda workers: GpuTeam(3, [{"CUDA_VISIBLE_DEVICES": "0"}]))
    result = run_picking(sources, OUT, ON_GPU, workers=workers, build=stub_pickers.build_in_parts)
    (failed,) = result.failed
    assert (failed.name, failed.error) == ("m3.mrc", "MemoryError: of the GPU")
    assert {outcome.name: outcome.notes for outcome in result.outcomes if outcome.notes} == {"m1.mrc": ["too thick"]}
    (tmp_path / "out").rename(tmp_path / "gpu")
    others = [source for source in sources if source.name != "m3.mrc"]
    run_picking(others, OUT, SETTINGS, build=stub_pickers.build)
    assert files(tmp_path / "gpu") == files(tmp_path / "out")


def test_several_are_picked_together_only_where_that_is_asked_and_the_picker_can(tmp_path):
    start = partial(start_picking, RunFolder(tmp_path), SETTINGS)
    assert isinstance(start(stub_pickers.build_in_parts, together=4), PickTogether)
    assert start(stub_pickers.build_in_parts, together=4).ahead == 4
    assert type(start(stub_pickers.build_in_parts)) is PickOne
    assert type(start(stub_pickers.build, together=4)) is PickOne


class Hoarding(stub_pickers.InParts):
    """Fills the memory when it looks at several, and fails while any of that is left."""

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


def test_what_filled_the_memory_is_free_again_before_micrographs_are_looked_at_one_by_one(sources, tmp_path):
    work = PickTogether(RunFolder(tmp_path / "out"), SETTINGS, Hoarding(), ahead=2)
    cases = work.compute([work.read(Task(source, source.name)) for source in sources[:2]])
    assert [case.error for case in cases] == ["", ""]


def test_a_micrograph_is_forgotten_before_its_files_are_written(sources, tmp_path):
    work = PickOne(RunFolder(tmp_path / "out"), SETTINGS, stub_pickers.build(SETTINGS))
    (case,) = work.compute([work.read(Task(sources[0], "m0"))])
    assert not hasattr(case, "micrograph")
    assert len(case.picks) == 7


def test_warnings_of_threads_do_not_mix_and_others_are_shown(caplog):
    logger, meet = logging.getLogger("cryopick.test"), Barrier(2, timeout=20)
    kept: dict[str, list[str]] = {"one": [], "two": []}

    def warn(name: str) -> None:
        with warnings_kept(kept[name]):
            meet.wait()
            logger.warning("of %s", name)
            meet.wait()

    thread = Thread(target=warn, args=["one"])
    thread.start()
    with warnings_kept([]):
        pass
    warn("two")
    thread.join()
    assert kept == {"one": ["of one"], "two": ["of two"]}
    assert caplog.messages == []
    logger.warning("shown")
    assert caplog.messages == ["shown"]


def test_warnings_of_a_thread_that_keeps_none_are_shown_while_another_keeps_its_own(caplog):
    logger = logging.getLogger("cryopick.test")
    kept: list[str] = []
    with warnings_kept(kept):
        thread = Thread(target=logger.warning, args=["of another"])
        thread.start()
        thread.join()
        logger.warning("of this one")
    assert (kept, caplog.messages) == (["of this one"], ["of another"])
