"""The losses of segmentation equal their definitions in numpy or plain torch."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.segmentation.losses import (
    OHEM,
    CrossEntropy,
    Dice,
    Focal,
    Lovasz,
    PixelLoss,
    near_edges,
)
from resnet_tl.structures.records import IGNORE

CLASSES = ["sky", "road", "car"]
LOSSES = [CrossEntropy, partial(CrossEntropy, edges=2.0), OHEM, Focal, Dice, Lovasz]


@pytest.fixture
def pixels() -> tuple[Tensor, Tensor]:
    """Logits `[2, 3, 5, 7]` and targets with ignored pixels and no car."""
    draw = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 2, (2, 5, 7), generator=draw)
    targets[torch.rand(2, 5, 7, generator=draw) < 0.2] = IGNORE
    return torch.randn(2, 3, 5, 7, generator=draw) * 2, targets


@pytest.mark.parametrize("kind", LOSSES)
def test_ignored_pixels_change_nothing_and_get_no_gradient(
    kind: type[PixelLoss], pixels: tuple[Tensor, Tensor]
) -> None:
    logits, targets = pixels
    ignored = (targets == IGNORE)[:, None].expand_as(logits)
    moved = torch.where(ignored, torch.randn_like(logits) * 9, logits).requires_grad_()
    # OHEM's share refers to all pixels, including ignored ones
    loss = kind(CLASSES)
    assert float(loss(moved, targets).detach()) == pytest.approx(float(loss(logits, targets)), rel=1e-5)
    loss(moved, targets).backward()
    assert moved.grad is not None
    assert not moved.grad[ignored].any()
    assert moved.grad[~ignored].any()


@pytest.mark.parametrize("kind", LOSSES)
def test_the_loss_of_ignored_pixels_is_zero_with_zero_gradients(kind: type[PixelLoss]) -> None:
    for images in (0, 2):
        logits = torch.randn(images, 3, 4, 4, requires_grad=True)
        loss = kind(CLASSES)(logits, torch.full((images, 4, 4), IGNORE))
        loss.backward()
        assert float(loss.detach()) == 0
        assert logits.grad is not None
        assert not logits.grad.any()


@pytest.mark.parametrize("kind", LOSSES)
def test_confident_correct_predictions_have_a_lower_loss_than_wrong_ones(kind: type[PixelLoss]) -> None:
    targets = torch.arange(3).repeat(4).view(1, 3, 4)
    right = F.one_hot(targets, 3).movedim(-1, 1).float() * 30
    wrong = right.roll(1, 1)
    loss = kind(CLASSES, weight=2.0)
    assert float(loss(right, targets)) == pytest.approx(0, abs=1e-4)
    assert float(loss(wrong, targets)) > 1


def test_cross_entropy_divides_by_the_pixels_that_count(pixels: tuple[Tensor, Tensor]) -> None:
    logits, targets = pixels
    counted = targets != IGNORE
    weights = torch.tensor([1.0, 3.0, 2.0])
    each = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")
    expected = (each[counted] * weights[targets[counted]]).sum() / counted.sum()
    assert float(CrossEntropy(CLASSES, class_weights=[1.0, 3.0, 2.0])(logits, targets)) == pytest.approx(
        float(expected)
    )


def test_pixels_with_another_class_within_two_pixels_count_more() -> None:
    targets = torch.zeros(1, 9, 9, dtype=torch.long)
    targets[0, :, 4] = 1  # a pole
    targets[0, :, 8] = IGNORE  # no edge
    expected = np.zeros((9, 9), bool)
    expected[:, 2:7] = True
    assert (near_edges(targets)[0].numpy() == expected).all()
    logits = torch.randn(1, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    each = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")[0].numpy()
    weighted = (each * np.where(expected, 3.5, 1.0)).sum() / 72
    assert float(CrossEntropy(CLASSES, edges=2.5)(logits, targets)) == pytest.approx(weighted, rel=1e-5)


def test_automatic_weights_favour_rare_classes_and_have_a_mean_of_one() -> None:
    loss = CrossEntropy(CLASSES, class_weights="auto")
    loss.set_class_counts([900, 90, 10])
    assert loss.class_weights is not None
    weights = loss.class_weights.numpy()
    assert weights @ np.array([0.9, 0.09, 0.01]) == pytest.approx(1)
    assert weights[2] / weights[0] == pytest.approx(90**0.5)


def test_ohem_takes_the_uncertain_pixels_and_the_hardest_share() -> None:
    logits = torch.zeros(1, 2, 1, 4)
    logits[0, 0, 0] = torch.tensor([9.0, 8.0, 0.0, -1.0])
    targets = torch.zeros(1, 1, 4, dtype=torch.long)
    each = F.cross_entropy(logits, targets, reduction="none").flatten()
    assert float(OHEM(CLASSES[:2], keep=0.0)(logits, targets)) == pytest.approx(float(each[2:].mean()))
    assert float(OHEM(CLASSES[:2], keep=0.75)(logits, targets)) == pytest.approx(float(each[1:].mean()))
    assert float(OHEM(CLASSES[:2], threshold=0.0, keep=0.0)(logits, targets)) == 0


def test_focal_equals_its_formula(pixels: tuple[Tensor, Tensor]) -> None:
    logits, targets = pixels
    counted = targets != IGNORE
    p = logits.softmax(1).gather(1, targets.where(counted, 0)[:, None])[:, 0][counted]
    expected = (-((1 - p) ** 1.5) * p.log()).mean()
    assert float(Focal(CLASSES, gamma=1.5)(logits, targets)) == pytest.approx(float(expected), rel=1e-5)


def test_dice_averages_over_the_classes_that_occur(pixels: tuple[Tensor, Tensor]) -> None:
    logits, targets = pixels
    counted = targets != IGNORE
    p = logits.softmax(1)
    expected = []
    for k in (0, 1):
        truth, predicted = (targets == k).float(), p[:, k] * counted
        expected.append(1 - 2 * float((truth * predicted).sum()) / float(truth.sum() + predicted.sum()))
    assert float(Dice(CLASSES)(logits, targets)) == pytest.approx(np.mean(expected), rel=1e-5)


def test_lovasz_of_certain_predictions_is_the_jaccard_loss() -> None:
    """At the corners of the cube the extension is the set function itself (arXiv:1705.08790)."""
    draw = torch.Generator().manual_seed(1)
    targets, predicted = (torch.randint(0, 2, (2, 6, 6), generator=draw) for _ in range(2))
    logits = F.one_hot(predicted, 3).movedim(-1, 1).float() * 200
    each = [(predicted == k, targets == k) for k in (0, 1)]
    ious = [float((one & other).sum() / (one | other).sum()) for one, other in each]
    assert float(Lovasz(CLASSES)(logits, targets)) == pytest.approx(1 - np.mean(ious), abs=1e-5)


def test_invalid_options_are_one_sentence() -> None:
    with pytest.raises(RecipeError, match=r"class_weights is \[1.0\], expected a value .* 3 classes"):
        CrossEntropy(CLASSES, class_weights=[1.0])
    with pytest.raises(RecipeError, match=r"loss.threshold must be float in \[0, 1\], got 1.5"):
        OHEM(CLASSES, threshold=1.5)
