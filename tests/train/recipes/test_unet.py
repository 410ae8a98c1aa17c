"""`cryopick train unet`: from settings to weights that pick."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.errors import FileError, SettingError
from cryopick.io.datasets.cryoppp import DatasetFolder
from cryopick.models.weights import read_card
from cryopick.pickers import picker
from cryopick.simulate import simulate_micrograph
from cryopick.simulate.crops import Crops
from cryopick.train.recipes.unet import UNetTraining, calibrate, training_structures
from cryopick.types import Picks

pytest.importorskip("lightning.fabric")


def as_options(*words: str) -> list[str]:
    return [part for word in words for part in ("--set", word)]


SMALL = as_options(
    "width=2", "levels=2", "structures=2", "held_out_structures=2", "held_out_crops=2", "accelerator=cpu", "crop.size=48"
)
SHORT = as_options("loop.steps=3", "loop.batch=4", "loop.validate_every=2", "loop.warmup=1", "loop.tensorboard=false")


def train(*words: str) -> str:
    result = CliRunner().invoke(app, ["train", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def helix(path: Path) -> Path:
    """Write an atomic model of 40 residues."""
    turn = 1.745 * np.arange(40)
    places = zip(9 * np.cos(turn), 9 * np.sin(turn), 1.5 * np.arange(40), strict=True)
    lines = [
        f"ATOM  {number:5d}  CA  ALA A{number:4d}    {x:8.3f}{y:8.3f}{z:8.3f}  1.00  0.00           C"
        for number, (x, y, z) in enumerate(places, 1)
    ]
    path.write_text("\n".join([*lines, "END"]) + "\n")
    return path


def test_weights_of_a_short_training_can_be_used_by_the_picker(tmp_path):
    assert "f1_held_out" in train("unet", "--simulate", *SMALL, *SHORT, "--out", str(tmp_path))
    card = read_card(tmp_path / "weights.safetensors")
    assert card is not None
    assert (card.settings, card.input["particle_px"]) == ({"width": 2, "levels": 2, "maps": 3}, 14.0)
    micrograph = simulate_micrograph(seed=1, size=512, pixel_size=3.0, preset="easy").micrograph
    settings = {"weights": str(tmp_path / "weights.safetensors"), "threshold": 0.0}
    picks = picker("unet", settings=settings).pick(micrograph, diameter=150)
    assert picks.diameter == 150
    assert ((picks.scores >= 0) & (picks.scores <= 1)).all()


def test_a_run_reports_early_stopping_and_resumes_only_with_the_same_settings(tmp_path):
    out = ["--out", str(tmp_path)]
    patient = [*SHORT, *as_options("loop.steps=40", "loop.validate_every=1", "loop.patience=1", "loop.learning_rate=0")]
    output = train("unet", "--simulate", *SMALL, *patient, *out)
    assert "stopped early at step 2: no improvement in 1 validation" in output
    assert "resuming at step 2" in train("unet", "--simulate", *SMALL, *patient, *out)
    with pytest.raises(SettingError, match=r"other settings \(loop.batch was 4, now 2\)"):
        train("unet", "--simulate", *SMALL, *patient, *as_options("loop.batch=2"), *out)


def test_structures_of_files_are_trained_on_and_listed_in_the_card(tmp_path):
    words = [*SMALL, *SHORT, *as_options(f"structure_files={helix(tmp_path / 'helix.pdb')}", "negatives.share=0.25")]
    train("unet", "--simulate", *words, "--out", str(tmp_path))
    card = read_card(tmp_path / "weights.safetensors")
    assert card is not None
    assert card.data == {"seen": ["2 random proteins, simulated", "helix"], "held_out": ["random proteins of another seed"]}


def test_structures_of_files_are_repeated_to_make_up_their_share(tmp_path):
    settings = UNetTraining(structures=12, structure_files=str(helix(tmp_path / "helix.pdb")), file_share=0.4)
    bank, _ = training_structures(settings, torch.device("cpu"))
    assert len(bank) == 20
    assert len(set(bank.diameter[12:].tolist())) == 1


def test_training_starts_from_initial_weights_and_weights_of_another_width_raise(tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train("unet", "--simulate", *SMALL, *SHORT, "--out", str(first))
    init = f"init={first / 'weights.safetensors'}"
    train("unet", "--simulate", *SMALL, *SHORT, *as_options(init, "loop.learning_rate=0", "loop.ema=null"), "--out", str(second))
    old, new = (load_file(folder / "weights.safetensors") for folder in (first, second))
    assert torch.equal(old["output.weight"], new["output.weight"])
    with pytest.raises(FileError, match="of another shape"):
        train("unet", "--simulate", *SMALL, *as_options("width=4", init), "--out", str(tmp_path / "third"))


def test_labelled_micrographs_are_split_and_unreadable_ones_are_logged(tmp_path, caplog):
    folder = DatasetFolder(tmp_path / "data")
    for index in range(4):
        made = simulate_micrograph(seed=3, index=index, size=384, pixel_size=4.0, preset="easy")
        folder.write(made.micrograph, made.truth, Picks(made.micrograph.name))
    bad = sorted(folder.micrographs.iterdir())[1]
    bad.write_bytes(bad.read_bytes()[:900])
    train("unet", str(folder.root), *SMALL, *SHORT, *as_options("crop.diameter_px=[12, 12]"), "--out", str(tmp_path / "run"))
    card = read_card(tmp_path / "run" / "weights.safetensors")
    assert card is not None
    names = card.data["seen"] + card.data["held_out"]
    assert (len(card.data["seen"]), len(card.data["held_out"]), len(set(names))) == (2, 1, 3)
    assert bad.name not in names
    assert bad.name in caplog.text


def test_missing_or_unsupported_data_raises(tmp_path):
    with pytest.raises(FileError, match="does not exist"):
        train("unet", str(tmp_path / "none"), "--out", str(tmp_path / "run"))
    with pytest.raises(SettingError, match="--diameter cannot be used with --simulate"):
        train("unet", "--simulate", "--diameter", "100", "--out", str(tmp_path / "run"))
    with pytest.raises(SettingError, match="only on simulated micrographs"):
        train("detr", str(tmp_path), "--out", str(tmp_path / "run"))


@pytest.mark.parametrize("wrong", [{"structures": 0}, {"held_out_crops": 0}, {"particle_px": -1.0}, {"file_share": 1.0}])
def test_invalid_settings_raise_with_their_name(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        UNetTraining(**wrong)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_missing_cuda_device_raises():
    with pytest.raises(SettingError, match="no CUDA"):
        UNetTraining(accelerator="cuda")


def test_scores_are_calibrated_to_the_share_of_right_peaks():
    # 400 isolated peaks of logit 2, of which 3 in 4 are particles, and 400 of logit −1, of which 1 in 4 are: log-odds ± log 3.
    size, step = 200, 10
    logits = torch.full((2, 1, size, size), -9.0)
    centres = [(x, y) for y in range(5, size, step) for x in range(5, size, step)]
    true = []
    for image, (height, share) in enumerate(((2.0, 3), (-1.0, 1))):
        for index, (x, y) in enumerate(centres):
            logits[image, 0, y, x] = height
            if index % 4 < share:
                true.append((image, x, y))
    image, xy = torch.tensor([t[0] for t in true]), torch.tensor([t[1:] for t in true], dtype=torch.float32)
    nowhere, sizes, visible = torch.zeros(0, 2), torch.full((2,), 4.0), torch.ones(len(xy))
    crops = Crops(logits[:, 0], sizes, sizes, xy, image, visible, nowhere, nowhere[:, 0], logits[:, 0])
    slope, offset = calibrate(torch.nn.Identity(), logits, crops, spacing=0.5)
    np.testing.assert_allclose([2 * slope + offset, -slope + offset], [np.log(3), -np.log(3)], atol=1e-3)
