"""The rule by which the published networks were filled and fed when the golden numbers were made (standard library and NumPy)."""

import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray


def golden_rng(key: str) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(zlib.crc32(key.encode("utf-8"))))


def golden_values(key: str, shape: tuple[int, ...]) -> NDArray[np.float32] | NDArray[np.int64]:
    """The values of one entry of a state dict, which depend on its name alone."""
    if key.endswith("num_batches_tracked"):
        return np.zeros(shape, np.int64)
    values = golden_rng(key).standard_normal(shape)
    if key.endswith("running_var"):
        values = 1.0 + 0.1 * np.abs(values)
    elif key.endswith("running_mean"):
        values = 0.1 * values
    elif key == "query_embed.weight":
        pass
    elif len(shape) >= 2:
        values = values * np.sqrt(2.0 / np.prod(shape[1:]))
        if key.endswith("in_proj_weight"):
            values[: 2 * shape[0] // 3] *= 3.0
        if key.endswith(("out_proj.weight", "linear2.weight")):
            values = 0.3 * values
    elif key.endswith("weight"):
        values = 1.0 + 0.02 * values
        if key.endswith("bn3.weight"):
            values = 0.2 * values
    else:
        values = 0.02 * values
    return np.asarray(values, np.float32)


def fill(model) -> None:
    """Give a torch module the golden values, in place."""
    import torch

    state: Mapping[str, torch.Tensor] = model.state_dict()
    for key, tensor in state.items():
        tensor.copy_(torch.from_numpy(golden_values(key, tuple(tensor.shape))))
