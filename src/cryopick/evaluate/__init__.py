"""Scores of picks against ground truth."""

from cryopick.evaluate.matching import Match, match_picks
from cryopick.evaluate.metrics import Evaluation, evaluate_picks
from cryopick.evaluate.pixelwise import PixelEvaluation, evaluate_pixels

__all__ = ["Evaluation", "Match", "PixelEvaluation", "evaluate_picks", "evaluate_pixels", "match_picks"]
