"""Scores that mean something: of the picks with score s, about a share s is right."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

STIFFNESS = 1e-5
"""Keeps the slope finite where a threshold parts right from wrong without a mistake."""


def fit_line(logits: NDArray[np.floating], right: NDArray[np.bool_] | NDArray[np.floating]) -> tuple[float, float]:
    """Slope and offset after which the logits' sigmoid is the chance of being right (Platt 1999).

    `right` may itself be chances. Where all are equally right logits stay as they are.
    """
    if len(right) == 0 or right.min() == right.max():
        return 1.0, 0.0

    middle, spread = float(np.mean(logits)), float(np.std(logits)) or 1.0
    scaled = (logits - middle) / spread  # logits that lie close together would leave the minimum unfound

    def loss(line: NDArray[np.float64]) -> float:
        said = line[0] * scaled + line[1]
        return float(np.mean(np.logaddexp(0, said) - right * said) + STIFFNESS * line[0] ** 2)

    slope, offset = minimize(loss, (1.0, 0.0)).x
    return float(slope / spread), float(offset - slope * middle / spread)
