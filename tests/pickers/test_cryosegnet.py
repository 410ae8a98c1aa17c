"""CryoSegNet: geometry on networks whose map is known, and the whole chain with tiny random weights."""

from dataclasses import replace

import cv2
import mrcfile
import numpy as np
import pytest
import torch
from component_segmenter import ComponentSegmenter
from torch import nn
from typer.testing import CliRunner

from cryopick.cli import app
from cryopick.config import load_preset, resolve
from cryopick.detection.sam_masks import MaskSettings
from cryopick.errors import FileError, SettingError
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.models.attention_unet import AttentionUNet
from cryopick.models.weights import Card, save
from cryopick.pickers import picker
from cryopick.pickers.cryosegnet import CryoSegNetPicker, CryoSegNetSettings, denoised
from cryopick.preprocess.denoise import DenoiseSettings, denoise
from cryopick.preprocess.published import PublishedChain
from cryopick.simulate import simulate_micrograph
from cryopick.types import Micrograph

CENTRES = np.array([[60.0, 45.0], [200.0, 60.0], [330.0, 50.0], [110.0, 160.0], [250.0, 170.0], [340.0, 240.0], [60.0, 250.0]])


class Brightness(nn.Module):
    """A network whose map is the image's brightness, and which keeps its input."""

    def forward(self, image):
        self.seen = image.clone()
        return 20 * (image - 0.5)


def bright_discs(centres=CENTRES, shape=(300, 400), radius=18.0):
    """Grey values 30 with discs of 220, their edges smooth."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    distance = np.min([np.hypot(x - a, y - b) for a, b in centres], axis=0)
    return (30 + 190 * np.clip(radius + 0.5 - distance, 0, 1)).astype(np.float32)


def published(**changes):
    """The published settings on a small grid, for denoised micrographs."""
    return CryoSegNetSettings(**{"denoised": True, "side": 256, "masks": MaskSettings(grid=16), **changes})


def watershed(**changes):
    """Settings without Segment Anything."""
    return CryoSegNetSettings(**{"instances": "watershed", "rules": "robust", "threshold": 0.5, **changes})


def worst_error(picks, centres=CENTRES):
    assert len(picks) == len(centres)
    return max(np.hypot(*(picks.xy - centre).T).min() for centre in centres)


@pytest.mark.parametrize("kind", ["mrc", "tiff", "png", "jpeg"])
@pytest.mark.parametrize("aspect", ["kept", "squeezed"])
def test_picks_lie_on_the_discs_whichever_way_the_network_saw_them(kind, aspect):
    network = Brightness()
    settings = watershed(denoised=True, side=200, aspect=aspect)
    micrograph = Micrograph(bright_discs(), kind=kind)
    picks = CryoSegNetPicker(settings, network=network).pick(micrograph)
    assert worst_error(picks) < 0.5
    assert network.seen.shape[-2:] == ((150, 200) if aspect == "kept" else (200, 200))


@pytest.mark.parametrize("kind", ["mrc", "tiff", "png", "jpeg"])
def test_the_network_sees_mrc_files_upside_down_and_others_as_they_are(kind):
    micrograph = Micrograph(bright_discs(), kind=kind)
    first_half, second_half = np.array_split(denoised(micrograph, CryoSegNetSettings(side=200)).values, 2)
    assert bool(first_half.mean() > second_half.mean()) == (kind == "mrc")  # three discs lie in the file's first half, four below


@pytest.mark.parametrize("kind", ["mrc", "png"])
def test_picks_on_what_cryopick_denoised_lie_where_those_on_the_micrograph_do(kind):
    class Published(Brightness):
        """Answers three pixels off its input, as a network does that was trained on shifted images with unshifted masks."""

        def forward(self, image):
            return torch.roll(super().forward(image), (3, 3), (2, 3))

    whole, after = (CryoSegNetPicker(watershed(side=400, denoised=flag), network=Published()) for flag in (False, True))
    raw = Micrograph(bright_discs(), kind=kind)
    chain, _ = denoise(raw.pixels)
    assert worst_error(whole.pick(raw)) < 2.5  # a shift that is undone the wrong way leaves 6
    assert worst_error(after.pick(Micrograph(chain.astype(np.float32), kind=kind))) < 2.5


def test_published_rules_with_masks_give_each_disc_once_with_a_score():
    picks = CryoSegNetPicker(published(), network=Brightness(), segmenter=ComponentSegmenter()).pick(
        Micrograph(bright_discs(), kind="mrc")
    )
    assert worst_error(picks) < 2  # the fake decoder sees every fourth of 1.6 pixels
    assert picks.scores.tolist() == pytest.approx([0.95] * len(CENTRES))
    # The published diameter is the diagonal of a box: 36 √2 = 51, give or take the fake's coarse pixels of 6.
    assert 40 < picks.diameter < 62


def test_prompts_on_the_map_find_the_same_particles_with_fewer_prompts():
    asked = {}
    for prompts in ("grid", "map"):
        segmenter = ComponentSegmenter()
        picks = CryoSegNetPicker(published(prompts=prompts), network=Brightness(), segmenter=segmenter).pick(
            Micrograph(bright_discs())
        )
        asked[prompts] = (len(segmenter.points), picks.xy.tolist())
    assert asked["grid"][0] == 256
    assert asked["map"][0] == len(CENTRES)
    assert asked["map"][1] == asked["grid"][1]


def test_the_shift_of_the_denoising_chain_is_undone(rng):
    pixels = bright_discs() + rng.normal(0, 20, (300, 400)).astype(np.float32)
    for kind in ("mrc", "png"):
        settings = watershed(side=400, chain=PublishedChain(label_shift=(0, 0)))
        aligned = CryoSegNetPicker(settings, network=Brightness()).pick(Micrograph(pixels, kind=kind))
        assert worst_error(aligned) < 1.5
        # A network trained on shifted images with unshifted masks puts its map 3 px right of and below its input.
        shifted = replace(settings, chain=PublishedChain(label_shift=(3, 3)))
        moved = CryoSegNetPicker(shifted, network=Brightness()).pick(Micrograph(pixels, kind=kind))
        down = 1 if kind == "mrc" else -1
        np.testing.assert_allclose(moved.xy - aligned.xy, np.tile([-3.0, 3.0 * down], (len(CENTRES), 1)), atol=1e-9)


def test_the_published_network_undoes_the_published_shift_itself(rng):
    prepared = denoised(Micrograph(rng.normal(0, 1, (300, 400)), kind="mrc"), CryoSegNetSettings(side=400))
    # Row 0 of the map is the file's last row; pixel (0, 0) of the image shows what was at (3, 3) of the flipped micrograph.
    assert prepared.map_to_home.to_home([[0, 0]]).tolist() == [[0, 299]]
    assert prepared.to_home.to_home([[0, 0]]).tolist() == [[3, 296]]


def test_the_diameter_is_estimated_in_angstrom_and_a_known_one_is_kept():
    micrograph = Micrograph(bright_discs(), pixel_size=2.0)
    find = CryoSegNetPicker(watershed(denoised=True, side=400), network=Brightness())
    assert find.pick(micrograph).diameter == pytest.approx(2 * 36, abs=2)
    assert find.pick(micrograph, diameter=80).diameter == 80
    assert len(find.pick(micrograph, diameter=80)) == len(CENTRES)
    assert len(find.pick(micrograph, diameter=200)) == 0


@pytest.mark.parametrize("instances", ["sam", "watershed"])
def test_a_micrograph_without_particles_gives_no_picks(instances):
    find = CryoSegNetPicker(published(instances=instances), network=Brightness(), segmenter=ComponentSegmenter())
    picks = find.pick(Micrograph(np.full((80, 100), 20, np.float32) + np.eye(80, 100, dtype=np.float32)), diameter=30)
    assert len(picks) == 0
    assert picks.diameter == 30


def test_cleaning_does_not_change_a_good_micrograph_and_corrects_a_bad_one(rng):
    pixels = bright_discs() + rng.normal(0, 60, (300, 400)).astype(np.float32)
    clean, raw = (
        CryoSegNetPicker(watershed(side=200, chain=PublishedChain(clean=flag)), network=Brightness()) for flag in (True, False)
    )
    as_it_is = denoised(Micrograph(pixels), raw.settings)
    np.testing.assert_array_equal(denoised(Micrograph(pixels), clean.settings).image, as_it_is.image)
    hot = pixels.copy()
    hot[150, 300] = 1e6
    assert worst_error(clean.pick(Micrograph(hot))) < 6  # 4.2 of it is the shift that this network was not trained with
    assert len(raw.pick(Micrograph(hot))) < len(CENTRES)
    padded = np.pad(pixels, ((0, 0), (40, 0)), mode="edge")
    picks = clean.pick(Micrograph(padded))
    assert denoised(Micrograph(padded), clean.settings).map_to_home.shift[0] == pytest.approx(40, abs=2)
    assert (picks.xy[:, 0] > 40).all()


def test_missing_weights_say_where_they_are_published():
    with pytest.raises(SettingError, match=r"github\.com/jianlin-cheng/CryoSegNet.*--weights"):
        picker("cryosegnet")
    with pytest.raises(SettingError, match=r"--sam.*sam_vit_h_4b8939.*--preset watershed"):
        CryoSegNetPicker(CryoSegNetSettings(), network=Brightness())
    with pytest.raises(FileError, match="nowhere"):
        picker("cryosegnet", weights="/nowhere/unet.pth")


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("side", {"side": 0}),
        ("clip", {"chain": {"clip": -1.0}}),
        ("batch", {"masks": {"batch": 0}}),
        ("grid", {"masks": {"grid": 0}}),
    ],
)
def test_a_setting_that_cannot_work_is_named(name, wrong):
    with pytest.raises(SettingError, match=name):
        resolve(CryoSegNetSettings, wrong)


@pytest.mark.parametrize("preset", [{}, load_preset("cryosegnet", "corrected")], ids=["default", "corrected"])
def test_the_defaults_and_the_corrected_preset_have_the_published_constants(preset):
    settings = resolve(CryoSegNetSettings, preset)
    assert settings.masks == MaskSettings(32, 64, 0.88, 0.95, 1.0, 0.7, 0)
    assert settings.chain.denoise == DenoiseSettings()
    assert (settings.instances, settings.prompts, settings.rules) == ("sam", "grid", "published")
    assert (settings.threshold, settings.side) == (0.94, 1024)


def test_the_economical_preset_prompts_on_the_map_and_filters_early():
    settings = resolve(CryoSegNetSettings, load_preset("cryosegnet", "economical"))
    assert (settings.instances, settings.prompts, settings.rules) == ("sam", "map", "robust")
    assert settings.masks == MaskSettings(early_stability=True)


def test_maps_are_written_in_the_order_of_the_micrographs_rows(tmp_path):
    micrograph = Micrograph(bright_discs(), pixel_size=1.5, name="folder/mic.1.mrc", kind="mrc")
    CryoSegNetPicker(watershed(denoised=True, side=200, maps=str(tmp_path)), network=Brightness()).pick(micrograph)
    names = [f"mic.1_{what}.{suffix}" for what in ("denoised", "masks", "probability") for suffix in ("mrc", "png")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "mic.1_panels.png"])
    reduced = cv2.resize(micrograph.pixels, (200, 150), interpolation=cv2.INTER_LINEAR)
    for what, middle in (("denoised", 125), ("probability", 0.5), ("masks", 0.5)):
        with mrcfile.open(tmp_path / f"mic.1_{what}.mrc") as mrc:
            assert float(mrc.voxel_size.x) == pytest.approx(3.0)
            np.testing.assert_array_equal(mrc.data > middle, reduced > (127.5 if what != "denoised" else 125))
    figure = cv2.imread(str(tmp_path / "mic.1_panels.png"))
    assert (figure[..., 1].astype(int) - figure[..., 2] > 100).sum() > 100  # green circles


@pytest.fixture(scope="module")
def tiny_weights(tmp_path_factory):
    """Random weights: a U-Net of width 4 and Segment Anything with a square of 128 pixels."""
    transformers = pytest.importorskip("transformers")
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save(folder / "unet.safetensors", AttentionUNet(4, 3).state_dict(), Card("attention-unet", {"width": 4, "levels": 3}))
    square = {"image_size": 128, "patch_size": 16}
    encoder = {"hidden_size": 32, "output_channels": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 32}
    config = transformers.SamConfig(
        vision_config={**square, **encoder, "window_size": 4, "global_attn_indexes": [0], "num_pos_feats": 16},
        prompt_encoder_config={**square, "hidden_size": 32, "mask_input_channels": 4},
        mask_decoder_config={"hidden_size": 32, "mlp_dim": 32, "iou_head_hidden_dim": 16},
    )
    transformers.SamModel(config).save_pretrained(folder / "sam")
    return {"weights": str(folder / "unet.safetensors"), "sam": str(folder / "sam")}


def run_chain(micrograph, tiny_weights, **changes):
    """The whole chain, with thresholds so low that random weights find something."""
    masks = {"grid": 8, "min_iou": -1e9, "min_stability": 0.0, "max_overlap": 0.5}
    settings = {**tiny_weights, "side": 128, "threshold": -1e9, "rules": "robust", "masks": masks, **changes}
    stages = CryoSegNetPicker(resolve(CryoSegNetSettings, settings)).stages(micrograph)
    assert stages.probability.shape == stages.image.shape
    assert max(stages.image.shape) == 128
    assert len(stages.instances) > 0
    assert stages.picks.shape_hw == micrograph.shape_hw
    assert (np.diff(stages.picks.scores) <= 0).all()
    return stages


def test_the_command_line_takes_weights_and_writes_maps(tiny_weights, tmp_path):
    write_micrograph(tmp_path / "mic.png", bright_discs().astype(np.uint8))
    command = [
        "pick",
        str(tmp_path / "mic.png"),
        "--out",
        str(tmp_path / "out"),
        "--picker",
        "cryosegnet",
        "--preset",
        "economical",
    ]
    named = ["--weights", tiny_weights["weights"], "--sam", tiny_weights["sam"], "--denoised", "--maps", str(tmp_path / "maps")]
    result = CliRunner().invoke(
        app, [*command, *named, "--preset", "economical", "--set", "side=128", "--workers", "1", "--no-previews"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "out" / "particles.star").is_file()
    seen = cv2.imread(str(tmp_path / "maps" / "mic_denoised.png"), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(seen, cv2.resize(bright_discs().astype(np.uint8), (128, 96)))


def test_the_whole_chain_runs_on_a_simulated_micrograph(tiny_weights):
    run_chain(simulate_micrograph(seed=1, size=(384, 512), pixel_size=4.0).micrograph, tiny_weights)


def test_the_whole_chain_runs_on_a_real_micrograph(real_data, tiny_weights):
    path = sorted((real_data / "empiar10146" / "micrographs").glob("*.png"))[0]
    stages = run_chain(read_micrograph(path, pixel_size=1.5), tiny_weights)
    assert stages.image.shape == (124, 128) or stages.image.shape == (128, 124)


def test_the_whole_chain_runs_on_a_real_denoised_micrograph(real_data, tiny_weights):
    path = sorted((real_data / "empiar10017" / "micrographs").glob("*.jpg"))[0]
    micrograph = read_micrograph(path, pixel_size=1.77)
    stages = run_chain(micrograph, tiny_weights, denoised=True)
    expected = cv2.resize(micrograph.pixels.astype(np.uint8), (128, 128))
    np.testing.assert_array_equal(stages.image, expected)  # grey values are taken as they are
