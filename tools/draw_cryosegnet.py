"""Draw the figure of ``docs/pickers/cryosegnet.md``: all stages on a simulated micrograph, with a network trained for a minute.

python tools/draw_cryosegnet.py
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cryopick.coordinates import PixelMap
from cryopick.display.panels import Panel, write_panels
from cryopick.evaluate.matching import match_picks
from cryopick.models.attention_unet import AttentionUNet
from cryopick.pickers.cryosegnet import CryoSegNetPicker, CryoSegNetSettings, denoised
from cryopick.pickers.diagnostics import coloured, outlined
from cryopick.simulate import simulate_micrograph
from cryopick.simulate.micrograph import SimulatedMicrograph, load_settings
from cryopick.train.data.targets import disc_mask
from cryopick.train.losses import segmentation_loss

FIGURE = Path(__file__).resolve().parents[1] / "docs" / "images" / "cryosegnet-stages.jpg"
SETTINGS = CryoSegNetSettings(side=256, instances="watershed", rules="robust", threshold=0.6)
MICROGRAPHS, STEPS, BATCH = 24, 150, 4


def main() -> None:
    """Train, pick a held-out micrograph, and draw its stages."""
    torch.manual_seed(0)
    network = AttentionUNet(8, 4)
    train(network, [simulate(index) for index in range(MICROGRAPHS)])
    example = simulate(MICROGRAPHS)
    micrograph = example.micrograph
    stages = CryoSegNetPicker(SETTINGS, network=network.eval()).stages(micrograph)
    match = match_picks(stages.picks, example.truth, radius=80.0)
    error = np.median(match.distances)
    print(f"{len(stages.picks)} picks, {len(match.pairs)} of {len(example.truth)} particles, median error {error:.1f} px")
    panels = [
        Panel("1. the micrograph", micrograph.pixels, PixelMap()),
        Panel("2. denoised", stages.image, stages.image_to_home),
        Panel("3. the U-Net's map", stages.probability, stages.to_home),
        Panel("4. instances in the map", coloured(stages.labels), stages.to_home),
        Panel("5. their outlines", outlined(stages.probability, stages.labels), stages.to_home),
        Panel(f"6. {len(stages.picks)} picks", stages.image, stages.image_to_home, stages.picks),
    ]
    write_panels(panels, micrograph.shape_hw, FIGURE)


def simulate(index: int) -> SimulatedMicrograph:
    easy = replace(load_settings("easy"), diameter=(150.0, 170.0), coverage=(0.2, 0.35), spacing=(0.95, 1.0))
    return simulate_micrograph(seed=7, index=index, size=1024, pixel_size=2.0, settings=easy)


def train(network: nn.Module, examples: list[SimulatedMicrograph]) -> None:
    """Train with CryoSegNet's recipe, shortened: discs as targets, half cross-entropy and half Dice, Adam."""
    images, targets = zip(*map(example_tensors, examples), strict=True)
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        chosen = rng.choice(len(images), BATCH, replace=False)
        loss = segmentation_loss(network(torch.stack([images[i] for i in chosen])), torch.stack([targets[i] for i in chosen]))
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()


def example_tensors(example: SimulatedMicrograph) -> tuple[Tensor, Tensor]:
    prepared = denoised(example.micrograph, SETTINGS)
    shape_hw = (prepared.image.shape[0], prepared.image.shape[1])
    mask = disc_mask(example.truth, shape_hw=shape_hw, to_home=prepared.map_to_home)
    return torch.from_numpy(prepared.image)[None].float() / 255, torch.from_numpy(mask)[None]


if __name__ == "__main__":
    main()
