"""Mixup and cutmix: every pixel and every target is the right blend."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.structures.records import Level
from resnet_tl.tasks.mixing import blend, box, mix, paste, share


def flat_images(values: list[float], size: tuple[int, int] = (8, 6)) -> Tensor:
    """One image per value, with that value in every pixel."""
    return torch.tensor(values)[:, None, None, None].expand(-1, 3, *size).contiguous()


def test_mixup_blends_images_and_targets_alike() -> None:
    images, targets = flat_images([1.0, 2.0, 4.0]), torch.eye(3)
    mixed, soft = blend(images, targets, 0.75)
    torch.testing.assert_close(mixed[:, 0, 0, 0], torch.tensor([0.75 * 1 + 0.25 * 4, 1.75, 3.5]))
    torch.testing.assert_close(soft, torch.tensor([[0.75, 0.0, 0.25], [0.25, 0.75, 0.0], [0.0, 0.25, 0.75]]))
    assert (mixed == mixed[:, :1, :1, :1]).all()


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 9), st.integers(1, 9), st.floats(0, 1), st.integers(0, 2**31))
def test_cutmix_targets_hold_the_true_share_of_pixels(height: int, width: int, kept: float, seed: int) -> None:
    torch.manual_seed(seed)
    images, targets = flat_images([0.0, 1.0], (height, width)), torch.eye(2)
    mixed, soft = paste(images, targets, box(height, width, kept))
    pixels = mixed[:, 0].mean((1, 2))  # of image 1 in either image
    torch.testing.assert_close(soft[:, 1], pixels)
    torch.testing.assert_close(soft.sum(1), torch.ones(2))


def test_a_box_in_the_middle_has_the_requested_area() -> None:
    areas = []
    for seed in range(200):
        torch.manual_seed(seed)
        top, bottom, left, right = box(100, 50, 0.64)  # sides of 60 % of the image's
        assert 0 <= top <= bottom <= 100
        assert 0 <= left <= right <= 50
        areas.append((bottom - top) * (right - left))
    assert max(areas) == 60 * 30
    assert min(areas) < 60 * 30 / 2, "boxes at the border are cut off"


@pytest.mark.parametrize("alphas", [{"mixup": 0.4, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}])
def test_the_inputs_do_not_change_and_the_memory_format_is_kept(alphas: dict[str, float]) -> None:
    torch.manual_seed(1)
    images = torch.randn(4, 3, 8, 8).to(memory_format=torch.channels_last)
    targets = torch.tensor([0, 1, 2, 1])
    before = images.clone()
    mixed, soft = mix(images, targets, 3, **alphas)
    assert torch.equal(images, before)
    assert targets.tolist() == [0, 1, 2, 1]
    assert not torch.equal(mixed, before)
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert mixed.dtype == images.dtype
    assert soft.shape == (4, 3)
    torch.testing.assert_close(soft.sum(1), torch.ones(4))


def test_without_either_only_the_targets_change_their_form() -> None:
    images = torch.randn(2, 3, 4, 4)
    mixed, soft = mix(images, torch.tensor([1, 0]), 3, mixup=0.0, cutmix=0.0)
    assert torch.equal(mixed, images)
    assert soft.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_multi_label_targets_blend_class_by_class() -> None:
    _, soft = blend(flat_images([0.0, 1.0]), torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]), 0.75)
    torch.testing.assert_close(soft, torch.tensor([[0.75, 1.0, 0.0], [0.25, 1.0, 0.0]]))


def test_a_single_image_is_its_own_partner() -> None:
    torch.manual_seed(0)
    images = torch.randn(1, 3, 8, 8)
    for alphas in ({"mixup": 1.0, "cutmix": 0.0}, {"mixup": 0.0, "cutmix": 1.0}):
        mixed, soft = mix(images, torch.tensor([1]), 2, **alphas)
        torch.testing.assert_close(mixed, images)
        torch.testing.assert_close(soft, torch.tensor([[0.0, 1.0]]))


def test_draws_follow_torchs_generator() -> None:
    images, targets = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])

    def draw(seed: int) -> list[Tensor]:
        torch.manual_seed(seed)
        return [part for _ in range(4) for part in mix(images, targets, 4, mixup=0.5, cutmix=1.0)]

    assert all(torch.equal(a, b) for a, b in zip(draw(3), draw(3), strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(draw(3), draw(4), strict=True))


def test_with_both_each_is_drawn_about_half_of_the_time() -> None:
    torch.manual_seed(0)
    images = flat_images([0.0, 1.0], (16, 16))
    blended = 0
    for _ in range(200):
        mixed, _ = mix(images, torch.tensor([0, 1]), 2, mixup=1.0, cutmix=1.0)
        blended += bool(((mixed > 0) & (mixed < 1)).any())
    assert 70 < blended < 130


@pytest.mark.parametrize("a", [0.2, 1.0, 4.0])
def test_shares_have_the_mean_and_variance_of_beta(a: float) -> None:
    torch.manual_seed(0)
    drawn = torch.tensor([share(a) for _ in range(4000)])
    assert drawn.mean() == pytest.approx(0.5, abs=0.02)
    assert drawn.var() == pytest.approx(1 / (4 * (2 * a + 1)), rel=0.1)


def test_label_smoothing_composes_with_soft_targets() -> None:
    head = LinearHead([Level("c5", 4, 32)], ["a", "b"], label_smoothing=0.2)
    logits = torch.tensor([[1.0, -1.0]])
    soft = torch.tensor([[0.75, 0.25]])
    smoothed = 0.8 * soft + 0.2 / 2
    torch.testing.assert_close(head.loss(logits, soft)["loss"], -(smoothed * logits.log_softmax(1)).sum())
