"""Prepared images are found again in their files as long as nothing changes that they are made from."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from cryopick.coordinates import PixelMap
from cryopick.io.datasets.cryoppp import LabelledMicrograph
from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.train.data.cache import PreparedImage, source_identity
from cryopick.types import Picks


def test_a_micrograph_is_another_when_its_file_its_pixel_size_or_the_size_of_its_particles_changes(tmp_path):
    path = tmp_path / "a.mrc"
    write_micrograph(path, np.eye(8, dtype=np.float32))
    truth = Picks("a.mrc", [[1, 2]], None, 40.0, (8, 8), 2.0)
    one = LabelledMicrograph(MicrographSource(path, "a.mrc", 2.0), truth, Picks("a.mrc"))
    identities = [
        source_identity(one),
        source_identity(replace(one, source=replace(one.source, pixel_size=1.0))),
        source_identity(replace(one, truth=replace(truth, diameter=60.0))),
        source_identity(replace(one, truth=replace(truth, pixel_size=1.0))),
    ]
    assert source_identity(replace(one, truth=replace(truth, xy=[[3, 4]]))) == identities[0]
    os.utime(path, ns=(0, 0))
    identities.append(source_identity(one))
    assert len(set(identities)) == 5


def test_a_file_is_named_after_its_micrograph_and_all_that_it_is_made_from():
    def path(*sources: object, name: str = "raw/a.mrc") -> Path:
        return PreparedImage.of(Path("kept"), name, *sources).path

    assert path(12.0, "dark") == path(12.0, "dark")
    assert (path(12.0).parent, path(12.0).name[:2], path(12.0).suffix) == (Path("kept"), "a-", ".safetensors")
    assert len({path(12.0, "dark"), path(12.5, "dark"), path(12.0, "light")}) == 3
    assert len(path(name="x" * 200 + ".mrc").name) < 80


def test_an_image_is_valid_once_it_is_written_and_comes_back_with_its_map(tmp_path):
    image = PreparedImage.of(tmp_path, "a.mrc", 3)
    assert not image.is_valid
    values, to_home = np.arange(12, dtype=np.float16).reshape(3, 4), PixelMap((2.0, 2.5), (0.5, -1.0))
    image.write({"values": values.T}, to_home=to_home)
    assert image.is_valid
    assert not PreparedImage.of(tmp_path, "a.mrc", 4).is_valid
    np.testing.assert_array_equal(image.read()["values"], values.T)
    assert (image.shape_hw("values"), image.to_home()) == ((4, 3), to_home)
