"""Where prepared micrographs are kept: in the same file as long as nothing changes that they are made from."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.train.data.cache import file_identity, keyed_path
from cryopick.types import Picks


def test_a_micrograph_is_another_when_its_file_its_pixel_size_or_the_size_of_its_particles_changes(tmp_path):
    path = tmp_path / "a.mrc"
    write_micrograph(path, np.eye(8, dtype=np.float32))
    truth = Picks("a.mrc", [[1, 2]], None, 40.0, (8, 8), 2.0)
    one = LabelledMicrograph(MicrographSource(path, "a.mrc", 2.0), truth, Picks("a.mrc"))
    identities = [
        file_identity(one),
        file_identity(replace(one, source=replace(one.source, pixel_size=1.0))),
        file_identity(replace(one, truth=replace(truth, diameter=60.0))),
        file_identity(replace(one, truth=replace(truth, pixel_size=1.0))),
    ]
    assert file_identity(replace(one, truth=replace(truth, xy=[[3, 4]]))) == identities[0]
    os.utime(path, ns=(0, 0))
    identities.append(file_identity(one))
    assert len(set(identities)) == 5


def test_a_file_is_named_after_its_micrograph_and_all_that_it_is_made_from():
    folder = Path("kept")
    path = keyed_path(folder, "raw/a.mrc", 12.0, "dark")
    assert path == keyed_path(folder, "raw/a.mrc", 12.0, "dark")
    assert (path.parent, path.name[:2], path.suffix) == (folder, "a-", ".safetensors")
    assert len({path, keyed_path(folder, "raw/a.mrc", 12.5, "dark"), keyed_path(folder, "raw/a.mrc", 12.0, "light")}) == 3
    assert len(keyed_path(folder, "x" * 200 + ".mrc").name) < 80
