"""What a RELION project holds before particles are picked: a table of micrographs with their optics."""

from collections.abc import Sequence
from pathlib import Path

from cryopick.io.tables.star import star_text

OPTICS = {
    "rlnOpticsGroupName": ["opticsGroup1"],
    "rlnOpticsGroup": [1],
    "rlnMicrographPixelSize": [1.5],
    "rlnMicrographOriginalPixelSize": [1.5],
    "rlnVoltage": [300.0],
    "rlnSphericalAberration": [2.7],
    "rlnAmplitudeContrast": [0.1],
}


def write_micrographs_star(path: Path, names: Sequence[str]) -> None:
    """The table as RELION 3.1 writes it, for micrographs of 1.5 Å per pixel in one optics group; the folder is made."""
    micrographs = {"rlnMicrographName": names, "rlnOpticsGroup": [1] * len(names)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(star_text({"optics": OPTICS, "micrographs": micrographs}))
