"""Anchors, boxes and attention of the compact DETR, worked out by hand."""

import math

import pytest
import torch

from cryopick.errors import SettingError
from cryopick.models.anchor_detr import (
    ANCHOR,
    CELL,
    MAX_MOVE,
    AnchorDetr,
    Attention,
    cell_centres,
    position_encoding,
    refine_boxes,
)


@pytest.fixture(scope="module")
def network() -> AnchorDetr:
    torch.manual_seed(0)
    return AnchorDetr(width=32, heads=4, feedforward=32, encoder=1, decoder=2, channels=(4, 8, 8, 16)).eval()


def test_anchors_are_cell_centres_in_row_major_order():
    # The first 8 × 8 pixels have centres 0 to 7, and their middle is 3.5.
    assert cell_centres((2, 3), 8).tolist() == [[[3.5, 3.5], [11.5, 3.5], [19.5, 3.5], [3.5, 11.5], [11.5, 11.5], [19.5, 11.5]]]


def test_a_box_moves_from_its_anchor_by_tanh_and_grows_by_exp():
    boxes = refine_boxes(
        torch.tensor([[3.5, 11.5]] * 4),
        torch.full((4, 1), 12.0),
        torch.tensor([[0, 0, 0], [math.atanh(0.5), -math.atanh(0.25), math.log(1.5)], [99, -99, 99], [0, 0, -99]]),
    )
    expected = [[3.5, 11.5, 12.0], [7.5, 9.5, 18.0], [11.5, 3.5, 12 * math.e**1.5], [3.5, 11.5, 12 * math.e**-1.5]]
    assert boxes.tolist() == [pytest.approx(row, rel=1e-5) for row in expected]
    assert MAX_MOVE == ANCHOR  # two neighbouring anchors can each reach whatever lies between them


def test_before_training_boxes_lie_on_their_anchors_and_nothing_is_a_particle(network):
    with torch.no_grad():
        said = network(torch.randn(2, 1, 24, 40, generator=torch.Generator().manual_seed(1)))
    assert said.boxes.shape == (2, 2, 15, 3)
    for layer in said.boxes:
        torch.testing.assert_close(layer[..., :2], cell_centres((3, 5), ANCHOR).expand(2, -1, -1))
        assert (layer[..., 2] == 12).all()
    assert (said.logits.sigmoid() < 0.25).all()
    assert said.maps is None


def test_auxiliary_maps_have_the_size_of_the_image_in_training_mode(network):
    network.train()
    assert network(torch.zeros(2, 1, 24, 40)).maps.shape == (2, 3, 24, 40)
    network.eval()


def test_position_encodings_compare_positions_by_their_distance():
    code = position_encoding(torch.tensor([[0.0, 0.0], [5.0, 2.0], [30.0, 7.0], [35.0, 9.0]]), 32, 4)
    here, there = code[0] @ code[1], code[2] @ code[3]  # the same step, from two places
    assert here.item() == pytest.approx(there.item(), abs=1e-4)
    assert (code @ code.T).argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert (code @ code.T).diagonal().tolist() == pytest.approx([16.0] * 4, rel=1e-5)  # sin² + cos² of 8 waves on 2 axes
    # Every head's quarter of the channels holds long waves and short ones.
    apart = (code[0] - code[2]).view(4, 8).norm(dim=1)
    assert apart.min() > 0.5 * apart.max()


def test_untrained_attention_looks_near_the_query():
    torch.manual_seed(0)
    attention = Attention(32, 4)
    with torch.no_grad():
        for part in (attention.query, attention.key):
            part.weight.zero_()
        attention.value.weight.copy_(torch.eye(32))
        attention.result.weight.copy_(torch.eye(32))
        for part in (attention.value, attention.result):
            part.bias.zero_()
        places = cell_centres((6, 6), CELL)
        memory = torch.zeros(1, 36, 32)
        memory[0, 14] = 1.0  # row 2, column 2
        codes = position_encoding(places, 32, 4)
        seen = attention(torch.zeros(1, 36, 32), codes, memory, codes).mean(dim=-1)[0]
    assert int(seen.argmax()) == 14
    assert seen[14] > 3 * seen[35]


def test_distant_cells_influence_a_query_through_the_encoder(network):
    image = torch.zeros(1, 1, 48, 48)
    changed = image.clone()
    changed[..., 40:, 40:] = 3.0
    with torch.no_grad():
        before, after = network(image).logits[-1], network(changed).logits[-1]
    assert (before - after)[0, 0].abs() > 0  # the anchor in the opposite corner


@pytest.mark.parametrize("wrong", [{"width": 100}, {"encoder": 0}, {"decoder": 0}])
def test_invalid_sizes_raise(wrong):
    with pytest.raises(SettingError, match="multiple"):
        AnchorDetr(**wrong)


def test_positions_keep_their_precision_under_16_bit_autocast(network):
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        boxes = network(torch.zeros(1, 1, 8, 800)).boxes[0]
    assert boxes[0, -1].tolist() == [795.5, 3.5, 12.0]
