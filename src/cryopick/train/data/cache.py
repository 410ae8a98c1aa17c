"""Where micrographs are kept as they were prepared: in another file for another micrograph, another way, other sizes."""

import hashlib
from pathlib import Path

from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.names import stem

NAME_KEPT = 40
"""Characters of a micrograph's name that its files begin with."""


def keyed_path(folder: Path, name: str, *about: object) -> Path:
    """Where the file of a micrograph is kept: another place for another `repr` of what it is made from."""
    return folder / f"{stem(name)[:NAME_KEPT]}-{fingerprint(about)}.safetensors"


def fingerprint(about: object) -> str:
    """Twelve hexadecimal digits, others for another `repr`."""
    return hashlib.sha256(repr(about).encode()).hexdigest()[:12]


def file_identity(labelled: LabelledMicrograph) -> tuple[object, ...]:
    """Another for another file, another content as far as its size and time tell, or another diameter of particles in pixels."""
    about = labelled.source.path.stat()
    return (labelled.source, about.st_mtime_ns, about.st_size, labelled.truth.diameter_px)
