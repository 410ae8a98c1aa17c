"""An ablation trains each variant once, goes on where it was stopped, and says what each stage adds."""

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.config import load_preset, preset_names, resolve
from cryopick.coordinates import PixelMap
from cryopick.detection.components import watershed
from cryopick.errors import SettingError
from cryopick.pickers.diagnostics import Stages
from cryopick.train.ablation import cryosegnet as ablate_segnet
from cryopick.train.ablation import cryotransformer as ablate_transformer
from cryopick.train.ablation.cryosegnet import SegnetAblation, stage_picks
from cryopick.train.ablation.cryotransformer import TransformerAblation
from cryopick.train.ablation.table import Layout, draw_table, write_table
from cryopick.train.ablation.variants import Ablation, Variant, run_ablation
from cryopick.train.data.splits import DiskSettings
from cryopick.types import Micrograph, Picks

LAYOUT = Layout(("size",), "kind", ("F1",))
SIMULATED = {
    "simulated.micrographs=2",
    "simulated.held_out=1",
    "simulated.size=256",
    "simulated.pixel_size=5",
    "training.loop.steps=2",
    "training.loop.batch=2",
    "training.loop.validate_every=1",
}


class KilledError(Exception):
    pass


class StubTraining:
    """Counts its runs; one that is to be killed is killed."""

    def __init__(self, name, ran, kill):
        self.name, self.ran, self.kill = name, ran, kill

    def run(self, *, on_step=None):
        self.ran.append(self.name)
        if self.name == self.kill:
            raise KilledError


def ablation(ran, kill=None) -> Ablation:
    names = [(kind, size) for kind in ("a", "b") for size in ("1", "2")]
    variants = [
        Variant(
            kind + size,
            lambda folder: StubTraining(folder.name, ran, kill),
            lambda folder, kind=kind, size=size: [{"size": size, "kind": kind, "F1": int(size) / 4}],
        )
        for kind, size in names
    ]
    return Ablation(variants, LAYOUT)


def test_a_killed_ablation_trains_only_what_is_left_and_ends_with_the_same_table(tmp_path):
    whole, first, second = [], [], []
    run_ablation(ablation(whole), tmp_path / "whole", {"steps": 3})
    with pytest.raises(KilledError):
        run_ablation(ablation(first, kill="b1"), tmp_path / "killed", {"steps": 3})
    run_ablation(ablation(second), tmp_path / "killed", {"steps": 3})
    assert (whole, first, second) == (["a1", "a2", "b1", "b2"], ["a1", "a2", "b1"], ["b1", "b2"])
    for name in ("table.csv", "table.md"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes()
    with pytest.raises(SettingError, match="steps was 3, now 4"):
        run_ablation(ablation(second), tmp_path / "killed", {"steps": 4})


def test_a_table_is_written_as_csv_and_markdown_and_drawn(tmp_path):
    rows = [{"size": "1", "kind": "a", "F1": 0.123456}, {"size": "1", "kind": "b", "F1": 1.0}]
    write_table(rows, tmp_path)
    draw_table(rows, LAYOUT, tmp_path / "table.png")
    assert (tmp_path / "table.csv").read_text() == "size,kind,F1\n1,a,0.1235\n1,b,1\n"
    assert (tmp_path / "table.md").read_text() == "| size | kind | F1 |\n| --- | --- | --- |\n| 1 | a | 0.1235 |\n| 1 | b | 1 |\n"
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


def test_each_stage_has_its_own_picks_on_the_micrograph():
    # Two discs that touch, upside down at half size: one connected part, two instances; the rules left only the second.
    y, x = np.mgrid[:40, :60]
    probability = np.float32(np.minimum(np.hypot(x - 15, y - 10), np.hypot(x - 33, y - 10)) < 10)
    to_home = PixelMap.flip_rows(80).then(PixelMap.resize((2, 2)))
    micrograph = Micrograph(np.random.default_rng(0).normal(size=(80, 120)))
    left = Picks("micrograph", [[66.5, 58.5]])
    stages = Stages(np.uint8(probability), to_home, probability, to_home, watershed(probability), left)
    parts, instances, picks = stage_picks(stages, micrograph, level=0.5)
    # Row 10 at half size spans rows 20 and 21, which are 59 and 58 from the other end.
    assert parts.xy == pytest.approx(np.array([[48.5, 58.5]]), abs=0.3)
    assert sorted(instances.xy[:, 0]) == pytest.approx([30.5, 66.5], abs=0.6)
    assert picks is left


def test_without_instances_or_parts_there_are_no_picks():
    blank = np.zeros((20, 20), np.float32)
    stages = Stages(np.uint8(blank), PixelMap(), blank, PixelMap(), None, Picks("m"))
    assert [len(each) for each in stage_picks(stages, Micrograph(blank + 1), level=0.5)] == [0, 0, 0]


def test_the_transformers_table_is_every_backbone_with_either_input():
    settings = TransformerAblation(denoised="clean")
    planned = ablate_transformer.plan(settings, DiskSettings("raw"))
    trainings = {variant.name: variant.prepare.args[0] for variant in planned.variants}
    assert len(trainings) == 10
    assert {(training.depth, training.disk.data) for training in trainings.values()} == {
        (depth, data) for depth in (18, 34, 50, 101, 152) for data in ("raw", "clean")
    }
    assert all(training.denoised for training in trainings.values())  # what comes is shown as it is
    chained = ablate_transformer.plan(TransformerAblation(), DiskSettings("raw")).variants[0].prepare.args[0]
    assert (chained.denoised, chained.disk.data) == (False, "raw")


def test_the_segnets_table_is_every_depth_with_gates_and_without():
    planned = ablate_segnet.plan(SegnetAblation(), DiskSettings("raw"))
    trainings = [variant.prepare.args[0] for variant in planned.variants]
    assert [(training.levels, training.gates) for training in trainings] == [
        (levels, gates) for levels in (4, 5, 6) for gates in (True, False)
    ]


@pytest.mark.parametrize("study", [ablate_segnet.STUDY, ablate_transformer.STUDY])
def test_presets_small_and_full_can_be_resolved(study):
    kind = "ablate-segnet" if study is ablate_segnet.STUDY else "ablate-transformer"
    assert preset_names(kind) == ["full", "small"]
    small, full = (resolve(study.settings, load_preset(kind, name)) for name in ("small", "full"))
    assert small.training.loop.steps <= 200
    assert (full.training.width, full.training.loop.learning_rate) == (64 if "segnet" in kind else 256, 1e-4)


@pytest.mark.parametrize(
    ("model", "words", "expected"),
    [
        ("segnet", ["levels=[2]", "training.width=2", "training.side=64"], ("stage", 6)),
        ("transformer", ["depths=[18]", "training.backbone_width=4", "training.queries=5"], ("input", 2)),
    ],
)
def test_the_command_writes_the_table(tmp_path, model, words, expected):
    command = ["ablate", model, "--simulate", "--out", str(tmp_path)]
    command += [part for word in (*sorted(SIMULATED), *words) for part in ("--set", word)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    column, count = expected
    assert len(rows) == count
    wanted = {"stage": {"U-Net", "+ instances", "+ post-processing"}, "input": {"denoised", "raw"}}
    assert {row[column] for row in rows} == wanted[column]
    assert all(0 <= float(row["F1"]) <= 1 for row in rows)
    assert (tmp_path / "table.md").read_text() in result.output
