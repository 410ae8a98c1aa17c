"""CryoTransformer: a box drawn at a known place is picked there, whichever way the rows of the file run."""

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import nn
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.config import load_preset, resolve
from cryopick.errors import SettingError
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.io.picks.formats import read_picks, write_picks
from cryopick.models.detr import Detr, DetrOutput
from cryopick.models.weights import Card, save
from cryopick.pickers import cryotransformer, picker
from cryopick.pickers.cryotransformer import CryoTransformerPicker, CryoTransformerSettings, InputSize
from cryopick.preprocess.published import PublishedChain
from cryopick.types import Micrograph

# Left, top, right and bottom in pixels counted from the edges: no symmetry would hide a flip.
DRAWN = np.array([[100, 40, 140, 80], [500, 60, 540, 100], [300, 400, 340, 440], [60, 180, 100, 220]], float)
CENTRES = (DRAWN[:, :2] + DRAWN[:, 2:]) / 2 - 0.5


class BrightBoxes(nn.Module):
    """Gives boxes around what is bright, the leftmost with the highest score, and keeps its input."""

    def forward(self, images, padding):
        self.seen = images
        height, width = images.shape[2:]
        bright = ndimage.gaussian_filter(images[0, 0].numpy(), 1) > 0.6
        found = ndimage.find_objects(ndimage.label(bright)[0])
        edges = np.array([(c.start / width, r.start / height, c.stop / width, r.stop / height) for r, c in found]).reshape(-1, 4)
        edges = edges[np.argsort(edges[:, 0])]
        boxes = np.concatenate([(edges[:, :2] + edges[:, 2:]) / 2, edges[:, 2:] - edges[:, :2]], axis=1)
        logits = np.stack([np.linspace(4, 1, len(boxes)), np.zeros(len(boxes))], axis=1)
        return DetrOutput(torch.from_numpy(logits)[None], torch.from_numpy(boxes)[None])


def image_of_boxes(shape=(480, 640)) -> np.ndarray:
    pixels = np.full(shape, 40, np.float32)
    for left, top, right, bottom in DRAWN.astype(int):
        pixels[top:bottom, left:right] = 230
    return pixels


def on_denoised(network, *, size=None, **settings) -> CryoTransformerPicker:
    return CryoTransformerPicker(CryoTransformerSettings(denoised=True, **settings), network=network, size=size)


def worst_error(xy) -> float:
    assert len(xy) == len(CENTRES)
    return max(np.hypot(*(xy - centre).T).min() for centre in CENTRES)


@pytest.mark.parametrize("kind", ["mrc", "png"])
@pytest.mark.parametrize("denoised", [True, False])
def test_a_box_drawn_at_a_known_place_is_there_in_the_star_file(tmp_path, kind, denoised):
    write_micrograph(tmp_path / f"m.{kind}", image_of_boxes().astype(np.uint8 if kind == "png" else np.float32), pixel_size=2.0)
    micrograph = read_micrograph(tmp_path / f"m.{kind}", pixel_size=2.0)
    network = BrightBoxes()
    # This network's boxes lie where it sees things, so the chain's shift has to be undone; the authors' was trained to undo it.
    chain = PublishedChain(label_shift=(0, 0))
    settings = CryoTransformerSettings(chain=chain, threshold=0.5, denoised=denoised)
    write_picks([CryoTransformerPicker(settings, network=network).pick(micrograph)], tmp_path / "picks.star")
    (picks,) = read_picks(tmp_path / "picks.star")
    assert network.seen.shape == (1, 3, 800, 1066)
    assert worst_error(picks.xy) < (0.5 if denoised else 2.5)
    assert picks.diameter == pytest.approx(80, abs=2 if denoised else 16)  # 40 pixels of 2 Å
    upside_down = kind == "mrc" and not denoised
    lit = network.seen[0, 0, :400].mean() > network.seen[0, 0, 400:].mean()
    assert bool(lit) != upside_down  # three boxes lie in the first half of the rows


def test_images_are_resized_on_the_cpu_because_gpus_cannot_smooth_bytes(monkeypatch):
    seen = []
    monkeypatch.setattr(cryotransformer, "resized", lambda grey, shape_hw: seen.append(grey.device.type) or grey)
    chosen = on_denoised(BrightBoxes(), device="meta")  # stands for a GPU
    assert chosen._fitted(chosen.prepare(Micrograph(image_of_boxes())).shown).device.type == "meta"
    assert seen == ["cpu"]


def test_picks_come_best_first_and_a_given_diameter_is_kept():
    picks = on_denoised(BrightBoxes(), threshold=0.0).pick(Micrograph(image_of_boxes()), diameter=55)
    assert picks.diameter == 55
    assert picks.scores == pytest.approx(1 / (1 + np.exp(-np.array([4, 3, 2, 1]))))
    assert picks.xy[:, 0] == pytest.approx(sorted(CENTRES[:, 0]), abs=0.5)


def test_without_a_threshold_the_lowest_quarter_is_dropped_as_published():
    picks = on_denoised(BrightBoxes()).pick(Micrograph(image_of_boxes()))
    assert len(picks) == 3
    assert picks.scores.min() == pytest.approx(1 / (1 + np.exp(-2)))


def test_the_input_size_of_the_weights_is_used():
    network = BrightBoxes()
    on_denoised(network, size=InputSize(240, 300)).pick(Micrograph(image_of_boxes()))
    assert network.seen.shape[2:] == (225, 300)
    with pytest.raises(SettingError, match=r"short_side must be from 1 to long_side \(600\), got 800"):
        InputSize(800, 600)


def test_an_empty_micrograph_has_no_picks():
    pixels = image_of_boxes()
    pixels[pixels > 100] = 41
    picks = on_denoised(BrightBoxes()).pick(Micrograph(pixels))
    assert len(picks) == 0
    assert picks.diameter is None


def test_both_scorings_run_on_the_network_itself():
    torch.manual_seed(0)
    network = Detr(18, queries=12, width=16, heads=2, feedforward=16, layers=1).eval()
    micrograph = Micrograph(image_of_boxes())
    for scoring in ("own", "published"):
        picks = on_denoised(network, scoring=scoring, max_overlap=1.0, size=InputSize(64, 96)).pick(micrograph)
        assert len(picks) == 9  # the lowest quarter of twelve is dropped
        assert ((picks.scores > 0) & (picks.scores < 1)).all()


@pytest.mark.parametrize("wrong", [{"quantile": 1.5}, {"max_overlap": -0.1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        CryoTransformerSettings(**wrong)


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory):
    """Random weights of a small network, whose card says its input size."""
    path = tmp_path_factory.mktemp("weights") / "detr.safetensors"
    torch.manual_seed(0)
    sizes = {"depth": 18, "queries": 10, "width": 16, "heads": 2, "feedforward": 16, "layers": 1}
    save(path, Detr(**sizes).state_dict(), Card("detr", sizes, input={"short_side": 64, "long_side": 96}))
    return path


def test_the_command_line_picks_with_given_weights(tmp_path, tiny_weights):
    write_micrograph(tmp_path / "m.png", image_of_boxes().astype(np.uint8))
    command = ["pick", str(tmp_path / "m.png"), "--out", str(tmp_path / "out"), "--picker", "cryotransformer"]
    options = ["--weights", str(tiny_weights), "--denoised", "--set", "max_overlap=1", "--workers", "1", "--no-previews"]
    result = CliRunner().invoke(app, [*command, *options])
    assert result.exit_code == 0, result.output
    (picks,) = read_picks(tmp_path / "out" / "particles.star")
    assert 0 < len(picks) <= 8  # of ten queries the lowest quarter is dropped, and what lies outside


def test_missing_weights_say_where_they_are_published():
    with pytest.raises(SettingError, match="jianlin-cheng/CryoTransformer"):
        picker("cryotransformer")


def test_the_corrected_preset_is_the_default():
    assert resolve(CryoTransformerSettings, load_preset("cryotransformer", "corrected")) == CryoTransformerSettings()
