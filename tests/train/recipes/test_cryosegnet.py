"""The published network learns from whole denoised micrographs, and its weights pick."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cryopick.config import load_preset, resolve
from cryopick.coordinates import PixelMap
from cryopick.errors import SettingError
from cryopick.models.weights import load, read_card
from cryopick.pickers import picker
from cryopick.pickers.cryosegnet import CryoSegNetSettings
from cryopick.simulate import simulate_micrograph
from cryopick.simulate.settings import SimulationSettings
from cryopick.train.data import denoised_pages as denoised
from cryopick.train.data.denoised_pages import Labelled, Page, Pages, as_batch, prepare_pages, read_page
from cryopick.train.log import LOG, read_table
from cryopick.train.loop import LoopSettings
from cryopick.train.recipe import WEIGHTS
from cryopick.train.recipes.cryosegnet import PublishedTraining, prepare_published
from cryopick.types import Micrograph, Picks

pytest.importorskip("lightning.fabric")
ALONE = SimpleNamespace(global_rank=0, world_size=1, barrier=lambda: None)
EASY = load_preset("simulate", "easy")
SIMULATED = {"micrographs": 6, "held_out": 2, "size": 320, "pixel_size": 4.0, "settings": EASY}
SMALL = {"width": 4, "levels": 3, "side": 128, "epochs": None, "accelerator": "cpu", "simulated": SIMULATED}
LOOP = {"steps": 60, "validate_every": 20, "batch": 3, "learning_rate": 0.01, "tensorboard": False}


def page(rng, *shape_hw: int) -> Page:
    picture = rng.integers(0, 256, shape_hw, dtype=np.uint8)
    return Page(picture, (picture > 200).astype(np.uint8), np.zeros((0, 2)), 9.0)


def test_the_preset_is_the_published_training():
    settings = resolve(PublishedTraining, load_preset("train-segnet", "paper"))
    assert (settings.width, settings.levels, settings.side, settings.epochs, settings.keep) == (64, 5, 1024, 200, "dice")
    assert settings == PublishedTraining(loop=LoopSettings(**load_preset("train-segnet", "paper")["loop"]))
    loop = settings.loop
    assert (loop.batch, loop.learning_rate, loop.weight_decay, loop.schedule) == (6, 1e-4, 0.0, "constant")
    assert (loop.warmup, loop.ema, loop.clip) == (0, None, None)


@pytest.mark.slow
def test_it_learns_the_particles_of_easy_micrographs_and_its_weights_pick(tmp_path):
    training = prepare_published(
        resolve(PublishedTraining, load_preset("train-segnet", "paper"), SMALL, {"loop": LOOP}), tmp_path
    )
    training.run()
    losses = read_table(tmp_path / LOG)["loss"]
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.6 * losses[0]
    card = read_card(tmp_path / WEIGHTS)
    assert card is not None
    assert (card.settings, len(card.data["seen"]), len(card.data["held_out"])) == ({"width": 4, "levels": 3, "maps": 1}, 6, 2)

    unseen = simulate_micrograph(seed=9, size=320, pixel_size=4.0, settings=SimulationSettings(**_ranges(EASY)))
    shown = CryoSegNetSettings(weights=None, side=128)
    (made,) = prepare_pages(
        [Labelled("unseen", 0, lambda: (unseen.micrograph, unseen.truth))], shown, folder=tmp_path, fabric=ALONE
    )
    truth = read_page(made[1])
    with torch.inference_mode():
        said = load(tmp_path / WEIGHTS)(as_batch([truth])["pictures"].float() / 255)[0, 0].sigmoid().numpy()
    assert np.corrcoef(said.ravel(), truth.mask.ravel())[0, 1] > 0.5

    settings = {"weights": str(tmp_path / WEIGHTS), "side": 128}
    without_sam = {"instances": "watershed", "rules": "robust", "threshold": 0.5}
    picks = picker("cryosegnet", settings={**settings, **without_sam}).pick(unseen.micrograph, diameter=unseen.truth.diameter)
    near = np.linalg.norm(picks.xy[:, None] - unseen.truth.xy[None], axis=-1).min(axis=1, initial=np.inf)
    radius = unseen.truth.diameter_px / 2
    assert len(picks) >= 3
    assert (near < radius).mean() > 0.5, "of all the picture less than a quarter is within half a diameter of a particle"


def _ranges(preset):
    return {key: tuple(value) if isinstance(value, list) else value for key, value in preset.items()}


def test_a_page_has_the_discs_where_the_published_chain_leaves_the_particles_of_its_labels(tmp_path):
    # A white disc of 40 pixels in 256; at side 128 it spans 20. The chain moves the picture by 3 and masks stay, as published.
    y, x = np.mgrid[:256, :256]
    pixels = (np.hypot(x - 100, y - 60) <= 20).astype(np.float32)
    truth = Picks("m", [(100.0, 60.0)], None, 40.0, (256, 256))
    (made,) = prepare_pages(
        [Labelled("m", 0, lambda: (Micrograph(pixels, None, "m"), truth))],
        CryoSegNetSettings(weights=None, side=128),
        folder=tmp_path,
        fabric=ALONE,
    )
    found = read_page(made[1])
    # Where the array's pixels lie in the map: two of them in one, from edge to edge.
    np.testing.assert_allclose(found.xy, PixelMap.resize((2.0, 2.0)).from_home(truth.xy))
    assert found.diameter_px == 20.0
    assert set(np.unique(found.mask)) == {0, 1}
    assert found.mask.sum() == pytest.approx(np.pi * 10**2, rel=0.02)
    rows, columns = found.mask.nonzero()
    np.testing.assert_allclose([columns.mean(), rows.mean()], found.xy[0], atol=0.5)


def test_pages_are_made_once_and_bad_ones_are_named(tmp_path, caplog):
    loads = []

    def load(name: str):
        loads.append(name)
        if name == "bad.mrc":
            raise OSError("is cut")
        return Micrograph(np.random.default_rng(1).normal(size=(64, 64)), None, name), Picks(name, [(9, 9)], None, 8.0, (64, 64))

    micrographs = [Labelled(name, 0, lambda name=name: load(name)) for name in ("a.mrc", "bad.mrc", "c.mrc")]
    for _ in range(2):
        made = prepare_pages(micrographs, CryoSegNetSettings(weights=None, side=64), folder=tmp_path, fabric=ALONE)
        assert [name for name, _ in made] == ["a.mrc", "c.mrc"]
    assert sorted(loads) == ["a.mrc", "bad.mrc", "bad.mrc", "c.mrc"]
    assert "left out: bad.mrc: is truncated" in caplog.text


def test_every_epoch_sees_each_page_once_and_only_a_batch_of_them_is_read(monkeypatch, rng):
    read = []
    monkeypatch.setattr(denoised, "read_page", lambda path: read.append(path) or page(rng, 8, 8))
    pages = Pages([Path(str(number)) for number in range(20_000)], seed=0)
    next(pages.batches(5, 6, count=8, rank=0, world=1))
    assert len(read) == 8
    few = Pages([Path(str(number)) for number in range(12)], seed=0)
    for epoch in (0, 1):
        read.clear()
        both = [list(few.batches(3 * epoch, 3 * epoch + 3, count=4, rank=rank, world=2)) for rank in (0, 1)]
        assert {len(batch["pictures"]) for batches in both for batch in batches} == {2}
        assert sorted(read) == sorted(few.paths)


def test_pages_of_different_shapes_are_filled_up_to_one(rng):
    batch = as_batch([page(rng, 8, 6), page(rng, 5, 9)])
    assert batch["pictures"].shape == batch["masks"].shape == (2, 1, 8, 9)
    assert not batch["pictures"][0, 0, :, 6:].any()
    assert not batch["masks"][1, 0, 5:].any()


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"side": 0}, {"simulated": {"held_out": 0}}, {"disk": {"data": "x", "simulated": 0.5}}]
)
def test_settings_that_cannot_train_are_refused(wrong):
    with pytest.raises(SettingError):
        resolve(PublishedTraining, wrong)
