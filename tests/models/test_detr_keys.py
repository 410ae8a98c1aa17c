"""Recognition and strict loading of CryoTransformer's checkpoint."""

import json
from argparse import Namespace

import pytest
import torch
from golden_fill import fill

from cryopick.errors import FileError
from cryopick.models import weights
from cryopick.models.detr import Detr
from cryopick.models.detr_keys import infer_settings


def test_the_published_sizes_are_inferred_from_the_published_keys(golden):
    entries = json.loads((golden / "cryotransformer_detr_keys.json").read_text())["state_dict"]
    state = {entry["key"]: torch.empty(entry["shape"], device="meta") for entry in entries}
    sizes = {"queries": 600, "width": 256, "feedforward": 2048, "layers": 6}
    assert infer_settings(state) == {"depth": 152, "backbone_width": 64, **sizes}


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_every_depth_is_recognised(depth):
    with torch.device("meta"):
        state = Detr(depth, backbone_width=4, queries=5, width=16, heads=8, feedforward=24, layers=2).state_dict()
    sizes = {"queries": 5, "width": 16, "feedforward": 24, "layers": 2}
    assert infer_settings(state) == {"depth": depth, "backbone_width": 4, **sizes}


def test_the_state_dict_of_another_network_is_not_recognised_as_a_detr():
    assert infer_settings({"e1.conv.conv.0.weight": torch.zeros(4, 1, 3, 3)}) is None


def test_a_checkpoint_with_the_training_programs_command_line_loads(tmp_path):
    model = Detr(18, queries=5, width=16, feedforward=24, layers=2)
    fill(model)
    path = tmp_path / "CryoTransformer.pth"
    torch.save({"model": model.state_dict(), "epoch": 3, "args": Namespace(lr=1e-4)}, path)
    loaded = weights.load(path, architecture="detr")
    assert all(torch.equal(loaded.state_dict()[key], value) for key, value in model.state_dict().items())


def test_the_error_for_missing_weights_says_where_they_are_published(tmp_path):
    with pytest.raises(FileError, match=r"github\.com/jianlin-cheng/CryoTransformer"):
        weights.load(tmp_path / "none.pth", architecture="detr")
