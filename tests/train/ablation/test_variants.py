"""An ablation trains each variant once, resumes, and scores each stage."""

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
from cryopick.train.ablation.cryosegnet import CryoSegNetAblation, stage_picks
from cryopick.train.ablation.cryotransformer import CryoTransformerAblation
from cryopick.train.ablation.table import TableLayout, draw_table, write_table
from cryopick.train.ablation.variants import STUDIES, Ablation, Variant, resolve_study, run_ablation
from cryopick.train.data.splits import DiskSettings
from cryopick.types import Micrograph, Picks

LAYOUT = TableLayout(("size",), "kind", ("F1",))
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
    """Records its runs, and raises in the one that is to be killed."""

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


def test_a_killed_ablation_resumes_to_the_same_table(tmp_path):
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


def test_a_table_is_written_as_csv_markdown_and_chart(tmp_path):
    rows = [{"size": "1", "kind": "a", "F1": 0.123456}, {"size": "1", "kind": "b", "F1": 1.0}]
    write_table(rows, tmp_path)
    draw_table(rows, LAYOUT, tmp_path / "table.png")
    assert (tmp_path / "table.csv").read_text() == "size,kind,F1\n1,a,0.1235\n1,b,1\n"
    assert (tmp_path / "table.md").read_text() == "| size | kind | F1 |\n| --- | --- | --- |\n| 1 | a | 0.1235 |\n| 1 | b | 1 |\n"
    assert (tmp_path / "table.png").read_bytes().startswith(b"\x89PNG")


def test_each_stage_has_its_own_picks():
    # Two discs that touch, upside down at half size: one connected component, two instances; only the second passes the rules.
    y, x = np.mgrid[:40, :60]
    probability = np.float32(np.minimum(np.hypot(x - 15, y - 10), np.hypot(x - 33, y - 10)) < 10)
    to_home = PixelMap.flip_rows(80).then(PixelMap.resize((2, 2)))
    micrograph = Micrograph(np.random.default_rng(0).normal(size=(80, 120)))
    left = Picks("micrograph", [[66.5, 58.5]])
    stages = Stages(np.uint8(probability), to_home, probability, to_home, watershed(probability), left)
    parts, instances, picks = stage_picks(stages, micrograph, level=0.5)
    # Row 10 at half size spans rows 20 and 21, which are rows 59 and 58 from the other end.
    assert parts.xy == pytest.approx(np.array([[48.5, 58.5]]), abs=0.3)
    assert sorted(instances.xy[:, 0]) == pytest.approx([30.5, 66.5], abs=0.6)
    assert picks is left


def test_an_empty_map_gives_no_picks_at_any_stage():
    blank = np.zeros((20, 20), np.float32)
    stages = Stages(np.uint8(blank), PixelMap(), blank, PixelMap(), None, Picks("m"))
    assert [len(each) for each in stage_picks(stages, Micrograph(blank + 1), level=0.5)] == [0, 0, 0]


def test_cryotransformer_has_a_variant_for_each_backbone_and_input():
    settings = CryoTransformerAblation(denoised="clean")
    planned = ablate_transformer.plan(settings, DiskSettings("raw"))
    trainings = {variant.name: variant.prepare.args[0] for variant in planned.variants}
    assert len(trainings) == 10
    assert {(training.depth, training.disk.data) for training in trainings.values()} == {
        (depth, data) for depth in (18, 34, 50, 101, 152) for data in ("raw", "clean")
    }
    assert all(training.denoised for training in trainings.values())
    chained = ablate_transformer.plan(CryoTransformerAblation(), DiskSettings("raw")).variants[0].prepare.args[0]
    assert (chained.denoised, chained.disk.data) == (False, "raw")


def test_cryosegnet_has_a_variant_for_each_depth_with_and_without_gates():
    planned = ablate_segnet.plan(CryoSegNetAblation(), DiskSettings("raw"))
    trainings = [variant.prepare.args[0] for variant in planned.variants]
    assert [(training.levels, training.gates) for training in trainings] == [
        (levels, gates) for levels in (4, 5, 6) for gates in (True, False)
    ]


@pytest.mark.parametrize("study", [ablate_segnet.STUDY, ablate_transformer.STUDY])
def test_presets_small_and_full_can_be_resolved(study):
    kind = "ablate-cryosegnet" if study is ablate_segnet.STUDY else "ablate-cryotransformer"
    assert preset_names(kind) == ["full", "small"]
    small, full = (resolve(study.settings, load_preset(kind, name)) for name in ("small", "full"))
    assert small.training.loop.steps <= 200
    assert (full.training.width, full.training.loop.learning_rate) == (64 if "segnet" in kind else 256, 1e-4)


@pytest.mark.parametrize(
    ("model", "words", "expected"),
    [
        ("cryosegnet", ["levels=[2]", "training.width=2", "training.side=64"], ("stage", 6)),
        ("cryotransformer", ["depths=[18]", "training.backbone_width=4", "training.queries=5"], ("input", 2)),
    ],
)
def test_the_command_writes_the_table(tmp_path, model, words, expected):
    pytest.importorskip("lightning.fabric")
    command = ["ablate", model, "--simulate", "--out", str(tmp_path)]
    command += [part for word in (*sorted(SIMULATED), *words) for part in ("--set", word)]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    with (tmp_path / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    column, count = expected
    assert len(rows) == count
    expected = {"stage": {"U-Net", "+ instances", "+ post-processing"}, "input": {"denoised", "raw"}}
    assert {row[column] for row in rows} == expected[column]
    assert all(0 <= float(row["F1"]) <= 1 for row in rows)
    assert (tmp_path / "table.md").read_text() in result.output


def test_former_names_are_resolved_with_a_notice_of_what_to_write():
    assert resolve_study("segnet") == ("cryosegnet", "`cryopick ablate segnet` is deprecated; write `cryopick ablate cryosegnet`")
    assert resolve_study("transformer")[0] == "cryotransformer"
    assert [resolve_study(name) for name in STUDIES.names] == [(name, None) for name in STUDIES.names]
