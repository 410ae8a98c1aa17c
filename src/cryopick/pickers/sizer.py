"""The network in the package as the one that tells diameters, for pickers that have none of their own."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

from cryopick.pickers.diameter import DiameterEstimate, EstimatesDiameter, Sizer, combine
from cryopick.types import Micrograph


@lru_cache(maxsize=2)
def default_sizer(particles: Literal["dark", "light"] = "dark") -> Sizer:
    """The network in the package."""
    from cryopick.pickers.segnet import SegnetPicker  # torch, for whom a diameter is unknown alone

    return SegnetPicker(SegnetPicker.Settings(particles=particles))


def estimate_diameter(picker: object, micrographs: Iterable[Micrograph]) -> DiameterEstimate | None:
    """The diameter for a run of a picker: its own estimate, or that of the network in the package.

    See `EstimatesDiameter.estimate_diameter`.
    """
    if isinstance(picker, EstimatesDiameter):
        return picker.estimate_diameter(micrographs)
    return combine(micrographs, default_sizer().size)
