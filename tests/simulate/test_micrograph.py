"""Simulated micrographs: positions, contrast, solids, distractors and reproducibility."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cryopick.config import preset_names
from cryopick.errors import SettingError
from cryopick.simulate import (
    COVER_NAMES,
    FixedStructures,
    SimulationSettings,
    Structure,
    load_settings,
    pseudo_protein,
    simulate_micrograph,
)
from cryopick.simulate.exposure import band
from cryopick.simulate.structures import structure_from_mass

EASY = replace(load_settings("easy"), diameter=(120.0, 120.0), coverage=(0.1, 0.1))
NUMBERS = {name: number for number, name in COVER_NAMES.items()}


def ball(diameter: float) -> Structure:
    points = np.random.default_rng(1).normal(size=(3000, 3))
    points *= (diameter / 2 * np.random.default_rng(2).random(3000) ** (1 / 3) / np.linalg.norm(points, axis=1))[:, None]
    return structure_from_mass("ball", "test", points, np.full(3000, 200.0), sigma=2.0)


def passed(pixels, diameter, pixel_size):
    k = np.hypot(np.fft.fftfreq(pixels.shape[0], pixel_size)[:, None], np.fft.rfftfreq(pixels.shape[1], pixel_size)[None])
    factor = band(torch.from_numpy(k)[None], torch.tensor([diameter]))[0].numpy()
    return np.fft.irfft2(np.fft.rfft2(pixels / pixels.mean()) * factor, s=pixels.shape)


@pytest.mark.parametrize(("shape", "pixel_size"), [((320, 400), 2.0), ((401, 301), 3.3)])
def test_particles_lie_at_their_true_centres(shape, pixel_size):
    settings = replace(EASY, coverage=(0.04, 0.04), contrast=(12.0, 12.0), spacing=(2.5, 2.5), astigmatism=(0.0, 0.0))
    source = FixedStructures([ball(60.0)])
    found = simulate_micrograph(seed=4, size=shape, pixel_size=pixel_size, settings=settings, structures=source)
    assert found.micrograph.pixels.shape == shape
    radius = 30 / pixel_size
    dark = np.clip(-passed(found.micrograph.pixels, 60.0, pixel_size), 0, None)
    y, x = np.mgrid[: shape[0], : shape[1]]
    errors = []
    for centre in found.truth.xy:
        if (centre < 2 * radius).any() or (centre > np.array(shape[::-1]) - 2 * radius).any():
            continue
        weight = dark * (np.hypot(x - centre[0], y - centre[1]) < radius)
        measured = [(weight * x).sum() / weight.sum(), (weight * y).sum() / weight.sum()]
        errors.append(measured - centre)
    assert len(errors) > 1
    assert np.median(np.abs(errors)) < 0.25
    assert np.abs(np.mean(errors, axis=0)).max() < 0.25


@pytest.mark.parametrize("q", [1.5, 3.0])
def test_particles_are_q_standard_deviations_dark(q):
    settings = replace(EASY, contrast=(q, q), coverage=(0.05, 0.05), spacing=(1.8, 1.8), amplitude_jitter=0.0)
    darkness, spread = [], []
    for index in range(3):
        found = simulate_micrograph(
            seed=11, index=index, size=768, pixel_size=2.5, settings=settings, structures=FixedStructures([ball(120.0)])
        )
        filtered = passed(found.micrograph.pixels, 120.0, 2.5)
        y, x = np.mgrid[:768, :768]
        near = np.full((768, 768), np.inf)
        for centre in found.truth.xy:
            near = np.minimum(near, np.hypot(x - centre[0], y - centre[1]) * 2.5)
        darkness.append(-filtered[near < 0.2 * 120].mean())
        background = filtered[(near > 200) & (np.minimum(x, y) > 60) & (np.maximum(x, y) < 708)]
        spread.append(1.4826 * np.median(np.abs(background - np.median(background))))
    assert np.mean(darkness) / np.mean(spread) == pytest.approx(q, rel=0.12)


def test_particles_are_dark_unless_the_contrast_is_inverted():
    for inverted, sign in ((0.0, -1), (1.0, 1)):
        found = simulate_micrograph(seed=3, size=384, pixel_size=3.0, settings=replace(EASY, inverted=inverted))
        filtered = passed(found.micrograph.pixels, 120.0, 3.0)
        column, row = found.truth.xy.round().astype(int).T
        assert np.sign(filtered[row, column].mean()) == sign


def test_the_same_seed_and_index_give_the_same_bytes_and_others_do_not():
    torch.set_num_threads(1)
    first, again, other, seed = (
        simulate_micrograph(seed=seed, index=index, size=256, pixel_size=4.0) for seed, index in ((5, 2), (5, 2), (5, 3), (6, 2))
    )
    assert first.micrograph.pixels.tobytes() == again.micrograph.pixels.tobytes()
    np.testing.assert_array_equal(first.truth.xy, again.truth.xy)
    assert first.micrograph.pixels.tobytes() != other.micrograph.pixels.tobytes()
    assert first.micrograph.pixels.tobytes() != seed.micrograph.pixels.tobytes()


def test_the_ground_truth_has_sizes_shapes_names_and_orientations():
    found = simulate_micrograph(seed=8, size=(300, 420), pixel_size=3.0, settings=EASY)
    assert found.truth.shape_hw == (300, 420)
    assert found.truth.diameter == pytest.approx(120, rel=1e-5)
    assert found.truth.pixel_size == found.micrograph.pixel_size == 3.0
    assert found.truth.micrograph == found.micrograph.name
    assert found.rotations.shape == (len(found.truth), 3, 3)
    assert len(found.visibility) == len(found.truth) > 0
    assert 2.0 <= found.defocus_um <= 3.0
    assert ((found.truth.xy >= 0) & (found.truth.xy <= (419, 299))).all()
    assert sum(len(kind) for kind in found.distractors) == 0


def test_particles_keep_their_distance():
    from scipy.spatial.distance import pdist

    found = simulate_micrograph(seed=2, size=512, pixel_size=3.0, settings=replace(EASY, coverage=(0.4, 0.4)))
    assert len(found.truth) > 20
    assert pdist(found.truth.xy).min() >= 1.1 * 120 / 3 - 1e-3


def test_an_empty_micrograph_has_no_particles_and_is_not_flat():
    found = simulate_micrograph(seed=1, size=256, pixel_size=3.0, settings=replace(EASY, empty=1.0))
    assert len(found.truth) == 0
    assert found.micrograph.pixels.std() > 0


@pytest.mark.parametrize(
    ("change", "cover"),
    [
        ({"carbon": 1.0}, "carbon"),
        ({"contamination": 6.0}, "contamination"),
        ({"crystalline": 6.0}, "crystalline ice"),
        ({"gold": 1.0}, "gold"),
        ({"border": 1.0}, "border"),
    ],
)
def test_solids_are_recorded_in_the_cover_map_and_change_the_image(change, cover):
    plain = simulate_micrograph(seed=6, size=384, pixel_size=3.0, settings=EASY)
    changed = [simulate_micrograph(seed=6, index=i, size=384, pixel_size=3.0, settings=replace(EASY, **change)) for i in range(4)]
    assert (plain.cover == 0).all()
    assert sum(int((one.cover == NUMBERS[cover]).sum()) for one in changed) > 500
    for one in changed:
        column, row = one.truth.xy.round().astype(int).T
        assert not (one.cover[row, column] == NUMBERS["border"]).any()
    if cover in {"contamination", "crystalline ice", "gold"}:
        darker = [one.micrograph.pixels[one.cover == NUMBERS[cover]].mean() / one.micrograph.pixels.mean() for one in changed]
        assert min(darker) < 0.97


@pytest.mark.parametrize(
    ("change", "kind"), [({"fragments": 1.0}, "fragment"), ({"aggregates": 6.0}, "aggregate"), ({"filaments": 1.0}, "filament")]
)
def test_distractors_are_recorded(change, kind):
    found = simulate_micrograph(seed=6, size=384, pixel_size=3.0, settings=replace(EASY, **change))
    numbers = {entry.kind: len(entry) for entry in found.distractors}
    assert numbers[kind] > 0
    assert all(number == 0 for other, number in numbers.items() if other not in {kind, "hidden"})
    plain = simulate_micrograph(seed=6, size=384, pixel_size=3.0, settings=EASY)
    assert not np.array_equal(found.micrograph.pixels, plain.micrograph.pixels)


def test_particles_on_carbon_are_recorded_as_hidden():
    settings = replace(EASY, carbon=1.0, avoid_carbon=0.0, coverage=(0.3, 0.3))
    found = [simulate_micrograph(seed=6, index=i, size=384, pixel_size=3.0, settings=settings) for i in range(4)]
    hidden = np.concatenate([entry.xy for one in found for entry in one.distractors if entry.kind == "hidden"])
    assert len(hidden) > 0
    for one in found:
        column, row = one.truth.xy.round().astype(int).T
        assert (one.visibility >= 0.35).all()
        assert (one.cover[row, column] == 0).mean() > 0.8


def test_hot_pixels_gain_residue_and_falloff_show_in_the_image():
    plain = simulate_micrograph(seed=6, size=256, pixel_size=3.0, settings=EASY).micrograph.pixels
    hot = simulate_micrograph(seed=6, size=256, pixel_size=3.0, settings=replace(EASY, hot_pixels=1.0)).micrograph.pixels
    assert hot.max() > 1.5 * plain.max()
    uneven = [
        simulate_micrograph(seed=6, index=i, size=256, pixel_size=3.0, settings=replace(EASY, falloff=1.0)).micrograph.pixels
        for i in range(3)
    ]
    corners = [np.array([u[:64, :64].mean(), u[:64, -64:].mean(), u[-64:, :64].mean(), u[-64:, -64:].mean()]) for u in uneven]
    assert max(np.ptp(c) / c.mean() for c in corners) > 0.05


def test_the_mean_number_of_electrons_follows_the_dose():
    found = simulate_micrograph(seed=12, size=256, pixel_size=2.0, settings=replace(EASY, empty=1.0))
    properties = found.properties
    expected = properties["dose"] * 4 * np.exp(-properties["ice"] / 3150)
    assert found.micrograph.pixels.mean() == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("preset", preset_names("simulate"))
def test_every_preset_gives_a_micrograph(preset):
    found = simulate_micrograph(seed=1, size=320, pixel_size=3.0, preset=preset)
    assert found.micrograph.pixels.std() > 0


def test_the_size_limits_of_random_structures_do_not_apply_to_given_ones():
    found = simulate_micrograph(seed=1, size=96, pixel_size=1.0, settings=EASY, structures=FixedStructures([ball(20.0)]))
    assert len(found.truth) > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"dose": (-3.0, -2.0)},
        {"coverage": (0.0, 0.5)},
        {"diameter": (300.0, 100.0)},
        {"empty": 7.0},
        {"modulation": (0.0, 0.5)},
        {"ice_tilt": (0.0, 2.0)},
        {"voltages_kv": ()},
        {"aggregates": -1.0},
    ],
)
def test_invalid_settings_are_named_in_the_error(wrong):
    with pytest.raises(SettingError, match=next(iter(wrong))):
        SimulationSettings(**wrong)


def test_a_micrograph_too_small_for_particles_raises():
    with pytest.raises(SettingError, match="no particle fits"):
        simulate_micrograph(seed=1, size=64, pixel_size=1.0)
    with pytest.raises(SettingError, match="has no preset"):
        simulate_micrograph(seed=1, preset="nice")


def test_a_given_structure_is_used(rng):
    cage = pseudo_protein(rng, kind="cage", diameter=130.0)
    found = simulate_micrograph(seed=1, size=256, pixel_size=3.0, settings=EASY, structures=FixedStructures([cage]))
    assert found.structure is cage
    assert found.truth.diameter == cage.diameter
