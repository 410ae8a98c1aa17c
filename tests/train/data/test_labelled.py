"""Labelled micrographs are found, prepared and cropped; unusable ones are skipped, unlabelled areas ignored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cryopick.coordinates import PixelMap
from cryopick.errors import CryopickError, FileError
from cryopick.io.datasets.cryoppp import BadArea, DatasetFolder, LabelledMicrograph, write_areas
from cryopick.io.micrographs.files import read_micrograph, write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.io.picks.formats import write_picks
from cryopick.models.attention_unet import AttentionUNet
from cryopick.preprocess.particle_scaled import scale_to_particle
from cryopick.simulate.crops import Crops, random_structures, simulate_crops, structure_bank
from cryopick.train.data.augment import Augmentation
from cryopick.train.data.crops import LabelledCrops, MixedBatches, held_out_crops, jittered_diameters, prepare_micrographs
from cryopick.train.data.labelled import find_labelled, label_border
from cryopick.train.data.targets import MAPS, CropSettings, target_maps
from cryopick.train.tasks.unet import SimulatedCrops, UNetTask
from cryopick.types import Micrograph, Picks

SHAPE = (240, 320)
STILL = Augmentation((1.0, 1.0), 0.0, (0.0, 0.0), 0.0, noise_rate=0.0, gradient_rate=0.0, border_rate=0.0)
CROP = CropSettings(size=32, diameter_px=(6.0, 12.0), augmentation=STILL)


@pytest.fixture
def folder(tmp_path, rng):
    """Two micrographs of noise, a.mrc and b.mrc, with 2 Å per pixel."""
    (tmp_path / "mics").mkdir()
    for name in ("a", "b"):
        write_micrograph(tmp_path / "mics" / f"{name}.mrc", rng.normal(size=SHAPE).astype(np.float32), pixel_size=2.0)
    return tmp_path


def picks(name, xy, **about) -> Picks:
    return Picks(name, np.array(xy, float), **{"shape_hw": SHAPE, "pixel_size": 2.0, "diameter": 48.0, **about})


def labelled(folder: Path, xy, *, name="a", junk=()) -> LabelledMicrograph:
    path = folder / "mics" / f"{name}.mrc"
    return LabelledMicrograph(MicrographSource(path, path.name), picks(path.name, xy), picks(path.name, junk))


def prepared(folder: Path, *micrographs: LabelledMicrograph, diameters_px=(12.0,)):
    return prepare_micrographs(micrographs, diameters_px=diameters_px, folder=folder / "cache")[0]


@pytest.mark.parametrize("file", ["p.star", "p.json", "p.csv", "boxes"])
def test_picks_of_any_format_are_assigned_to_their_micrographs(folder, file):
    each = [picks("b.mrc", [[100, 50], [30, 200]])]
    write_picks(each, folder / file, format="box" if file == "boxes" else "coco" if file.endswith("json") else None)
    (one,) = find_labelled(folder / "mics", folder / file, diameter=48.0).micrographs
    assert (one.source.name, one.truth.diameter_px, one.truth.shape_hw) == ("b.mrc", 24.0, SHAPE)
    np.testing.assert_allclose(one.truth.xy, [[100, 50], [30, 200]], atol=0.51)


def test_a_folder_laid_out_like_cryoppp_needs_no_other_input(tmp_path, rng):
    mics = Micrograph(rng.normal(size=SHAPE).astype(np.float32), pixel_size=2.0, name="a.mrc")
    DatasetFolder(tmp_path).write(mics, picks("a.mrc", [[100, 50]]), picks("a.mrc", [[30, 200]]))
    (one,) = find_labelled(tmp_path).micrographs
    assert one.truth.xy.tolist() == [[100, 50]]
    assert one.truth.diameter_px == 24
    assert one.false_positives.xy.tolist() == [[30, 200]]
    assert one.areas == ()
    area = BadArea(7.5, [(1.25, 2.0), (30.0, 40.0)])
    write_areas({"a.mrc": [area], "b.mrc": [area, area]}, DatasetFolder(tmp_path).areas)
    (one,) = find_labelled(tmp_path).micrographs
    assert one.areas == [area]
    DatasetFolder(tmp_path).areas.write_text('{"a.mrc": [{"radius": -1, "points": []}]}')
    with pytest.raises(FileError, match="not a valid file of areas"):
        find_labelled(tmp_path)


@pytest.mark.parametrize("place", ["mics", "."])
def test_a_coco_file_finds_the_micrographs_that_it_names(folder, place):
    prefix = "" if place == "mics" else "mics/"
    write_picks([picks(f"{prefix}a.mrc", [[100, 50]])], folder / place / "train.json", format="coco")
    (one,) = find_labelled(folder / place / "train.json").micrographs
    assert one.source.path.name == "a.mrc"
    assert one.truth.xy.tolist() == [[100, 50]]


def test_micrographs_and_picks_may_share_a_folder(folder):
    write_picks([picks("a.mrc", [[100, 50]])], folder / "mics", format="box")
    (one,) = find_labelled(folder / "mics", diameter=50).micrographs
    assert (one.truth.xy.tolist(), one.truth.diameter) == ([[100, 50]], 50)


def test_unusable_micrographs_are_skipped_with_a_reason(folder):
    (folder / "mics" / "cut.mrc").write_bytes(b"nothing")
    every = [picks("a.mrc", [[100, 50], [400, 50]]), picks("b.mrc", [[10, 9], [900, 5], [7, 800]]), picks("z.mrc", [[1, 1]])]
    write_picks([*every, picks("cut.mrc", [[1, 1]])], folder / "p.csv")
    found = find_labelled(folder / "mics", folder / "p.csv")
    (one,) = found.micrographs
    assert one.truth.xy.tolist() == [[100, 50]]
    reasons = {skipped.name: skipped.reason for skipped in found.skipped}
    assert set(reasons) == {"b.mrc", "cut.mrc", "z.mrc"}
    assert "2 of its 3 picks lie outside its 320 x 240 pixels" in reasons["b.mrc"]
    assert "not among the micrographs" in reasons["z.mrc"]


def test_the_diameter_is_given_or_that_of_the_picks_or_of_the_other_micrographs(folder):
    (folder / "p.csv").write_text("micrograph,x,y,diameter\na,100,50,30\nb,100,50,\n")
    diameters = [one.truth.diameter_px for one in find_labelled(folder / "mics", folder / "p.csv").micrographs]
    assert diameters == [30.0, 30.0]
    given = [one.truth.diameter_px for one in find_labelled(folder / "mics", folder / "p.csv", diameter=40).micrographs]
    assert given == [20.0, 20.0]
    (folder / "q.csv").write_text("micrograph,x,y\na,100,50\n")
    with pytest.raises(CryopickError, match=r"a\.mrc: the particle diameter is unknown"):
        find_labelled(folder / "mics", folder / "q.csv")


@pytest.mark.parametrize("rows", ["z,1,1,20\n", ""])
def test_no_usable_micrograph_raises(folder, rows):
    (folder / "p.csv").write_text(f"micrograph,x,y,diameter\n{rows}")
    with pytest.raises(CryopickError, match="no micrograph can be used for training"):
        find_labelled(folder / "mics", folder / "p.csv")


def test_a_margin_without_labels_is_excluded_unless_it_is_empty_by_chance(folder):
    inner = [[x, y] for x in range(60, 260, 20) for y in range(60, 180, 20)]  # 60 px = 2.5 diameters of 24 px
    assert label_border([labelled(folder, inner)]) == 2.5
    assert label_border([labelled(folder, inner), labelled(folder, [[3, 3]], name="b")]) == 0.5
    # The inner 40 x 120 pixels are 1/16 of the area: a probability of 1/256 for two labels, of 1/65536 for four.
    assert label_border([labelled(folder, [[160, 120], [100, 120]])]) == 0.5
    assert label_border([labelled(folder, [[160, 120], [100, 120], [110, 120], [120, 120]])]) == pytest.approx(100 / 24)


def test_a_prepared_image_equals_that_of_the_picker_to_16_bits(folder):
    (micrograph,) = prepared(folder, labelled(folder, [[100, 50]]))
    (image,) = micrograph.images
    seen = scale_to_particle(read_micrograph(folder / "mics" / "a.mrc"), particle_px=12.0, diameter_px=24.0)
    assert seen is not None
    np.testing.assert_allclose(image.part(0, 0, image.shape_hw), seen.values, atol=6 * 2**-11)
    assert (image.to_home, image.shape_hw) == (seen.to_home, seen.values.shape)
    part = image.part(100, 150, (30, 20))
    np.testing.assert_array_equal(part[:20, :10], image.part(100, 150, (20, 10)))
    np.testing.assert_array_equal(part[20:], part[19:9:-1])  # mirrored below the last of the 120 rows


def test_images_are_prepared_once(folder, monkeypatch):
    one = labelled(folder, [[100, 50]])
    first = prepared(folder, one)
    monkeypatch.setattr("cryopick.train.data.crops.scale_to_particle", None)
    assert prepared(folder, one)[0].images == first[0].images


def test_unreadable_micrographs_are_skipped_and_raise_if_none_is_left(folder):
    write_micrograph(folder / "mics" / "b.mrc", np.zeros(SHAPE, np.float32))
    bad = labelled(folder, [[100, 50]], name="b")
    found, skipped = prepare_micrographs([bad, labelled(folder, [[100, 50]])], diameters_px=[12.0], folder=folder)
    assert len(found) == 1
    assert [(one.name, "constant" in one.reason) for one in skipped] == [("b.mrc", True)]
    with pytest.raises(CryopickError, match="constant"):
        prepare_micrographs([bad], diameters_px=[12.0], folder=folder)


def test_maps_match_the_particles_at_every_scale(folder):
    # A dark square of 5 pixels on every particle: the pixels at the centres are the darkest.
    pixels = np.zeros(SHAPE, np.float32)
    xy = [(x, y) for x in range(40, 300, 40) for y in range(40, 220, 40)]
    for x, y in xy:
        pixels[y - 2 : y + 3, x - 2 : x + 3] = -1
    write_micrograph(folder / "mics" / "a.mrc", pixels, pixel_size=2.0)
    data = LabelledCrops(
        prepared(folder, labelled(folder, xy), diameters_px=jittered_diameters((6.0, 12.0))), CROP, seed=3, border=0.0
    )
    crops, _ = data.crops(16, np.random.default_rng(0))
    assert len(crops.diameter_px.unique()) == 4
    visible = ((crops.xy >= 1) & (crops.xy <= 30)).all(1)
    columns, rows = crops.xy[visible].round().long().T
    centre = crops.pixels[crops.image[visible], rows, columns]
    assert len(centre) > 20
    assert centre.max() < -1 < -0.3 < crops.pixels.mean()


def test_the_batch_of_a_step_is_reproducible(folder):
    data = LabelledCrops(prepared(folder, labelled(folder, [[100, 50]])), CROP, seed=3)
    whole = list(data.batches(0, 3, count=4, rank=0, world=1))
    (resumed,) = data.batches(2, 3, count=4, rank=0, world=1)
    assert all(torch.equal(whole[2][name], resumed[name]) for name in resumed)
    assert {name: tuple(value.shape) for name, value in resumed.items()} == {
        "images": (4, 1, 32, 32),
        "maps": (4, 3, 32, 32),
        "known": (4, 3, 32, 32),
    }
    shares = [next(data.batches(0, 1, count=3, rank=rank, world=2))["images"] for rank in (0, 1)]
    assert [len(share) for share in shares] == [2, 1]


def test_maps_are_unknown_near_edges_and_uncertain_picks_unless_labelled(folder):
    uncertain = picks("a.mrc", [[160, 120], [222, 120]])
    one = labelled(folder, [[200, 120]], junk=[[100, 40]])
    micrograph = replace(prepared(folder, one)[0], uncertain=uncertain)  # 24 px become 12, the image 120 x 160
    crops = LabelledCrops([micrograph], CropSettings(size=160, augmentation=STILL), seed=1, border=1.0)
    _, known = crops.crops(1, np.random.default_rng(0))
    centre, particle, junk = known[0]
    assert torch.equal(centre, particle)
    assert centre[
        60
    ].int().tolist() == (  # the row of all three: unknown 12 from the edge, and 7 to either side of the uncertain pick at 80
        [0] * 12 + [1] * 61 + [0] * 15 + [1] * 6 + [1] * 13 + [0] * 12 + [1] * (148 - 119) + [0] * 12
    )
    assert (centre[:12].sum(), centre[108:].sum()) == (0, 0)  # nor below the 120 rows, where the image is mirrored
    assert torch.nonzero(junk[20]).flatten().tolist() == list(range(44, 57))
    assert torch.nonzero(junk[60]).flatten().tolist() == list(range(94, 107))


def test_a_bad_area_is_junk_without_particles_even_around_an_uncertain_pick(folder):
    line = BadArea(20.0, [(60.0, 120.0), (200.0, 120.0)])  # halved: columns 30 to 100 of row 60, 10 to either side
    spot = BadArea(8.0, [(300.0, 120.0)])  # inside the border: column 150, 4 to either side
    one = replace(labelled(folder, [[160, 40]]), areas=[line, spot])
    micrograph = replace(prepared(folder, one)[0], uncertain=picks("a.mrc", [[160, 120]]))
    crops = LabelledCrops([micrograph], CropSettings(size=160, augmentation=STILL), seed=1, border=1.0)
    found, known = crops.crops(1, np.random.default_rng(0))
    centre, particle, junk = target_maps(found, centre_radius=0.4)[0]
    assert (junk[60, 22:109] == 1).all()
    assert (junk[60, 147:153] == 1).all()
    assert (junk[60, [17, 113, 143, 156]] == 0).all()
    assert (junk[[52, 68], 60] == 1).all()
    assert (junk[[47, 73], 60] == 0).all()
    assert (known[0][:, 60, 22:109] == 1).all()
    assert (known[0][:, 60, 149:152] == 1).all()
    assert known[0][0, 60, 156] == 0
    assert (centre[50:70].sum(), particle[50:70].sum()) == (0, 0)


def test_held_out_crops_show_every_particle_once(folder):
    xy = [(x, y) for x in range(30, 300, 35) for y in range(30, 220, 35)]
    crops = held_out_crops(prepared(folder, labelled(folder, xy)), size=48, border=0.0)
    inner = ((crops.xy >= -0.5) & (crops.xy < 47.5)).all(1)
    assert isinstance(crops, Crops)
    # 120 rows and 160 columns hold 2 x 3 complete crops.
    limit = PixelMap.fourier_crop((2.0, 2.0)).from_home(xy)
    assert int(inner.sum()) == int(((limit[:, 0] < 143.5) & (limit[:, 1] < 95.5)).sum())


def test_maps_of_simulated_crops_are_known_everywhere_in_mixed_batches(folder):
    bank = structure_bank(random_structures(2, seed=3))
    mixed = MixedBatches(
        LabelledCrops(prepared(folder, labelled(folder, [[100, 50]])), CROP, seed=1),
        SimulatedCrops(bank, CROP, seed=1),
        share=0.25,
    )
    (batch,) = mixed.batches(0, 1, count=4, rank=0, world=1)
    assert len(batch["images"]) == 4
    assert batch["known"][1:].min() == 1
    assert batch["known"][0, MAPS.index("junk")].min() == 0


def test_the_loss_ignores_pixels_where_maps_are_unknown():
    held_out = simulate_crops(
        structure_bank(random_structures(2, seed=3)), 1, size=32, diameter_px=(8, 8), rng=np.random.default_rng(1)
    )
    task = UNetTask(AttentionUNet(2, 2, maps=3), CROP, held_out)
    expected, known = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)
    expected[..., :4, :4] = 1
    known[..., 4:, 4:] = 0
    logits = torch.zeros(1, 3, 8, 8, requires_grad=True)
    losses = task.losses(lambda _: logits, {"images": expected[:, :1], "maps": expected, "known": known})
    losses["loss"].backward()
    gradient = logits.grad
    assert gradient is not None
    assert (gradient[..., 4:, 4:] == 0).all()
    assert (gradient[..., :4, :4] < 0).all()
    assert (gradient[..., 4:, :4] > 0).all()
    nothing = task.losses(lambda _: logits, {"images": expected[:, :1], "maps": expected, "known": torch.zeros(1, 3, 8, 8)})
    assert nothing["loss"].item() == 0
