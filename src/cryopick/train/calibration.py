"""Scores that mean something: of the picks with score s, about a share s is right."""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize


def fit_line(logits: NDArray[np.floating], right: NDArray[np.bool_] | NDArray[np.floating]) -> tuple[float, float]:
    """Slope and offset after which the logits' sigmoid is the chance of being right (Platt 1999).

    `right` may itself be chances. Where all are equally right logits stay as they are.
    """
    if len(right) == 0 or right.min() == right.max():
        return 1.0, 0.0

    def loss(line: NDArray[np.float64]) -> float:
        said = line[0] * logits + line[1]
        return float(np.mean(np.logaddexp(0, said) - right * said))

    slope, offset = minimize(loss, (1.0, 0.0)).x
    return float(slope), float(offset)
