"""Figure of an evaluation's curves."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cryopick.errors import SettingError
from cryopick.evaluate.curves import Curve, Reliability
from cryopick.evaluate.metrics import Evaluation
from cryopick.files import atomic_path


def plot_evaluation(evaluation: Evaluation, path: Path) -> None:
    """Write a figure: precision against recall, scores against the threshold, and reliability.

    The path's suffix chooses the format. Raises `SettingError` when there is no curve to draw (picks without scores, no picks or
    no ground truth), and for an unknown suffix.
    """
    if path.suffix.lower().lstrip(".") not in (kinds := Figure().canvas.get_supported_filetypes()):
        raise SettingError(f"{path}: figures of this format cannot be written; use one of the suffixes {', '.join(kinds)}")
    curve, reliable = evaluation.curve, evaluation.reliability
    if curve is None:
        raise SettingError(f"{path} cannot be drawn: curves need picks with scores and ground truth")
    figure = Figure(figsize=(13.5 if reliable else 9, 4.2), layout="constrained")
    panels = figure.subplots(1, 3 if reliable else 2)
    _precision_recall(panels[0], curve)
    _against_threshold(panels[1], curve, evaluation.threshold)
    if reliable:
        _reliability(panels[2], reliable)
    for panel in panels:
        panel.grid(alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _precision_recall(panel: Axes, curve: Curve) -> None:
    panel.plot(curve.recall, curve.precision, color="C0")
    best = curve.best
    panel.plot(curve.recall[best], curve.precision[best], "o", color="C3", label=f"best F1 {curve.f1[best]:.3f}")
    panel.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    panel.set_title(f"average precision {curve.average_precision:.3f}")
    panel.legend(loc="lower left")


def _against_threshold(panel: Axes, curve: Curve, chosen: float | None) -> None:
    for name, values in (("precision", curve.precision), ("recall", curve.recall), ("F1", curve.f1)):
        panel.plot(curve.thresholds, values, label=name, linewidth=2 if name == "F1" else 1)
    panel.axvline(curve.thresholds[curve.best], color="C3", linestyle="--", linewidth=1)
    if chosen is not None:
        panel.axvline(chosen, color="0.4", linestyle=":", label=f"chosen {chosen:g}")
    panel.set(xlabel="threshold on the score", ylim=(0, 1.01))
    panel.set_title(f"best threshold {curve.thresholds[curve.best]:.4g}")
    panel.legend(loc="lower left")


def _reliability(panel: Axes, reliable: Reliability) -> None:
    panel.plot([0, 1], [0, 1], color="0.6", linestyle="--", linewidth=1)
    panel.plot(reliable.mean_score, reliable.fraction_true, "o-", color="C0")
    panel.set(xlabel="mean score of the bin", ylabel="fraction that is true", xlim=(0, 1.01), ylim=(0, 1.01))
    panel.set_title(f"expected calibration error {reliable.expected_error:.3f}")
