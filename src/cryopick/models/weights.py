"""Weights: where they are found, what their card says, and how they get into a network, strictly."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from cryopick.config import resolve
from cryopick.errors import FileError, SettingError
from cryopick.models.architectures import ARCHITECTURES, State
from cryopick.models.checkpoints import file_sha256, read_metadata, read_state, tensors_sha256
from cryopick.models.inference import FastNetwork

FOLDER_VARIABLE = "CRYOPICK_WEIGHTS"
CARD_KEY = "cryopick"
SHOWN_KEYS = 8
EXAMPLE = 256
"""Side of the image on which 16 bits must give what 32 give, or are not used."""
RENAMED = {"segnet": "unet", "transformer": "detr"}
"""Names of the package's weights in version 0.1."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """What is known about one set of weights; kept inside the safetensors file.

    Attributes
    ----------
    architecture : name in `ARCHITECTURES`.
    settings : what the network is built with, e.g. width and levels.
    tensors_sha256 : hash of the tensors as kept in the file, see `tensors_sha256`.
    source : where the weights come from: a file's name, an address, or the training command.
    source_sha256 : hash of the file they were converted from, as `sha256sum` prints it.
    licence : under which they may be used.
    input : how a micrograph becomes the network's input, e.g. size, denoising, particle size.
    data : names of the data sets trained on ("seen") and kept apart ("held_out").
    metrics : scores on the data kept apart.
    notes : anything else a user should know.
    """

    architecture: str
    settings: dict[str, Any] = field(default_factory=dict)
    tensors_sha256: str = ""
    source: str = ""
    source_sha256: str = ""
    licence: str = ""
    input: dict[str, Any] = field(default_factory=dict)
    data: dict[str, list[str]] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    notes: str = ""


def folders() -> list[Path]:
    """Where weights are looked for by name: the folder that the variable CRYOPICK_WEIGHTS names, then the package."""
    named = os.environ.get(FOLDER_VARIABLE)
    return ([Path(named).expanduser()] if named else []) + [Path(str(files("cryopick").joinpath("weights")))]


def available() -> dict[str, Path]:
    """Weights that can be named without their path: file name without the suffix, to the file."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("[!.]*.safetensors")):
            found.setdefault(path.stem, path)
    return found


def find(name: str | Path, *, architecture: str | None = None) -> Path:
    """The file of weights for a path or a name in `available`.

    Raises `FileError` where there is none; with `architecture` it says where that network's weights are published.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    found = available()
    if str(name) in RENAMED and str(name) not in found:
        log.warning("weights %s are now called %s", name, RENAMED[str(name)])
        name = RENAMED[str(name)]
    if str(name) in found:
        return found[str(name)]
    where = f"{ARCHITECTURES.get(architecture).published}. " if architecture else ""
    names = ", ".join(found) or "none here yet"
    raise FileError(
        path,
        "there are no such weights",
        f"{where}Give the file's path, put it into the folder that {FOLDER_VARIABLE} names, or give one of these names: {names}",
    )


def load(
    name: str | Path, *, architecture: str | None = None, sha256: str | None = None, device: torch.device | str = "cpu"
) -> nn.Module:
    """The network that a file of weights holds, in evaluation mode, float32.

    The architecture and its settings come from the file's card or, without one, from its keys and shapes.

    Parameters
    ----------
    name : a path, or a name in `available`.
    architecture : the architecture that the caller needs.
    sha256 : the hash that the file must have.

    Raises
    ------
    FileError
        When the file is missing, damaged, has another hash or architecture, or its keys do not fit the network.
    """
    path = find(name, architecture=architecture)
    _check_hash(path, sha256)
    state, card = read(path)
    if architecture is not None and card.architecture != architecture:
        raise FileError(path, f"holds weights of {card.architecture}, not of {architecture}", "Give the other file")
    log.info("%s: %s %s", path, card.architecture, card.settings)
    return _network(state, card, path).float().to(device).eval()


def load_fast(name: str | Path, *, architecture: str, device: str = "cpu") -> nn.Module:
    """The network that a file of weights holds, as `load` gives it, made as fast as the device allows; for image input.

    Raises as `load` does.
    """
    network = load(name, architecture=architecture, device=device)
    example = torch.rand(1, 1, EXAMPLE, EXAMPLE, generator=torch.Generator().manual_seed(0)).to(device)
    return FastNetwork(network, example)


def read(path: Path) -> tuple[State, Card]:
    """Tensors with the keys of our network, and their card; a card is made up for a file that has none."""
    state, metadata = read_state(path)
    if CARD_KEY in metadata:
        return state, _parse_card(path, metadata[CARD_KEY])
    for name in ARCHITECTURES.names:
        architecture = ARCHITECTURES.get(name)
        renamed = architecture.rename(state)
        settings = architecture.infer_settings(renamed)
        if settings is not None:
            return renamed, Card(name, settings, source=path.name, licence=architecture.licence)
    raise FileError(
        path,
        f"has the keys of no network known here ({_some(list(state))})",
        f"Known networks: {', '.join(ARCHITECTURES.names)}",
    )


def read_card(path: Path) -> Card | None:
    """The card in a safetensors file, without reading its tensors; None where there is none."""
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    return _parse_card(path, metadata[CARD_KEY]) if CARD_KEY in metadata else None


def fit(model: nn.Module, state: State, path: Path) -> None:
    """Copy a state dict into a network that must have exactly its keys and shapes; `path` is for the message.

    Raises `FileError` that names what is missing, surplus or of another shape; the network is then untouched.
    """
    wanted = model.state_dict()
    complaints = {
        "missing": sorted(wanted.keys() - state.keys()),
        "surplus": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} where {tuple(wanted[key].shape)} is needed"
            for key in sorted(wanted.keys() & state.keys())
            if state[key].shape != wanted[key].shape
        ],
    }
    if any(complaints.values()):
        found = "; ".join(f"{len(keys)} {kind}: {_some(keys)}" for kind, keys in complaints.items() if keys)
        raise FileError(path, f"does not fit the network: {found}", "Give the weights of this network, of this width and depth")
    model.load_state_dict(dict(state))


def save(path: Path, state: State, card: Card, *, half: bool = False) -> Card:
    """Write a ``.safetensors`` file with its card; gives back the card with the tensors' hash filled in.

    `half` keeps floating-point values in 16 bits, which halves the file. Not atomic: write to `io.atomic.atomic_path`'s path.
    """
    from safetensors.torch import save_file

    kept = {
        key: tensor.detach().cpu().to(torch.float16 if half and tensor.is_floating_point() else tensor.dtype).contiguous()
        for key, tensor in state.items()
    }
    card = replace(card, tensors_sha256=tensors_sha256(kept))
    save_file(kept, path, metadata={CARD_KEY: json.dumps(asdict(card), ensure_ascii=False)})
    return card


def verify(path: Path, *, sha256: str | None = None) -> Card:
    """Check a file of weights as `load` does, and its tensors against the hash in its card; gives back the card.

    Raises `FileError` that says what is wrong.
    """
    _check_hash(path, sha256)
    state, card = read(path)
    _network(state, card, path)
    if card.tensors_sha256 and tensors_sha256(state) != card.tensors_sha256:
        raise FileError(path, "holds other tensors than its card says", "It was changed or damaged: get it again")
    return card


def _network(state: State, card: Card, path: Path) -> nn.Module:
    try:
        model = ARCHITECTURES.get(card.architecture).build(**card.settings)
    except (TypeError, SettingError) as error:
        raise FileError(path, f"has a card with settings that cannot be ({error})", "Get the file again") from error
    fit(model, state, path)
    return model


def _check_hash(path: Path, sha256: str | None) -> None:
    if sha256 is not None and file_sha256(path) != sha256.lower():
        raise FileError(path, f"has the SHA-256 {file_sha256(path)}, not {sha256}", "Download it again, or correct the hash")


def _parse_card(path: Path, text: str) -> Card:
    try:
        card = resolve(Card, msgspec.json.decode(text, type=dict[str, Any]))
    except (msgspec.DecodeError, SettingError) as error:
        raise FileError(
            path, f"has a card that cannot be read ({error})", "Convert the weights again with this version"
        ) from error
    if card.architecture not in ARCHITECTURES:
        raise FileError(path, f"holds weights of {card.architecture!r}, unknown here", "Update cryopick")
    return card


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:SHOWN_KEYS]) + (f" and {len(keys) - SHOWN_KEYS} more" if len(keys) > SHOWN_KEYS else "")
