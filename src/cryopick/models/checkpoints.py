"""Reads tensors from published checkpoints and from safetensors; nothing in a file is ever executed."""

import hashlib
import pickle
import warnings
import zipfile
from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cryopick.errors import FileError
from cryopick.models.architectures import State

PICKLES = {".pth", ".pt", ".ckpt", ".bin"}
WRAPPERS = ("model", "state_dict")


def read_state(path: Path) -> tuple[State, dict[str, str]]:
    """Tensors by key, and the file's own words about itself (empty for anything but safetensors).

    Takes ``.safetensors``, and PyTorch checkpoints that are a bare state dict or hold one under ``model`` or ``state_dict``.
    Raises `FileError` for a file that holds anything but tensors and plain values, or is cut short.
    """
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in PICKLES:
        return _only_tensors(path, _read_pickle(path)), {}
    raise FileError(path, "is not a file of weights", f"Give a .safetensors file or a checkpoint ({', '.join(sorted(PICKLES))})")


def read_metadata(path: Path) -> dict[str, str]:
    """A safetensors file's words about itself, without reading its tensors."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as `sha256sum` prints it."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def tensors_sha256(state: State) -> str:
    """SHA-256 over names, types, shapes and values in the order of the names: the same in whatever file they are kept."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path), read_metadata(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> Any:
    # Training programs keep their command line beside the weights: an inert bag of plain values, and the only class let in.
    with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")  # such files are refused in our own words
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except Exception as error:  # what garbage raises in an unpickler is anybody's guess
            if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
                raise FileError(
                    path,
                    "holds Python objects besides tensors, which could run any program when loaded; nothing was run",
                    "Ask whoever gave it to you for a plain state dict or a .safetensors file",
                ) from error
            raise _damaged(path, error) from error


def _only_tensors(path: Path, content: Any) -> State:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise FileError(path, "holds no state dict", "Give a checkpoint whose tensors lie at its top level or under 'model'")
    return {str(key): value for key, value in content.items()}


def _damaged(path: Path, error: Exception) -> FileError:
    from safetensors import SafetensorError

    if not path.stat().st_size:
        return FileError(path, "is empty (0 bytes)", "It was cut short: copy or download it again")
    if not isinstance(error, OSError | RuntimeError | SafetensorError):  # the unpickler's, whose words say nothing to people
        return FileError(
            path, "is no checkpoint of tensors alone, or cut short", "Copy or download it again, or ask for a .safetensors file"
        )
    reason = str(error).partition("\n")[0][:100]
    return FileError(
        path, f"cannot be read as weights ({reason or type(error).__name__})", "It may be cut short: copy or download it again"
    )
