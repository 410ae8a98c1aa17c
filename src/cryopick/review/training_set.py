"""Which micrographs the weights of a run have seen, so that numbers on the others can be trusted."""

from pathlib import Path

import yaml

from cryopick.models.weights import read_card
from cryopick.runs.folder import RunFolder
from cryopick.runs.results import is_run


def names_seen(run: Path) -> set[str]:
    """Names of micrographs that a run's weights were trained on or chosen by, as the card in their file says.

    Empty for picks that are no run, and for runs without weights or with such as are not there any more.
    """
    if not is_run(run):
        return set()
    settings = yaml.safe_load(RunFolder(run).settings.read_text(encoding="utf-8"))["pick"]["settings"]
    weights = Path(settings.get("weights") or "")
    if not weights.is_file():
        return set()
    card = read_card(weights)
    return {name for part in ("seen", "held_out") for name in card.data.get(part, [])} if card else set()
