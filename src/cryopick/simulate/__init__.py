"""Simulated micrographs with exact ground truth, from real or random structures."""

from cryopick.simulate.crops import Crops, StructureBank, random_structures, simulate_crops, structure_bank
from cryopick.simulate.field import COVER_NAMES
from cryopick.simulate.micrograph import Distractors, SimulatedMicrograph, load_settings, simulate_micrograph
from cryopick.simulate.pseudoproteins import pseudo_protein
from cryopick.simulate.settings import SimulationSettings
from cryopick.simulate.sources import FixedStructures, RandomStructures, StructureSource
from cryopick.simulate.structure_files import StructureFiles
from cryopick.simulate.structures import Structure

__all__ = [
    "COVER_NAMES",
    "Crops",
    "Distractors",
    "FixedStructures",
    "RandomStructures",
    "SimulatedMicrograph",
    "SimulationSettings",
    "Structure",
    "StructureBank",
    "StructureFiles",
    "StructureSource",
    "load_settings",
    "pseudo_protein",
    "random_structures",
    "simulate_crops",
    "simulate_micrograph",
    "structure_bank",
]
