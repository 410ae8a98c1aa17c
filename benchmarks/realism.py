"""Comparison of simulated with real micrographs: spectra, grey values, local contrast and particle profiles.

    python benchmarks/realism.py --data FOLDER [--out realism] [--count 6]

FOLDER holds `empiar10017` (denoised by the published chain, which is then applied to the simulated micrographs too) and
`empiar10146` (plain averages). For each, micrographs of a similar particle are simulated, with the same size, density and pixel
size. Prints the distance of each curve from the mean of the real ones, with the spread of the real ones, and writes figures.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch

from cryopick.coordinates import inside
from cryopick.io.micrographs.files import read_micrograph
from cryopick.preprocess.denoise import DenoiseSettings, denoise
from cryopick.randomness import generator
from cryopick.simulate import (
    FixedStructures,
    SimulationSettings,
    Structure,
    load_settings,
    pseudo_protein,
    simulate_micrograph,
)
from cryopick.types import Micrograph, Picks

FREQUENCIES = np.geomspace(0.2, 12, 32)
"""Edges of the spectrum's rings, in waves per particle diameter."""
GREYS = np.linspace(-4, 4, 41)
CONTRASTS = np.linspace(0, 3, 31)
RADII = np.linspace(0, 1.2, 25)
"""Edges of the profile's rings, in diameters."""


@dataclass(frozen=True)
class Target:
    """A real data set and how to simulate a similar one.

    `diameter_px` is that of the labels in pixels, `diameter` that of the particle in Å, `labelled` the labelled share.
    """

    folder: str
    pixel_size: float
    diameter_px: float
    diameter: float
    labelled: float
    size: tuple[int, int]
    border: int
    kind: str
    symmetry: str
    mass_kda: float
    settings: SimulationSettings
    denoised: bool


PLAIN = replace(
    load_settings("typical"), carbon=0.0, gold=0.0, border=0.0, empty=0.0, filaments=0.0, gain_residue=0.0, falloff=0.0
)
TARGETS = (
    Target(
        "empiar10017",
        1.77,
        108,
        190,
        0.65,
        (4096, 4096),
        140,
        "globular",
        "D2",
        465,
        replace(
            PLAIN,
            voltages_kv=(300.0,),
            cs_mm=2.7,
            defocus_um=(2.5, 4.0),
            amplitude_contrast=(0.03, 0.08),
            dose=(25.0, 25.0),
            coverage=(0.3, 0.4),
            dense=0.0,
            spacing=(0.5, 0.6),
            modulation=(0.1, 0.15),
            counting=(0.0, 0.1),
            contrast=(1.8, 2.4),
            strength=(0.1, 3.0),
        ),
        True,
    ),
    Target(
        "empiar10146",
        1.5,
        77,
        125,
        0.9,
        (1200, 1240),
        0,
        "cage",
        "O",
        480,
        replace(
            PLAIN,
            voltages_kv=(300.0,),
            defocus_um=(1.5, 3.5),
            dose=(40.0, 60.0),
            coverage=(0.45, 0.6),
            dense=0.0,
            spacing=(0.75, 0.9),
            contrast=(1.3, 1.6),
            strength=(0.1, 3.0),
            modulation=(0.1, 0.3),
            counting=(0.0, 0.3),
        ),
        False,
    ),
)


@dataclass(frozen=True)
class Curves:
    """Curves of one micrograph: log10 spectrum, distributions of grey values and local contrast, particle profile, and q."""

    spectrum: np.ndarray
    greys: np.ndarray
    contrasts: np.ndarray
    profile: np.ndarray
    q: float


def curves(pixels: np.ndarray, picks: Picks) -> Curves:
    """Return the curves of an image with known particles; lengths are in particle diameters."""
    diameter = picks.diameter_px
    assert diameter is not None
    values = pixels.astype(np.float32)
    values = (values - values.mean()) / values.std()
    power = np.abs(np.fft.rfft2(values * np.outer(np.hanning(values.shape[0]), np.hanning(values.shape[1])))) ** 2
    k = np.hypot(np.fft.fftfreq(values.shape[0])[:, None], np.fft.rfftfreq(values.shape[1])[None]) * diameter
    ring = np.digitize(k, FREQUENCIES)
    total = np.bincount(ring.ravel(), power.ravel(), len(FREQUENCIES) + 1)[1:-1]
    number = np.bincount(ring.ravel(), minlength=len(FREQUENCIES) + 1)[1:-1]
    spectrum = np.log10(total / number)
    spectrum -= spectrum[(FREQUENCIES[:-1] > 0.5) & (FREQUENCIES[:-1] < 2)].mean()
    window = (2 * int(diameter) + 1,) * 2
    mean = cv2.blur(values, window)
    local = np.sqrt(np.maximum(cv2.blur(values * values, window) - mean * mean, 0))
    edge = window[0] // 2
    contrast = (local / np.median(local))[edge:-edge:7, edge:-edge:7]
    profile, q = _profile(values, picks, diameter)
    return Curves(
        spectrum,
        np.histogram(values[::3, ::3], GREYS, density=True)[0],
        np.histogram(contrast, CONTRASTS, density=True)[0],
        profile,
        q,
    )


def _profile(values: np.ndarray, picks: Picks, diameter: float) -> tuple[np.ndarray, float]:
    """Return the radial profile of particles after a band-pass filter, in standard deviations of the background, and q.

    Centres marked by hand are off by a few pixels, which would blur the mean. All centres, also simulated ones, are therefore
    moved by up to 0.1 diameters to where they correlate best with the mean.
    """
    band = cv2.GaussianBlur(values, (0, 0), 0.06 * diameter) - cv2.GaussianBlur(values, (0, 0), 0.8 * diameter)
    half, reach = int(1.2 * diameter) + 1, int(0.1 * diameter)
    nearest = np.full(values.shape, 255, np.uint8)
    windows = []
    for column, row in picks.xy.round().astype(int):
        cv2.circle(nearest, (int(column), int(row)), int(0.6 * diameter), 0, -1)
        wide = half + reach
        window = band[max(0, row - wide) : row + wide + 1, max(0, column - wide) : column + wide + 1]
        if window.shape == (2 * wide + 1,) * 2:
            windows.append(window)
    background = band[nearest > 0]
    sigma = 1.4826 * np.median(np.abs(background - np.median(background)))
    mean = np.mean([window[reach:-reach, reach:-reach] for window in windows], axis=0)
    for _ in range(2):
        mean = np.mean([_fitted(window, mean) for window in windows], axis=0)
    mean /= sigma
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    ring = np.digitize(np.hypot(x, y) / diameter, RADII)
    profile = np.array([mean[ring == r].mean() for r in range(1, len(RADII))])
    return profile, max(-float(mean[np.hypot(x, y) < 0.2 * diameter].mean()), -0.6 * float(profile[7]))


def _fitted(window: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Return the part of a window that correlates best with the mean."""
    core = mean.shape[0] // 4
    middle = np.ascontiguousarray(mean[core:-core, core:-core], np.float32)
    score = cv2.matchTemplate(np.ascontiguousarray(window[core:-core, core:-core]), middle, cv2.TM_CCORR)
    row, column = np.unravel_index(score.argmax(), score.shape)
    return window[row : row + mean.shape[0], column : column + mean.shape[1]]


def real(like: Target, data: Path, count: int) -> list[Curves]:
    """Return the curves of the first real micrographs without their padded borders."""
    found = []
    paths = sorted((data / like.folder / "micrographs").iterdir())[:count]
    for path in paths:
        micrograph = read_micrograph(path, pixel_size=like.pixel_size)
        table = np.loadtxt(data / like.folder / "truth" / f"{path.stem}.csv", delimiter=",", skiprows=1, usecols=(0, 1))
        found.append(_cropped(micrograph, table, like))
    return found


def simulated(like: Target, count: int) -> list[Curves]:
    """Return the curves of simulated micrographs after the same processing as the real ones."""
    found = []
    for index in range(count):
        one = simulate_micrograph(
            seed=1,
            index=index,
            size=like.size,
            pixel_size=like.pixel_size,
            settings=like.settings,
            structures=FixedStructures([_particle(like, index)]),
        )
        labelled = generator(index, "labelled").random(len(one.truth)) < like.labelled
        pixels, shown = one.micrograph.pixels, one.truth.xy[labelled]
        if like.denoised:
            grey, to_home = denoise(pixels, DenoiseSettings(flip_rows=False))
            pixels, shown = grey, to_home.from_home(shown)
        else:
            low, high = np.percentile(pixels, (0.05, 99.95))
            pixels = np.clip((pixels - low) / (high - low) * 255, 0, 255).round()
        found.append(_cropped(Micrograph(np.asarray(pixels, np.float32), like.pixel_size), shown, like))
    return found


def _particle(like: Target, index: int) -> Structure:
    """Return the one of twelve random particles of the right diameter and symmetry whose mass is closest."""
    drawn = [
        pseudo_protein(generator(index, "like", attempt), diameter=like.diameter, kind=like.kind, symmetry=like.symmetry)
        for attempt in range(12)
    ]
    return min(drawn, key=lambda one: abs(np.log(one.mass_kda / like.mass_kda)))


def _cropped(micrograph: Micrograph, xy: np.ndarray, like: Target) -> Curves:
    cut = like.border
    pixels = micrograph.pixels[cut : micrograph.shape_hw[0] - cut, cut : micrograph.shape_hw[1] - cut]
    moved = xy - cut
    return curves(pixels, Picks("m", moved[inside(moved, pixels.shape)], None, like.diameter_px, pixels.shape))


def compare(name: str, true: Sequence[Curves], made: Sequence[Curves]) -> None:
    """Print the distance of simulated and of real curves from the mean of the (other) real ones."""
    print(f"\n{name}: {len(true)} real, {len(made)} simulated")
    print(f"q real {np.mean([c.q for c in true]):.2f} ± {np.std([c.q for c in true]):.2f}", end=", ")
    print(f"simulated {np.mean([c.q for c in made]):.2f} ± {np.std([c.q for c in made]):.2f}")
    for field in ("spectrum", "greys", "contrasts", "profile"):
        ours, theirs = (np.array([getattr(c, field) for c in group]) for group in (made, true))
        away = [rms(one - theirs.mean(0)) for one in ours]
        spread = [rms(one - np.delete(theirs, i, 0).mean(0)) for i, one in enumerate(theirs)]
        means = rms(ours.mean(0) - theirs.mean(0))
        print(f"{field:10s} distance {np.mean(away):.3f}   of the means {means:.3f}   spread of the real {np.mean(spread):.3f}")


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def draw(path: Path, name: str, true: Sequence[Curves], made: Sequence[Curves]) -> None:
    """Draw the curves of real and simulated micrographs on top of each other."""
    from matplotlib.figure import Figure

    def middle(edges: np.ndarray) -> np.ndarray:
        return (edges[1:] + edges[:-1]) / 2

    figure = Figure(figsize=(11, 7), layout="constrained")
    panels = (
        ("spectrum", middle(FREQUENCIES), "waves per diameter", "log10 power"),
        ("greys", middle(GREYS), "grey value / standard deviation", "share"),
        ("contrasts", middle(CONTRASTS), "local contrast / median", "share"),
        ("profile", middle(RADII), "radius / diameter", "grey value / background"),
    )
    for axes, (field, x, along, up) in zip(figure.subplots(2, 2).flat, panels, strict=True):
        for group, colour, label in ((true, "C0", "real"), (made, "C1", "simulated")):
            for number, one in enumerate(group):
                axes.plot(x, getattr(one, field), colour, alpha=0.6, lw=1, label=label if number == 0 else None)
        axes.set(xlabel=along, ylabel=up, xscale="log" if field == "spectrum" else "linear")
        axes.legend(frameon=False)
    figure.suptitle(name)
    figure.savefig(path, dpi=70)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("realism"))
    parser.add_argument("--count", type=int, default=6)
    parser.add_argument("--only", choices=[like.folder for like in TARGETS])
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    given.out.mkdir(parents=True, exist_ok=True)
    for like in TARGETS:
        if given.only in {None, like.folder}:
            true, made = real(like, given.data, given.count), simulated(like, given.count)
            compare(like.folder, true, made)
            draw(given.out / f"realism-{like.folder}.png", like.folder, true, made)


if __name__ == "__main__":
    main()
