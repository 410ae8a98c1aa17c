"""Point groups as rotation matrices, random orientations and RELION's Euler angles."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from cryopick.errors import SettingError

GROUPS = ("C1", "C2", "C3", "C4", "C5", "C6", "D2", "D3", "D4", "D5", "D6", "D7", "T", "O", "I")


@lru_cache(maxsize=64)
def point_group(name: str) -> NDArray[np.float64]:
    """Return the rotations (order, 3, 3) of a point group, the identity first.

    The main axis of Cn and Dn is z. The two-fold axes of T and I and the four-fold axes of O lie along x, y and z. Raises
    `SettingError` for any other name.
    """
    generators = _generators(name)
    found = [np.eye(3)]
    for known in found:  # the list grows during the loop, until it is closed under the generators
        for turn in generators:
            candidate = turn @ known
            if not any(np.allclose(candidate, other, atol=1e-6) for other in found):
                found.append(candidate)
    return np.array(found)


def random_rotations(count: int, rng: torch.Generator) -> torch.Tensor:
    """Draw rotations float32 (count, 3, 3), uniform over all orientations, on the generator's device."""
    return _from_quaternions(torch.randn(count, 4, generator=rng, device=rng.device))


def tilted_rotations(tilt: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Draw rotations float32 (n, 3, 3) by any angle about z and by about `tilt` (n,) radians (normal) about a random axis in xy.

    Multiplied with one orientation they give a preferred view, as of particles at an interface.
    """
    turn = math.pi * torch.rand(len(tilt), generator=rng, device=rng.device)
    zero = torch.zeros_like(turn)
    about_z = _from_quaternions(torch.stack([turn.cos(), zero, zero, turn.sin()], 1))
    axis = tilt[:, None] / 2 * torch.randn(len(tilt), 2, generator=rng, device=rng.device)
    return about_z @ _from_quaternions(torch.stack([torch.ones_like(turn), axis[:, 0], axis[:, 1], zero], 1))


def _from_quaternions(quaternions: torch.Tensor) -> torch.Tensor:
    w, x, y, z = (quaternions / quaternions.norm(dim=1, keepdim=True)).unbind(1)
    rows = [
        *(1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)),
        *(2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)),
        *(2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)),
    ]
    return torch.stack(rows, 1).view(-1, 3, 3)


def _generators(name: str) -> list[NDArray[np.float64]]:
    family, fold = name[:1], name[1:]
    if family in {"C", "D"} and fold.isdigit() and int(fold) > 0:
        turn = _turn((0, 0, 1), 2 * math.pi / int(fold))
        return [turn] if family == "C" else [turn, _turn((1, 0, 0), math.pi)]
    threefold = _turn((1, 1, 1), 2 * math.pi / 3)
    if name == "T":
        return [_turn((0, 0, 1), math.pi), threefold]
    if name == "O":
        return [_turn((0, 0, 1), math.pi / 2), threefold]
    if name == "I":
        golden = (1 + math.sqrt(5)) / 2
        return [_turn((0, 0, 1), math.pi), threefold, _turn((0, 1, golden), 2 * math.pi / 5)]
    raise SettingError(f"unknown point group {name!r}; use Cn, Dn, T, O or I")


def _turn(axis: tuple[float, float, float], angle: float) -> NDArray[np.float64]:
    x, y, z = np.array(axis) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross)


def euler_angles(rotations: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Convert rotations (n, 3, 3) from the structure's to the image's frame into RELION's rot, tilt and psi (n, 3) in degrees."""
    from scipy.spatial.transform import Rotation

    if len(rotations) == 0:
        return np.zeros((0, 3))
    angles = Rotation.from_matrix(rotations.transpose(0, 2, 1).astype(np.float64)).as_euler("ZYZ", degrees=True)
    return np.asarray(angles, np.float64)


def rotations_of(angles: ArrayLike) -> NDArray[np.float64]:
    """Convert RELION's rot, tilt and psi (n, 3) in degrees into rotations (n, 3, 3) from the structure's to the image's frame."""
    from scipy.spatial.transform import Rotation

    turns = np.asarray(angles, np.float64).reshape(-1, 3)
    if len(turns) == 0:
        return np.zeros((0, 3, 3))
    return np.asarray(Rotation.from_euler("ZYZ", turns, degrees=True).as_matrix().transpose(0, 2, 1))
