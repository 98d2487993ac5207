"""Dense heads: layout of the outputs, initial values, one image of a batch."""

from __future__ import annotations

import pytest
import torch

from resnet_tl.models.heads.dense import PRIOR, DenseHead, anchor_labels, by_anchor
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.matching import IGNORED, NONE, Padded
from resnet_tl.structures.records import Level

LEVELS = [Level("p3", 32, 8), Level("p4", 32, 16), Level("p5", 32, 32)]
CLASSES = ["ant", "bee", "cat"]


def maps(images: int) -> dict[str, torch.Tensor]:
    return {level.name: torch.randn(images, 32, 64 // level.stride, 64 // level.stride) for level in LEVELS}


def test_by_anchor_orders_cells_row_by_row_and_is_a_view_of_channels_last() -> None:
    x = torch.arange(2 * 6 * 2 * 3).view(2, 6, 2, 3).contiguous(memory_format=torch.channels_last)
    flat = by_anchor(x, per_cell=2)
    assert flat.shape == (2, 2 * 3 * 2, 3)
    assert flat.data_ptr() == x.data_ptr()
    row, column, anchor = 1, 2, 1
    assert torch.equal(flat[:, (row * 3 + column) * 2 + anchor], x[:, 3 * anchor : 3 * anchor + 3, row, column])


@pytest.mark.parametrize("kind", [RetinaNet, FCOS])
def test_classes_start_at_the_prior_probability(kind: type[DenseHead]) -> None:
    torch.manual_seed(0)
    outputs = kind(LEVELS, CLASSES)(maps(2), None, (64, 64))
    for logits in outputs.logits:
        assert logits.sigmoid().mean().item() == pytest.approx(PRIOR, rel=0.2)


@pytest.mark.parametrize("kind", [RetinaNet, FCOS])
def test_one_image_of_the_outputs_predicts_as_in_the_batch(kind: type[DenseHead]) -> None:
    torch.manual_seed(0)
    head = kind(LEVELS, CLASSES, score_threshold=0.001).eval()
    outputs = head(maps(3), torch.tensor([[64, 64], [48, 64], [64, 40]]), (64, 64))
    whole = head.predict(outputs)
    for number in range(3):
        single = head.predict(outputs.image(number))
        assert torch.equal(single.labels[0], whole.labels[number])
        torch.testing.assert_close(single.boxes[0], whole.boxes[number])
        torch.testing.assert_close(single.scores[0], whole.scores[number])


def test_anchor_labels_are_negative_without_an_object() -> None:
    objects = Padded(torch.zeros(1, 2, 4), torch.tensor([[2, 0]]), torch.tensor([[True, True]]))
    labels = anchor_labels(torch.tensor([[1, 0, NONE, IGNORED]]), objects)
    assert labels.tolist() == [[0, 2, NONE, NONE]]
