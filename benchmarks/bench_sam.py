"""Decoder calls and CPU seconds saved by prompts from the U-Net's map, and the cost of dividing maps of 1024 × 1024 pixels.

python benchmarks/bench_sam.py [PARTICLES…]

Masks are compared with a segmenter that returns connected components; decoding is timed with Segment Anything's own decoder at
its published size (the same for ViT-B, L and H) and random weights.
"""

import sys
import time
from pathlib import Path
from statistics import median

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from component_segmenter import ComponentSegmenter

from cryopick.detection.components import prompts, watershed
from cryopick.detection.sam_masks import MaskSettings, generate_masks
from cryopick.models.sam import Sam

SIDE = 1024
REPEATS = 3


def main(counts: list[int]) -> None:
    each = seconds_per_prompt()
    print(f"decoder: {1000 * each:.0f} ms CPU a prompt, so {1024 * each:.0f} s for the published grid of 1,024")
    for radius in (18, 6):
        for count in counts:
            image = discs(count, radius)
            compare(image, f"{count} discs of radius {radius}", each)


def compare(image: np.ndarray, title: str, each: float) -> None:
    probability = image.astype(np.float32) / 255
    parting, points = timed(lambda: prompts(probability))
    shed, parts = timed(lambda: watershed(probability))
    grid, few = ComponentSegmenter(SIDE), ComponentSegmenter(SIDE)
    published = as_set(generate_masks(image, grid))
    chosen = as_set(generate_masks(image, few, MaskSettings(early_stability=True), points=points))
    true = cv2.connectedComponents(image)[0] - 1
    print(
        f"{title}: {true} components; grid {len(grid.points)} prompts, {len(published)} masks; "
        f"map {len(few.points)} prompts ({len(grid.points) / len(few.points):.1f} times fewer, {each * len(few.points):.0f} s), "
        f"{len(chosen)} masks, {len(published - chosen)} of the grid's missed; "
        f"prompts {parting:.2f} s, watershed {shed:.2f} s for {len(parts)} parts"
    )


def discs(count: int, radius: int) -> np.ndarray:
    """Draw discs that do not touch, at random positions."""
    rng = np.random.default_rng(1)
    image, centres = np.zeros((SIDE, SIDE), np.uint8), np.zeros((0, 2))
    while len(centres) < count:
        point = rng.integers(radius, SIDE - radius, 2)
        if len(centres) == 0 or np.hypot(*(centres - point).T).min() > 2 * radius + 6:
            centres = np.vstack([centres, point])
            cv2.circle(image, (int(point[0]), int(point[1])), radius, 255, -1)
    return image


def seconds_per_prompt() -> float:
    from transformers import SamConfig, SamModel

    small = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 32, "global_attn_indexes": []}
    sam = Sam(SamModel(SamConfig(vision_config=small)))
    code = sam.encode(discs(50, 18))
    points = np.full((32, 2), 512.0)
    sam.decode(code, points)
    return timed(lambda: sam.decode(code, points))[0] / len(points)


def timed(call):
    spent = []
    for _ in range(REPEATS):
        start = time.process_time()
        result = call()
        spent.append(time.process_time() - start)
    return median(spent), result


def as_set(masks) -> set:
    return {tuple(box) for box in masks.boxes.tolist()}


if __name__ == "__main__":
    main([int(word) for word in sys.argv[1:]] or [100, 300])
