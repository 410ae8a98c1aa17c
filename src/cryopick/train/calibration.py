"""Calibration of scores: about a share s of the picks with score s is right."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

RIDGE = 1e-5
"""Penalty that keeps the slope finite if a threshold separates right from wrong picks perfectly."""


def fit_platt(logits: NDArray[np.floating], right: NDArray[np.bool_] | NDArray[np.floating]) -> tuple[float, float]:
    """Fit slope and offset of Platt scaling (Platt 1999): sigmoid(slope · logit + offset) is the probability of being right.

    `logits` and `right` are (n,); `right` may hold probabilities. If all values of `right` are equal, or there are none, the
    logits are not changed: slope 1, offset 0.
    """
    if len(right) == 0 or right.min() == right.max():
        return 1.0, 0.0

    mean, spread = float(np.mean(logits)), float(np.std(logits)) or 1.0
    scaled = (logits - mean) / spread  # the minimiser fails on logits that lie close together

    def loss(line: NDArray[np.float64]) -> float:
        predicted = line[0] * scaled + line[1]
        return float(np.mean(np.logaddexp(0, predicted) - right * predicted) + RIDGE * line[0] ** 2)

    slope, offset = minimize(loss, (1.0, 0.0)).x
    return float(slope / spread), float(offset - slope * mean / spread)
