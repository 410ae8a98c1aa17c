"""Prepared images on disk: each micrograph is prepared once, and again only if one of its sources changes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryopick.coordinates import PixelMap
from cryopick.files import atomic_path
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.names import stem
from cryopick.provenance import file_identity, fingerprint

LONGEST_NAME = 40
"""Characters of a micrograph's name that its files begin with."""
DIGITS = 12
"""Digits of the fingerprint that follow the name."""


@dataclass(frozen=True)
class PreparedImage:
    """The path of a prepared image. Its name contains a fingerprint of its sources, so a file that exists is valid.

    The file is a safetensors file of named arrays and, if the image has one, the map from its pixels to the micrograph's.
    """

    path: Path

    @classmethod
    def of(cls, folder: Path, name: str, *sources: Any) -> "PreparedImage":
        """Return the image of the micrograph `name` made from `sources`, which may be anything that `fingerprint` takes."""
        return cls(folder / f"{stem(name)[:LONGEST_NAME]}-{fingerprint(*sources)[:DIGITS]}.safetensors")

    @property
    def is_valid(self) -> bool:
        """Whether the image has been prepared from these sources."""
        return self.path.exists()

    def write(self, arrays: Mapping[str, NDArray[Any]], *, to_home: PixelMap | None = None) -> None:
        """Write the arrays atomically."""
        from safetensors.numpy import save_file

        metadata = None if to_home is None else {"to_home": json.dumps([to_home.scale, to_home.shift])}
        with atomic_path(self.path) as temporary:
            save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary, metadata=metadata)

    def read(self) -> dict[str, NDArray[Any]]:
        """Read all arrays by name."""
        from safetensors.numpy import load_file

        return dict(load_file(self.path))

    def shape_hw(self, name: str) -> tuple[int, int]:
        """Return rows and columns of an array, without reading its values."""
        from safetensors import safe_open

        with safe_open(self.path, framework="np") as file:
            rows, columns = file.get_slice(name).get_shape()
        return rows, columns

    def to_home(self) -> PixelMap:
        """Return the map from the image's pixels to the micrograph's with which the image was written."""
        from safetensors import safe_open

        with safe_open(self.path, framework="np") as file:
            scale, shift = json.loads(file.metadata()["to_home"])
        return PixelMap(tuple(scale), tuple(shift))


def source_identity(labelled: LabelledMicrograph) -> tuple[Any, ...]:
    """Identify a labelled micrograph by its file (with size and time), its source and the particle diameter in pixels."""
    return (labelled.source, *file_identity(labelled.source.path), labelled.truth.diameter_px)
