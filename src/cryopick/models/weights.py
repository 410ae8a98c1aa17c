"""Weights: finding them by name, their cards, and strict loading into networks."""

import json
import logging
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from torch import nn

from cryopick.config import resolve
from cryopick.errors import CryopickError, FileError, SettingError, deprecated
from cryopick.messages import listed
from cryopick.models.architectures import ARCHITECTURES, State
from cryopick.models.checkpoints import file_sha256, read_metadata, read_state, tensors_sha256
from cryopick.models.inference import FastNetwork, require_device

T = TypeVar("T")

FOLDER_VARIABLE = "CRYOPICK_WEIGHTS"
CARD_KEY = "cryopick"
SHOWN_KEYS = 8
LARGEST_SETTING = 1024
"""Largest number in a card for which no tensor has that size, such as the side of an image."""
PARTICLE_PX = (2.0, 512.0)
"""Limits of the particle diameter in a network's input, in pixels."""
EXAMPLE = 256
"""Side of the image on which results in 16 bits are compared with those in 32 bits."""
RENAMED = {"segnet": "unet", "transformer": "detr"}
"""Names of the package's weights in version 0.1."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """The description of one set of weights, stored inside the safetensors file.

    Attributes
    ----------
    architecture : name in `ARCHITECTURES`.
    settings : arguments of the network, such as width and levels.
    tensors_sha256 : hash of the tensors in the file, see `tensors_sha256`.
    source : origin of the weights: a file's name, an address, or the training command.
    source_sha256 : hash of the original file, as printed by `sha256sum`.
    licence : of the weights.
    input : settings of the network's input, such as size, denoising and particle size.
    data : names of the data sets used for training ("seen") and of those held out ("held_out").
    metrics : scores on the held-out data.
    notes : further information for users.
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
    """Return the folders searched for weights by name: the one that the variable CRYOPICK_WEIGHTS names, then the package."""
    named = os.environ.get(FOLDER_VARIABLE)
    return ([Path(named).expanduser()] if named else []) + [Path(str(files("cryopick").joinpath("weights")))]


def available() -> dict[str, Path]:
    """Return the files of weights that can be used by name: path by file name without the suffix."""
    found: dict[str, Path] = {}
    for folder in folders():
        for path in sorted(folder.glob("[!.]*.safetensors")):
            found.setdefault(path.stem, path)
    return found


def find(name: str | Path, *, architecture: str | None = None) -> Path:
    """Find the file of weights for a path or a name in `available`.

    Raises `FileError` if there is none; the message says where weights of `architecture` are published.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return path
    found = available()
    if str(name) in RENAMED and str(name) not in found:
        deprecated(f"the weights {name} are deprecated and will be removed in the next version: use {RENAMED[str(name)]}")
        name = RENAMED[str(name)]
    if str(name) in found:
        return found[str(name)]
    where = f"{ARCHITECTURES.get(architecture).published}. " if architecture else ""
    names = ", ".join(found) or "none yet"
    raise FileError(
        path,
        "no such weights",
        f"{where}Give the path of the file, put it into the folder ${FOLDER_VARIABLE}, or use one of these names: {names}",
    )


def load(
    name: str | Path, *, architecture: str | None = None, sha256: str | None = None, device: torch.device | str = "cpu"
) -> nn.Module:
    """Load the network from a file of weights, in evaluation mode and float32.

    Architecture and settings are those of the file's card or, without one, are inferred from its keys and shapes.

    Parameters
    ----------
    name : a path, or a name in `available`.
    architecture : required architecture.
    sha256 : required hash of the file.

    Raises
    ------
    FileError
        When the file is missing, damaged, has another hash or architecture, or its keys do not fit the network.
    SettingError
        For a device that cannot be used here.
    """
    require_device(device)
    path = find(name, architecture=architecture)
    _check_hash(path, sha256)
    state, card = read(path)
    if architecture is not None and card.architecture != architecture:
        raise FileError(path, f"holds weights of {card.architecture}, not of {architecture}", "Give weights of that architecture")
    logger.info("%s: %s %s", path, card.architecture, card.settings)
    return _network(state, card, path).float().to(device).eval()


def load_fast(name: str | Path, *, architecture: str, device: str = "cpu") -> nn.Module:
    """Load a network like `load`, and make it as fast as the device allows; for image input.

    Raises the errors of `load`.
    """
    network = load(name, architecture=architecture, device=device)
    example = torch.rand(1, 1, EXAMPLE, EXAMPLE, generator=torch.Generator().manual_seed(0)).to(device)
    return FastNetwork(network, example)


def read(path: Path) -> tuple[State, Card]:
    """Read tensors with the keys of our network, and their card; a file without one gets a provisional card."""
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
        f"belongs to no known network (its keys: {listed(list(state), shown=SHOWN_KEYS)})",
        f"Known networks: {', '.join(ARCHITECTURES.names)}",
    )


def read_card(path: Path) -> Card | None:
    """Read the card in a safetensors file without its tensors; None if it has none."""
    metadata = read_metadata(path) if path.suffix == ".safetensors" else {}
    return _parse_card(path, metadata[CARD_KEY]) if CARD_KEY in metadata else None


def resolve_input(path: Path, kind: type[T], values: Mapping[str, Any]) -> T:
    """Return the settings of a network's input on a card, as a dataclass. Raises `FileError` for values that it cannot have."""
    try:
        return resolve(kind, values)
    except SettingError as error:
        raise FileError(path, f"has a card with invalid settings ({error})", "Download it again") from error


def check_scale(particle_px: float, calibration: tuple[float, float]) -> None:
    """Raise `SettingError` for an impossible particle size in pixels or calibration."""
    if not PARTICLE_PX[0] <= particle_px <= PARTICLE_PX[1]:
        raise SettingError(f"particle_px must be {PARTICLE_PX[0]:g} to {PARTICLE_PX[1]:g} pixels, got {particle_px:g}")
    if not all(map(math.isfinite, calibration)):
        raise SettingError(f"the calibration must be finite numbers, got {calibration}")


def fit(model: nn.Module, state: State, path: Path) -> None:
    """Copy a state dict into a network with exactly the same keys and shapes; `path` is for the message.

    Raises `FileError`, which names missing and surplus keys and other shapes, and then leaves the network unchanged.
    """
    _check_keys(model, state, path)
    model.load_state_dict(dict(state))


def _check_keys(model: nn.Module, state: State, path: Path) -> None:
    wanted = model.state_dict()
    complaints = {
        "missing": sorted(wanted.keys() - state.keys()),
        "surplus": sorted(state.keys() - wanted.keys()),
        "of another shape": [
            f"{key} {tuple(state[key].shape)} instead of {tuple(wanted[key].shape)}"
            for key in sorted(wanted.keys() & state.keys())
            if state[key].shape != wanted[key].shape
        ],
    }
    if any(complaints.values()):
        found = "; ".join(f"{len(keys)} {kind}: {listed(keys, shown=SHOWN_KEYS)}" for kind, keys in complaints.items() if keys)
        raise FileError(path, f"does not fit the network: {found}", "Give weights of the same network, width and depth")


def save(path: Path, state: State, card: Card, *, half: bool = False) -> Card:
    """Write a ``.safetensors`` file with its card; return the card with the hash of the tensors.

    `half` stores floating-point values in 16 bits, which halves the size. Not atomic: write to a path of `atomic_path`.
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
    """Check a file of weights like `load`, and its tensors against the hash in its card; return the card.

    Raises `FileError` for weights that are unusable or changed.
    """
    _check_hash(path, sha256)
    state, card = read(path)
    _network(state, card, path)
    if card.tensors_sha256 and tensors_sha256(state) != card.tensors_sha256:
        raise FileError(path, "has tensors that differ from the hash in its card", "It was changed or damaged; download it again")
    return card


def _network(state: State, card: Card, path: Path) -> nn.Module:
    """Make the network of a card with these tensors, after comparing its shapes with theirs without allocating memory."""
    _check_sizes(state, card.settings, path)
    build = ARCHITECTURES.get(card.architecture).build
    try:
        with torch.device("meta"):
            outline = build(**card.settings)
        _check_keys(outline, state, path)
        model = build(**card.settings)
    except CryopickError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(path, f"has a card with invalid settings ({error})", "Download it again") from error
    except Exception as error:  # settings of another type or size can raise any error in a network
        given = ", ".join(f"{key} {value}" for key, value in card.settings.items())
        found = f"has a card with invalid settings for {card.architecture}: {given}"
        raise FileError(path, found, "Download it again") from error
    fit(model, state, path)
    return model


def _check_sizes(state: State, settings: Mapping[str, Any], path: Path) -> None:
    """Raise `FileError` for a card with sizes that the tensors cannot have, such as numbers of channels or layers."""
    sizes = [size for tensor in state.values() for size in tensor.shape]
    most = max([LARGEST_SETTING, len(state), *sizes])
    for key, value in settings.items():
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= most:
                found = f"has a card that does not fit its tensors: {key} is {number:g}, and they have no side above {most:,}"
                raise FileError(path, found, "Download it again")


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
        raise FileError(path, f"holds weights of the unknown architecture {card.architecture!r}", "Update cryopick")
    return card
