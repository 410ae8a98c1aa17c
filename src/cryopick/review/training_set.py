"""The micrographs that the weights of a run were trained on; only scores on the others are a fair test."""

from pathlib import Path

from cryopick.models.weights import read_card
from cryopick.runs.folder import RunFolder
from cryopick.runs.results import is_run
from cryopick.runs.settings import read_run_record


def training_names(run: Path) -> set[str]:
    """Return the names of the micrographs that the weights of a run were trained on or selected by, from the card in their file.

    Empty for picks that are not a run, for runs without weights, and if the file of weights no longer exists.
    """
    if not is_run(run):
        return set()
    settings = read_run_record(RunFolder(run).settings).settings["settings"] or {}
    weights = Path(str(settings.get("weights") or ""))
    if not weights.is_file():
        return set()
    card = read_card(weights)
    return {name for part in ("seen", "held_out") for name in card.data.get(part, [])} if card else set()
