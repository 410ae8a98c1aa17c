"""CryoSPARC's ``.cs``: a NumPy structured array with centres as fractions of the micrograph's width and height."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.columns import RESERVED_COLUMNS
from cryopick.coordinates import Frame
from cryopick.errors import CryopickError, FileError
from cryopick.files import atomic_path
from cryopick.io.names import uid
from cryopick.io.picks.base import Peek, Writing, placed, split_by_name
from cryopick.io.picks.reading import Reading
from cryopick.io.tables.cryosparc import load_cs, number_column, path_column, shape_column
from cryopick.io.tables.delimited import whole_numbers
from cryopick.types import Picks

FRAME = Frame(unit="fraction")

_PATH, _SHAPE, _SIZE = "location/micrograph_path", "location/micrograph_shape", "location/micrograph_psize_A"
_GROUP, _UID = "location/exp_group_id", "location/micrograph_uid"
_X, _Y, _SCORE = "location/center_x_frac", "location/center_y_frac", "pick_stats/ncc_score"
_OWN = {_PATH, _SHAPE, _SIZE, _GROUP, _UID, _X, _Y, _SCORE}


class Cs:
    """The fields that CryoSPARC's pickers write; `pick_stats/ncc_score` is the score.

    A micrograph's uid is that of its exposure or the UID prefix of its name, so that picks on exported micrographs are matched
    with their exposures; otherwise it is a hash of the name, as the picks' uids are of name and number. The exposure group is
    the picks' optics group. Other fields with one number, bool or text per pick, including the picks' `uid`, become
    `Picks.data` under their own names; vectors such as poses are dropped.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".cs"
    single: ClassVar[bool] = True

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return peek.path.suffix.lower() == ".cs" and not peek.path.is_dir()

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        rows = load_cs(path)
        missing = [name for name in (_PATH, _X, _Y) if name not in _fields(rows)]
        if missing:
            remedy = "Give the picks of a CryoSPARC job; for extracted particles that is the passthrough file"
            lists = (
                "lists micrographs, not picks: it " if any(name.startswith("micrograph_blob") for name in _fields(rows)) else ""
            )
            raise FileError(path, f"{lists}has no {', '.join(missing)}", remedy)
        points = np.stack([_finite(path, rows, name) for name in (_X, _Y)], axis=1)
        scores = _finite(path, rows, _SCORE) if _SCORE in _fields(rows) else None
        shapes = shape_column(path, rows, _SHAPE) if _SHAPE in _fields(rows) else None
        sizes = number_column(path, rows, _SIZE).astype(np.float64) if _SIZE in _fields(rows) else None
        groups = whole_numbers(path, _GROUP, number_column(path, rows, _GROUP)) if _GROUP in _fields(rows) else None
        uids = number_column(path, rows, _UID) if _UID in _fields(rows) else None
        data = _further(rows)
        found = []
        for name, chosen in split_by_name(path, path_column(path, rows, _PATH)).items():
            first = chosen[0]
            picks = reading.picks(
                path,
                name,
                points[chosen],
                FRAME,
                scores=None if scores is None else scores[chosen],
                shape_hw=None if shapes is None else _common_shape(path, name, shapes[chosen]),
                pixel_size=None if sizes is None else _known_size(float(sizes[first])),
                data={field: values[chosen] for field, values in data.items()},
            )
            group = picks.optics_group if groups is None else groups[first] or 1
            own_uid = None if uids is None or uids.dtype.kind == "f" or uids[first] <= 0 else int(uids[first])
            found.append(replace(picks, optics_group=group, uid=own_uid if picks.uid is None else picks.uid))
        return found

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        parts = [_rows(each) for each in picks]
        longest = max((part.dtype[_PATH].itemsize for part in parts), default=1)
        optional = [name for name in (_SIZE, _SCORE) if parts and all(name in _fields(part) for part in parts)]
        rows = np.empty(sum(map(len, parts)), _dtype(longest, optional, _shared_fields(parts)))
        start = 0
        for part in parts:
            for name in _fields(rows):
                rows[name][start : start + len(part)] = part[name]
            start += len(part)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, rows, allow_pickle=False)


def _shared_fields(parts: list[NDArray[np.void]]) -> dict[str, np.dtype[Any]]:
    """Return the further fields that every micrograph with picks has, each in a type that holds all of its values."""
    filled = [part for part in parts if len(part)]
    known = {"uid", *_OWN}
    names = [name for name in (_fields(filled[0]) if filled else ()) if name not in known]
    every = {name: [part.dtype[name] for part in filled if name in _fields(part)] for name in names}
    return {name: np.result_type(*types) for name, types in every.items() if len(types) == len(filled)}


def _further(rows: NDArray[np.void]) -> dict[str, NDArray[Any]]:
    """Return the fields beyond those of picks that hold one number, bool or text per row."""
    names = [name for name in _fields(rows) if name not in _OWN | RESERVED_COLUMNS]
    return {name: rows[name] for name in names if rows[name].ndim == 1 and rows[name].dtype.kind in "biufSU"}


def _dtype(path_length: int, optional: Iterable[str], further: Mapping[str, np.dtype[Any]]) -> np.dtype[np.void]:
    fields: list[tuple[Any, ...]] = [
        ("uid", "<u8"),
        (_UID, "<u8"),
        (_GROUP, "<u4"),
        (_PATH, f"S{path_length}"),
        (_SHAPE, "<u4", (2,)),
        (_X, "<f4"),
        (_Y, "<f4"),
    ]
    return np.dtype(fields + [(name, "<f4") for name in optional] + list(further.items()))


def _rows(picks: Picks) -> NDArray[np.void]:
    if picks.shape_hw is None:
        raise CryopickError(f"{picks.micrograph}: a .cs file needs the micrograph's shape; give the micrographs")
    name = picks.micrograph.encode("utf-8", "surrogateescape")
    optional = [field for field, value in ((_SIZE, picks.pixel_size), (_SCORE, picks.scores)) if value is not None]
    data = {field: _storable(values) for field, values in picks.data.items() if field not in _OWN}
    own_uids = data.pop("uid", None)
    rows = np.zeros(len(picks), _dtype(max(len(name), 1), optional, {field: values.dtype for field, values in data.items()}))
    for field, values in data.items():
        rows[field] = values
    known_uid = uid(picks.micrograph) if picks.uid is None else picks.uid
    kept = own_uids is not None and own_uids.dtype.kind in "iu" and (own_uids >= 0).all()
    rows["uid"] = own_uids if kept else [_made_uid(name, number) for number in range(len(picks))]
    rows[_UID] = _made_uid(name, None) if known_uid is None else known_uid
    rows[_GROUP] = picks.optics_group
    rows[_PATH] = name
    rows[_SHAPE] = picks.shape_hw
    rows[_X], rows[_Y] = placed(picks, FRAME).T
    if picks.pixel_size is not None:
        rows[_SIZE] = picks.pixel_size
    if picks.scores is not None:
        rows[_SCORE] = picks.scores
    return rows


def _storable(values: NDArray[Any]) -> NDArray[Any]:
    """Convert strings to bytes, as in CryoSPARC's files."""
    return np.char.encode(values, "utf-8", "surrogateescape") if values.dtype.kind == "U" else values


def _made_uid(name: bytes, number: int | None) -> int:
    digest = hashlib.blake2b(name + (b"" if number is None else b"\0%d" % number), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def _common_shape(path: Path, name: str, shapes: NDArray[np.int64]) -> tuple[int, int] | None:
    """Return the shape in all rows of one micrograph; None if all are 0, as from external pickers."""
    known = np.unique(shapes[shapes.all(axis=1)], axis=0).tolist()
    if len(known) > 1:
        listed = " and ".join(f"{height} x {width}" for height, width in known[:2])
        raise FileError(path, f"has {_SHAPE} {listed} for {name}", "Give the picks of one job")
    return (known[0][0], known[0][1]) if known else None


def _known_size(pixel_size: float) -> float | None:
    return pixel_size if np.isfinite(pixel_size) and pixel_size > 0 else None


def _finite(path: Path, rows: NDArray[np.void], name: str) -> NDArray[np.float64]:
    values = number_column(path, rows, name).astype(np.float64)
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise FileError(path, f"row {row} has {name} {values[row - 1]}, not a number", "Remove that pick and save the file again")
    return values


def _fields(rows: NDArray[np.void]) -> tuple[str, ...]:
    return rows.dtype.names or ()
