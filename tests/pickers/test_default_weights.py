"""The weights in the package are whole, say what they are, and pick."""

from cryopick.evaluate import evaluate_picks
from cryopick.models.weights import available, verify
from cryopick.pickers import picker
from cryopick.randomness import generator
from cryopick.simulate import FixedStructures, pseudo_protein, simulate_micrograph

LARGEST = 16 * 2**20


def test_the_card_tells_what_was_seen_and_the_tensors_are_the_cards():
    path = available()["unet"]
    card = verify(path)
    assert path.stat().st_size < LARGEST
    assert card.tensors_sha256
    assert card.licence == "MIT"
    assert card.source.startswith("cryopick train segnet")
    assert card.data["seen"]
    assert {"particle_px", "calibration"} <= set(card.input)


def test_particles_of_proteins_never_seen_are_found():
    found, truth = [], []
    for seed in (2024, 2025, 2026):
        protein = FixedStructures([pseudo_protein(generator(seed, "unseen"), diameter=180.0)])
        made = simulate_micrograph(seed=seed, size=1024, pixel_size=3.0, preset="easy", structures=protein)
        found.append(picker("unet").pick(made.micrograph, diameter=180))
        truth.append(made.truth)
    evaluation = evaluate_picks(found, truth, diameter=180.0, border=30)
    assert sum(map(len, truth)) > 100
    assert evaluation.f1 > 0.9
