"""Several networks as one."""

from __future__ import annotations

import functools
from typing import Any

import pytest
import torch
from torch import Tensor

from resnet_tl.models.box_fusion import fuse
from resnet_tl.models.ensemble import ensemble
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.heads.segmentation.unet import UNetHead
from resnet_tl.models.heads.two_stage import FasterRCNN
from resnet_tl.models.inference import Inference, segment
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.pyramid import FPN
from resnet_tl.structures.records import Boxes

CLASSES = ["a", "b", "c"]


def networks(head: Any, neck: Any = None, count: int = 3) -> list[Network]:
    """With different weights, and a classifier far from zero."""
    every = []
    for seed in range(count):
        torch.manual_seed(seed)
        network = build(Backbone("resnet_tiny"), neck, head, CLASSES).eval()
        if hasattr(network.head, "fc"):
            torch.nn.init.normal_(network.head.fc.weight)
        every.append(network)
    return every


@pytest.fixture
def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("multi_label", [False, True])
def test_probabilities_of_classes_are_the_mean_of_the_calibrated_ones(images: Tensor, multi_label: bool) -> None:
    members = networks(functools.partial(LinearHead, multi_label=multi_label, thresholds=0.8 if multi_label else 0.5))
    temperatures = [[1.0, 2.0, 0.5], [1.0], [3.0] * 3] if multi_label else [[0.5], [1.0], [3.0]]
    joined = ensemble(members, temperatures)
    each = [m.head.predict(m(images) / torch.tensor(t)) for m, t in zip(members, temperatures, strict=True)]
    found = joined.head.predict(joined(images))
    torch.testing.assert_close(found, torch.stack(each).mean(0))
    if multi_label:
        limit = torch.tensor(0.8).logit()
        moved = torch.stack([(limit / torch.tensor(t)).sigmoid().expand(3) for t in temperatures]).mean(0)
        torch.testing.assert_close(joined.head.thresholds, moved)
        targets = torch.tensor([[1.0, 0, 1], [0, 0, 1]])
        expected = torch.nn.functional.binary_cross_entropy(found, targets)
    else:
        targets = torch.tensor([0, 2])
        expected = torch.nn.functional.nll_loss(found.log(), targets)
        assert joined.head.thresholds is None
    torch.testing.assert_close(joined.head.loss(joined(images), targets)["loss"], expected)


def test_numbers_are_the_mean_in_their_own_units(images: Tensor) -> None:
    """Each member has learned another scale, as folds do."""
    members = networks(functools.partial(RegressionHead, loss="quantiles"))
    for number, member in enumerate(members):
        member.head.set_scale([10.0 * number, 1.0, 5.0], [1.0 + number, 2.0, 3.0])  # type: ignore[operator]
    joined, each = ensemble(members), torch.stack([member.head.predict(member(images)) for member in members])
    torch.testing.assert_close(joined.head.predict(joined(images)), each.mean(0))
    targets = torch.tensor([[1.0, 2, 3], [4, 5, 6]])
    expected = members[0].head.loss(joined(images), targets)["loss"]
    assert joined.head.loss(joined(images), targets)["loss"] == expected
    assert (joined.head.sd == members[0].head.sd).all()  # type: ignore[operator, union-attr]


def test_members_that_are_all_certain_have_finite_outputs(images: Tensor) -> None:
    members = networks(LinearHead)
    for member in members:
        torch.nn.init.constant_(member.head.fc.weight, 0.0)  # type: ignore[union-attr, arg-type]
        member.head.fc.bias.data = torch.tensor([500.0, 0, -500])  # type: ignore[union-attr]
    joined = ensemble(members)
    assert joined(images).isfinite().all()
    assert joined.head.predict(joined(images))[0].tolist() == pytest.approx([1, 0, 0])


@pytest.mark.parametrize("inference", [Inference(), Inference(tile=32, overlap=8)])
def test_probabilities_of_pixels_are_means(images: Tensor, inference: Inference) -> None:
    members = networks(UNetHead)
    joined = ensemble(members)
    each = torch.stack([m.head.predict(m(images)) for m in members])
    torch.testing.assert_close(joined.head.predict(joined(images)), each.mean(0))
    logits = segment(joined, images, None, inference)
    assert logits.shape == (2, 3, 64, 96)
    if not inference.tile:
        torch.testing.assert_close(logits.softmax(1), each.mean(0))


@pytest.mark.parametrize("head", [functools.partial(FCOS, convs=1, norm="group", detections=5), FasterRCNN])
def test_boxes_are_fused_and_losses_averaged(images: Tensor, head: Any) -> None:
    levels = ("p2", "p3", "p4", "p5") if head is FasterRCNN else ("p3", "p4", "p5")
    members = networks(head, functools.partial(FPN, channels=16, outputs=levels))
    joined = ensemble(members)
    outputs = joined(images)
    for value, expected in zip(
        joined.head.predict(outputs), fuse([m.head.predict(m(images)) for m in members]), strict=True
    ):
        torch.testing.assert_close(value, expected)
    targets = Boxes(
        boxes=torch.tensor([[5.0, 5, 40, 40]]),
        labels=torch.tensor([1]),
        image=torch.tensor([0]),
        crowd=torch.tensor([False]),
        area=torch.tensor([1225.0]),
    )
    torch.manual_seed(0)
    losses = joined.head.loss(outputs.image(0), targets)
    torch.manual_seed(0)
    each = [m.head.loss(m(images).image(0), targets) for m in members]
    assert losses.keys() == each[0].keys()
    for name, value in losses.items():
        torch.testing.assert_close(value, torch.stack([terms[name] for terms in each]).mean())


def test_it_is_a_network_with_the_preprocessing_of_its_members() -> None:
    members = networks(LinearHead)
    joined = ensemble(members)
    assert joined.preprocessing == members[0].preprocessing
    torch.testing.assert_close(joined.mean, members[0].mean)
    counted = [id(p) for modules in joined.stages().values() for module in modules for p in module.parameters()]
    assert sorted(counted) == sorted(id(p) for member in members for p in member.parameters())
