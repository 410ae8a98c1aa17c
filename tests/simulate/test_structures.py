"""Size, mass and symmetry of structures; models and maps from files."""

import numpy as np
import pytest

from cryopick.errors import CryopickError, FileError, SettingError
from cryopick.simulate.pseudoproteins import KIND_SHARE, KINDS, pseudo_protein
from cryopick.simulate.sources import FixedStructures, OnePseudoProtein, RandomStructures, gather_beads
from cryopick.simulate.structure_files import StructureFiles, read_structure, structure_paths
from cryopick.simulate.structures import NUCLEIC_CONTRAST, PROTEIN_MINUS_ICE, structure_from_mass
from cryopick.simulate.symmetry import point_group


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_requested_diameter(kind, rng):
    structure = pseudo_protein(rng, kind=kind, diameter=140.0)
    assert structure.kind == kind
    assert structure.diameter == pytest.approx(140, rel=1e-5)
    assert 2 * np.linalg.norm(structure.beads, axis=1).max() == pytest.approx(140, rel=1e-5)
    np.testing.assert_allclose(np.average(structure.beads, axis=0, weights=structure.weights), 0, atol=8)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_requested_mass(kind, rng):
    structure = pseudo_protein(rng, kind=kind, mass_kda=450.0)
    assert structure.mass_kda == pytest.approx(450, rel=1e-4)
    # 1 Da fills 1/0.81 Å³; proteins are 3 V above ice, nucleic acid up to 1.5 times that, a micelle less.
    charge = structure.weights.sum() / (450_000 / 0.81 * PROTEIN_MINUS_ICE)
    assert 0.6 <= charge <= NUCLEIC_CONTRAST


@pytest.mark.parametrize("symmetry", ["C3", "D2", "D7", "T", "O", "I"])
def test_a_pseudo_protein_has_its_symmetry(symmetry):
    structure = pseudo_protein(np.random.default_rng(5), kind="globular", symmetry=symmetry, diameter=100.0)

    def blurred(points):
        counts, _ = np.histogramdd(points, bins=10, range=[(-55, 55)] * 3)
        return counts.ravel()

    reference = blurred(structure.beads)
    for turn in point_group(symmetry):
        assert np.corrcoef(reference, blurred(structure.beads @ turn.T))[0, 1] > 0.93
    assert len(structure.beads) > 100


def test_cages_and_barrels_are_hollow():
    for kind, axes in (("cage", [0, 1, 2]), ("barrel", [0, 1])):
        structure = pseudo_protein(np.random.default_rng(3), kind=kind, diameter=120.0)
        radius = np.linalg.norm(structure.beads[:, axes], axis=1)
        assert radius.min() > 0.2 * radius.max()


def test_exactly_one_size_must_be_given(rng):
    with pytest.raises(SettingError, match="diameter or a mass"):
        pseudo_protein(rng)
    with pytest.raises(SettingError, match="diameter or a mass"):
        pseudo_protein(rng, diameter=100, mass_kda=100)
    with pytest.raises(SettingError, match="cage"):
        pseudo_protein(rng, diameter=100, kind="cube")


def test_kinds_are_drawn_with_their_probabilities():
    assert sum(KIND_SHARE.values()) == pytest.approx(1)
    assert set(KIND_SHARE) == set(KINDS)


def test_the_same_generator_gives_the_same_structure():
    first, second = (pseudo_protein(np.random.default_rng(9), diameter=90.0) for _ in range(2))
    np.testing.assert_array_equal(first.beads, second.beads)
    other = RandomStructures().draw(np.random.default_rng(10), (90.0, 90.0))
    assert not np.array_equal(first.beads[:5], other.beads[:5])


def test_coarsening_keeps_weight_and_centre(rng):
    structure = pseudo_protein(rng, kind="globular", diameter=150.0)
    coarse = structure.coarsened(15.0)
    assert len(coarse.beads) < len(structure.beads) / 2
    assert coarse.weights.sum() == pytest.approx(structure.weights.sum(), rel=1e-5)
    np.testing.assert_allclose(coarse.weights @ coarse.beads, structure.weights @ structure.beads, rtol=1e-3, atol=1e3)
    assert coarse.sigma >= 7.5


def test_two_beads_in_one_cell_become_one_at_their_centre_of_mass():
    pair = structure_from_mass("pair", "test", [[0, 0, 0], [3, 0, 0]], [2.0, 1.0], sigma=1.0)
    np.testing.assert_allclose(pair.beads, [[-1, 0, 0], [2, 0, 0]], atol=1e-6)
    one = pair.coarsened(100.0)
    assert len(one.beads) in {1, 2}  # the cells' corner is the origin, so the pair may be split
    assert one.weights.sum() == pytest.approx(3 / 0.81 * PROTEIN_MINUS_ICE)
    with pytest.raises(CryopickError, match="spacing"):
        pair.coarsened(0)


def test_structures_of_different_sizes_are_stacked(rng):
    small, large = pseudo_protein(rng, kind="rod", diameter=90.0), pseudo_protein(rng, kind="cage", diameter=300.0)
    beads = gather_beads([small, large])
    assert beads.places.shape[:2] == beads.weights.shape
    assert beads.weights[0].sum().item() == pytest.approx(small.weights.sum(), rel=1e-4)
    assert beads.weights[1].sum().item() == pytest.approx(large.weights.sum(), rel=1e-4)
    assert FixedStructures([small]).draw(rng, (1, 2)) is small


PDB = """\
REMARK 350 BIOMOLECULE: 1
REMARK 350 APPLY THE FOLLOWING TO CHAINS: A
REMARK 350   BIOMT1   1  1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   1  0.000000  1.000000  0.000000        0.00000
REMARK 350   BIOMT3   1  0.000000  0.000000  1.000000        0.00000
REMARK 350   BIOMT1   2 -1.000000  0.000000  0.000000        0.00000
REMARK 350   BIOMT2   2  0.000000 -1.000000  0.000000        0.00000
REMARK 350   BIOMT3   2  0.000000  0.000000  1.000000       10.00000
ATOM      1  N   ALA A   1      20.000   0.000   0.000  1.00  0.00           N
ATOM      2  CA  ALA A   1      20.000   0.000   0.000  1.00  0.00           C
ATOM      3  C   ALA A   1      20.000   0.000   0.000  1.00  0.00           C
ATOM      4  P     G A   2      30.000   0.000   0.000  1.00  0.00           P
HETATM    5  O   HOH A   3      90.000   0.000   0.000  1.00  0.00           O
END
"""


def test_a_model_becomes_one_bead_per_residue_of_its_assembly(tmp_path):
    path = tmp_path / "two.pdb"
    path.write_text(PDB)
    structure = read_structure(path)
    assert structure.name == "two"
    assert len(structure.beads) == 4
    # Alanine in a chain is 89.09 − 18.02 Da, a guanosine monophosphate 363.2 − 18.0 Da; the copy is turned by 180° about z.
    alanine, guanine = 71.08, 345.2
    assert structure.mass_kda == pytest.approx(2 * (alanine + guanine) / 1000, rel=2e-3)
    np.testing.assert_allclose(np.sort(structure.beads[:, 0]), [-30, -20, 20, 30], atol=1e-3)
    np.testing.assert_allclose(np.ptp(structure.beads[:, 2]), 10, atol=1e-3)
    nucleic = structure.weights[np.abs(structure.beads[:, 0]) > 25]
    np.testing.assert_allclose(nucleic, 1.5 * guanine / 0.81 * PROTEIN_MINUS_ICE, rtol=2e-3)


def test_a_map_becomes_one_bead_per_voxel(tmp_path):
    import mrcfile

    density = np.zeros((6, 8, 10), np.float32)
    density[2, 3, 4:6] = 1.0
    with mrcfile.new(tmp_path / "small.mrc") as file:
        file.set_data(density)
        file.set_volume()
        file.voxel_size = 5.0
    structure = read_structure(tmp_path / "small.mrc")
    np.testing.assert_allclose(structure.beads, [[-2.5, 0, 0], [2.5, 0, 0]], atol=1e-5)
    assert structure.mass_kda == pytest.approx(2 * 125 * 0.81 / 1000)


def test_a_folder_of_structures_is_read_once_per_file(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for name in ("a.pdb", "b.ent"):
        (tmp_path / name).write_text(PDB)
    assert [path.name for path in structure_paths(tmp_path)] == ["a.pdb", "b.ent"]
    source, rng = StructureFiles(tmp_path), np.random.default_rng(1)
    drawn = [source.draw(rng, (1.0, 2.0)) for _ in range(12)]
    assert {one.name for one in drawn} == {"a", "b"}
    assert len({id(one) for one in drawn}) == 2


def test_files_without_a_structure_raise(tmp_path):
    with pytest.raises(FileError, match="no structures"):
        StructureFiles(tmp_path)
    with pytest.raises(FileError, match="does not exist"):
        StructureFiles(tmp_path / "nowhere")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(FileError, match="neither a model nor a map"):
        read_structure(tmp_path / "notes.txt")
    (tmp_path / "empty.pdb").write_text("END\n")
    with pytest.raises(FileError, match="no atoms"):
        read_structure(tmp_path / "empty.pdb")


@pytest.mark.parametrize(
    ("name", "mass_kda", "tolerance"), [("1aon", 860, 0.03), ("4hhb", 64, 0.03), ("1qvr", 575, 0.05), ("2buk", 1230, 0.05)]
)
def test_known_complexes_have_their_published_mass(real_data, name, mass_kda, tolerance):
    (path,) = (real_data / "structures" / "models").glob(f"{name}.*")
    assert read_structure(path).mass_kda == pytest.approx(mass_kda, rel=tolerance)


def test_a_named_pseudo_protein_depends_only_on_the_seed():
    source = OnePseudoProtein("cage-O", seed=4)
    first, second = (source.draw(np.random.default_rng(seed), (100.0, 140.0)) for seed in (1, 2))
    np.testing.assert_array_equal(first.beads, second.beads)
    assert first.symmetry == "O"
    assert 100 <= first.diameter <= 141
    assert not np.array_equal(
        OnePseudoProtein("cage-O", seed=5).draw(np.random.default_rng(1), (100.0, 140.0)).beads, first.beads
    )


@pytest.mark.parametrize("name", ["cage", "pyramid-C3", "cage-X3", "my_models"])
def test_unknown_names_of_pseudo_proteins_raise(name):
    with pytest.raises(SettingError, match=r"pseudo-protein|point group"):
        OnePseudoProtein(name, seed=0)
