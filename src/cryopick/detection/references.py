"""References for the template picker: class averages, or projections of a map, rotated and scaled."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from cryopick.detection.blobs import edge_radius, radial_profile
from cryopick.io.volumes import read_map, read_stack
from cryopick.preprocess.resample import crop_to_scale

Array = NDArray[np.float32]

LARGEST_MAP = 64
"""Largest side in voxels of a map that is projected; picking needs no finer detail."""

MAX_CORRELATION = 0.97
"""Templates with at least this correlation with an earlier one are dropped."""


@dataclass(frozen=True)
class References:
    """Images of a particle, light on dark.

    Attributes
    ----------
    images : float32 (n, h, w), each particle's centre at the pixel (h // 2, w // 2), as RELION centres boxes.
    pixel_size : Å, or None when unknown.
    """

    images: Array
    pixel_size: float | None

    @property
    def diameter_px(self) -> float:
        """Diameter of the average of all images, in their pixels, from the edge of its rotational profile."""
        mean = self.images.mean(axis=0)
        height, width = mean.shape
        reach = (min(height, width) - 1) // 2
        centre = np.array([[float(width // 2), float(height // 2)]])
        return 2 * edge_radius(-radial_profile(mean, centre, reach))


def load_references(path: Path, *, light: bool, view_step: float) -> References:
    """Read references from a file: a cube is a map and is projected along evenly spaced views, any other stack holds images.

    `view_step` is the angle between neighbouring views in degrees; `light` is whether particles are lighter than their
    surroundings in the file. Raises `FileError` if the file cannot be read.
    """
    images, pixel_size = read_stack(path)
    if images.shape[0] == images.shape[1] == images.shape[2] > 1:
        density, pixel_size = read_map(path)
        small, factor = _shrink(density)
        images = project(small, even_views(view_step))
        pixel_size = None if pixel_size is None else pixel_size * factor
    return References(images if light else -images, pixel_size)


def even_views(step: float) -> NDArray[np.float64]:
    """Return unit vectors (n, 3) as (x, y, z) on the upper half of the sphere, about `step` degrees from their neighbours.

    A spiral of equal areas (Fibonacci lattice). The other half would give the same projections, mirrored.
    """
    count = max(1, round(2 * np.pi / np.radians(step) ** 2))
    z = 1 - (np.arange(count) + 0.5) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    ring = np.sqrt(1 - z**2)
    return np.column_stack([ring * np.cos(turn), ring * np.sin(turn), z])


def project(density: Array, views: NDArray[np.float64]) -> Array:
    """Project a cubic map (z, y, x) along directions, about its centre voxel `size // 2`: (n, size, size).

    Their mirror images are added, because the views cover only the upper half of the sphere and a view from below is the
    mirror image of that from above: 2 n projections.
    """
    centre = np.full(3, len(density) // 2)
    projections = []
    for view in views:
        axes = _frame(view)[::-1]  # rows: directions of the z, y and x axes of the rotated map, as (x, y, z)
        turned = ndimage.affine_transform(density, axes.T[::-1], centre - axes.T[::-1] @ centre, order=1)
        projections.append(turned.sum(axis=0))
    straight = np.array(projections, np.float32)
    mirrored = np.roll(straight[:, :, ::-1], 1 - len(density) % 2, axis=2)
    return np.concatenate([straight, mirrored])


def make_templates(references: References, *, factor: float, mask: Array, angular_step: float) -> Array:
    """Rotate the references in the plane, at `factor` of their pixels per template pixel, on a mask of odd size.

    Templates (m, s, s) are centred on the middle pixel, with mean 0 and deviation 1 under the mask. Of nearly equal ones, such
    as rotations of a round particle, only the first is kept.
    """
    templates = [
        _turned(small, centre, angle, len(mask))
        for small, centre in (_scaled(image, factor) for image in references.images)
        for angle in np.arange(0, 360, angular_step)
    ]
    weighted = [_normalised(template, mask) for template in templates]
    sound = [template for template in weighted if template is not None]
    return _distinct(np.array(sound, np.float32).reshape(-1, *mask.shape), mask)


def _scaled(image: Array, factor: float) -> tuple[Array, tuple[float, float]]:
    height, width = image.shape
    small, to_home = crop_to_scale(image, factor)
    x, y = to_home.from_home([(width // 2, height // 2)])[0]
    return small, (float(x), float(y))


def _turned(image: Array, centre: tuple[float, float], angle: float, size: int) -> Array:
    """Rotate the image about a point, which moves to the middle of a square; the edge level continues outside."""
    turn = cv2.getRotationMatrix2D(centre, angle, 1.0)
    turn[:, 2] += size // 2 - np.array(centre)
    edge = float(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))
    moved = cv2.warpAffine(image, turn, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT, borderValue=edge)
    return np.asarray(moved, np.float32)


def _normalised(template: Array, mask: Array) -> Array | None:
    """Normalise a template to mean 0 and deviation 1 under the mask; None for one without contrast."""
    weight = mask.sum()
    centred = template - (template * mask).sum() / weight
    deviation = np.sqrt((centred**2 * mask).sum() / weight)
    return np.asarray(centred / deviation, np.float32) if deviation > 1e-6 * np.abs(template).max() else None


def _distinct(templates: Array, mask: Array) -> Array:
    flat = (templates * np.sqrt(mask / mask.sum())).reshape(len(templates), mask.size)
    similar = flat @ flat.T > MAX_CORRELATION
    kept: list[int] = []
    for index in range(len(flat)):
        if not similar[index, kept].any():
            kept.append(index)
    return templates[kept]


def _shrink(density: Array) -> tuple[Array, float]:
    """Fourier-crop a cubic map to at most `LARGEST_MAP` voxels a side; also return the old voxels per new one."""
    size = len(density)
    if size <= LARGEST_MAP:
        return density, 1.0
    keep = np.r_[0 : LARGEST_MAP // 2, size - LARGEST_MAP // 2 + 1 : size]
    place = np.r_[0 : LARGEST_MAP // 2, LARGEST_MAP // 2 + 1 : LARGEST_MAP]
    cut = np.zeros((LARGEST_MAP,) * 3, np.complex64)
    cut[np.ix_(place, place, place)] = fft.fftn(density)[np.ix_(keep, keep, keep)]
    return np.asarray(fft.ifftn(cut).real, np.float32), size / LARGEST_MAP


def _frame(view: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a right-handed frame, rows as (x, y, z), whose third axis is the view."""
    helper = np.array([1.0, 0, 0]) if abs(view[0]) < 0.9 else np.array([0, 1.0, 0])
    first = np.cross(helper, view)
    first /= np.linalg.norm(first)
    return np.array([first, np.cross(view, first), view])
