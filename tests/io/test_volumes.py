"""Stacks and maps come back with their sections, rows and columns in place."""

import bz2
import gzip

import mrcfile
import numpy as np
import pytest

from cryopick.errors import FileError
from cryopick.io.volumes import read_map, read_stack

VOLUME = np.arange(2 * 3 * 5).reshape(2, 3, 5)  # 2 sections, 3 rows, 5 columns


def write(path, values=VOLUME, *, dtype="float32", voxel_size=2.5, axes=(1, 2, 3)):
    with mrcfile.new(path, values.astype(dtype), overwrite=True) as mrc:
        mrc.voxel_size = voxel_size
        mrc.header.mapc, mrc.header.mapr, mrc.header.maps = axes
    return path


@pytest.mark.parametrize("read", [read_stack, read_map])
@pytest.mark.parametrize("dtype", ["int8", "int16", "uint16", "float16", "float32"])
def test_sections_rows_and_columns_stay_in_place(tmp_path, read, dtype):
    values, size = read(write(tmp_path / "v.mrc", dtype=dtype))
    assert values.tolist() == VOLUME.tolist()
    assert values.dtype == np.float32
    assert size == 2.5


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (bz2.compress, ".bz2")])
def test_packed_maps_are_unpacked(tmp_path, pack, suffix):
    plain = write(tmp_path / "v.map", dtype="float16")
    packed = tmp_path / f"v.map{suffix}"
    packed.write_bytes(pack(plain.read_bytes()))
    assert read_map(packed)[0].tolist() == VOLUME.tolist()


def test_a_stack_may_hold_one_image_but_a_map_may_not(tmp_path):
    path = write(tmp_path / "one.mrcs", VOLUME[0])
    assert read_stack(path)[0].tolist() == VOLUME[:1].tolist()
    with pytest.raises(FileError, match="single image"):
        read_map(path)


def test_maps_stored_along_other_axes_are_turned_to_z_y_x(tmp_path):
    # columns run along z, rows along x, sections along y
    stored = VOLUME.transpose(1, 2, 0)
    assert read_map(write(tmp_path / "v.map", stored, axes=(3, 1, 2)))[0].tolist() == VOLUME.tolist()


def test_a_map_may_have_voxels_of_1_angstrom_but_a_stack_of_1_means_unknown(tmp_path):
    path = write(tmp_path / "v.mrc", voxel_size=1.0)
    assert read_map(path)[1] == 1.0
    assert read_stack(path)[1] is None
    write(path, voxel_size=0.0)
    assert read_map(path)[1] is None


def test_a_cut_map_is_an_error_that_counts_rows(tmp_path):
    path = write(tmp_path / "v.mrc")
    path.write_bytes(path.read_bytes()[:-24])  # a row has 20 bytes
    with pytest.raises(FileError, match="4 of 6 rows"):
        read_map(path)


def test_values_that_are_not_finite_are_an_error(tmp_path):
    values = VOLUME.astype("float32")
    values[1, 2, 3] = np.inf
    with pytest.warns(RuntimeWarning):
        path = write(tmp_path / "v.mrc", values)
    with pytest.raises(FileError, match="NaN or infinite"):
        read_stack(path)


@pytest.mark.parametrize(("content", "said"), [(None, "no such file"), (b"", "empty"), (b"text" * 1000, "not an MRC")])
def test_files_that_are_not_maps_are_named(tmp_path, content, said):
    if content is not None:
        (tmp_path / "v.mrc").write_bytes(content)
    with pytest.raises(FileError, match=said):
        read_map(tmp_path / "v.mrc")


def test_real_maps_are_read_as_by_mrcfile_with_the_voxel_sizes_of_their_names(real_data):
    maps = sorted((real_data / "structures/maps").glob("*.mrc.gz"))
    assert len(maps) > 10
    for path in maps:
        values, size = read_map(path)
        assert f"_{size:g}A" in path.name
        with mrcfile.open(path) as other:
            assert np.array_equal(values, other.data)
