"""Reading of tensors from published checkpoints and safetensors files, without running code in them."""

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
MOST_UNPACKED = 4
"""Largest ratio of a checkpoint's unpacked size to its file."""


def read_state(path: Path) -> tuple[State, dict[str, str]]:
    """Read tensors by key, and the metadata of the file (empty except for safetensors).

    Reads ``.safetensors`` files, and PyTorch checkpoints that are a bare state dict or hold one under ``model`` or
    ``state_dict``. Raises `FileError` if the file holds anything but tensors and plain values, or is truncated.
    """
    _check_regular(path)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    if path.suffix in PICKLES:
        _check_unpacked_size(path)
        return _only_tensors(path, _read_pickle(path)), {}
    raise FileError(path, "is not a weights file", f"Give a .safetensors file or a checkpoint ({', '.join(sorted(PICKLES))})")


def read_metadata(path: Path) -> dict[str, str]:
    """Read the metadata of a safetensors file without its tensors. Raises `FileError` if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    _check_regular(path)
    try:
        with safe_open(path, framework="pt") as opened:
            return dict(opened.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, as printed by `sha256sum`."""
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def tensors_sha256(state: State) -> str:
    """Return the SHA-256 over the sorted names, types, shapes and values of tensors; it does not depend on the file format."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_regular(path: Path) -> None:
    """Raise `FileError` for a pipe or device, which may be endless."""
    if path.exists() and not path.is_file():
        raise FileError(path, "is not a regular file", "Give a file of weights")


def _check_unpacked_size(path: Path) -> None:
    """Raise `FileError` for a checkpoint that unpacks to far more than its file, since PyTorch does not compress."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, ValueError):
        return  # the reader will report the damage
    if unpacked > MOST_UNPACKED * path.stat().st_size:
        found = f"claims {unpacked:,} bytes of tensors and has {path.stat().st_size:,}"
        raise FileError(path, found, "Download it again from its publisher")


def _read_safetensors(path: Path) -> tuple[State, dict[str, str]]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path), read_metadata(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from error


def _read_pickle(path: Path) -> Any:
    # Training programs store their command line with the weights: a Namespace of plain values, the only class allowed.
    with torch.serialization.safe_globals([Namespace]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected pickle protocol")  # unreadable files get an error below
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except Exception as error:  # invalid data can raise any error in an unpickler
            if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
                raise FileError(
                    path,
                    "holds Python objects besides tensors, which could run any program when loaded; none was run",
                    "Ask its author for a plain state dict or a .safetensors file",
                ) from error
            raise _damaged(path, error) from error


def _only_tensors(path: Path, content: Any) -> State:
    for wrapper in WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise FileError(path, "contains no state dict", "Give a checkpoint with its tensors at the top level or under 'model'")
    for key, value in content.items():
        if value.layout != torch.strided or value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise FileError(path, f"claims more values than it contains: {key} {tuple(value.shape)}", "Copy or download it again")
    return {str(key): value for key, value in content.items()}


def _damaged(path: Path, error: Exception) -> FileError:
    from safetensors import SafetensorError

    if not path.stat().st_size:
        return FileError(path, "is empty (0 bytes)", "Copy or download it again")
    if not isinstance(error, OSError | RuntimeError | SafetensorError):  # from the unpickler, with an unhelpful message
        return FileError(
            path, "is damaged, or not a checkpoint of tensors", "Copy or download it again, or ask for a .safetensors file"
        )
    reason = str(error).partition("\n")[0][:100]
    return FileError(
        path, f"cannot be read as weights ({reason or type(error).__name__})", "It may be truncated: copy or download it again"
    )
