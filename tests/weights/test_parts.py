"""Necks and detection heads: what is loaded from a file, and the account of it."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.models.pyramid import FPN
from resnet_tl.models.resnet import resnet
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report

from .conftest import randomised

ANIMALS = ["ant", "bee", "cat", "dog"]


def network(classes: list[str], head: type = RetinaNet, **options: int) -> Network:
    neck = functools.partial(FPN, channels=8, outputs=("p3", "p4", "p5"))
    made = build(Backbone("resnet_tiny", norm="frozen"), neck, functools.partial(head, **options), classes)
    return randomised(made)


def saved(source: Network, path: Path, classes: list[str] | None) -> str:
    """Saves with the keys of a checkpoint."""
    state = {f"network.{key}": value for key, value in source.state_dict().items()}
    save_weights(state, WeightRecord("", classes=None if classes is None else tuple(classes)), path / "w.safetensors")
    return str(path / "w.safetensors")


def load(target: Network, name: str, classes: list[str], keep: bool = False) -> Report:
    _, report = load_weights(target, name, keys=public_keys(target), classes=classes, keep_classifier=keep)
    return report


def differing(one: Network, other: Network) -> set[str]:
    theirs = other.state_dict()
    return {key for key, value in one.state_dict().items() if not torch.equal(value, theirs[key])}


def cleared(target: Network) -> Network:
    for value in target.state_dict().values():
        value.zero_()
    return target


@pytest.mark.parametrize("head", [RetinaNet, MaskRCNN])
def test_the_same_network_is_filled_completely(head: type, tmp_path: Path) -> None:
    source, target = network(ANIMALS, head), cleared(network(ANIMALS, head))
    report = load(target, saved(source, tmp_path, ANIMALS), ANIMALS)
    assert differing(source, target) == {"mean", "std"}
    assert (report.skipped, report.missing, report.unexpected, report.adapted) == (
        {},
        [],
        ["network.mean", "network.std"],
        {},
    )


def rows(value: Tensor, classes: int, anchors: int = 9) -> Tensor:
    return value.unflatten(0, (anchors, classes))


def test_a_dense_head_keeps_known_classes_in_the_order_of_the_data(tmp_path: Path) -> None:
    source, target = network(ANIMALS), cleared(network(["dog", "bee"]))
    report = load(target, saved(source, tmp_path, ANIMALS), ["dog", "bee"])
    assert differing_parts(source, target) == {"head.logits.weight", "head.logits.bias"}
    for name in ("weight", "bias"):
        theirs, ours = getattr(source.head.logits, name), getattr(target.head.logits, name)
        assert torch.equal(rows(ours, 2), rows(theirs, 4)[:, [3, 1]])
    assert set(report.adapted) == {"head.logits.weight", "head.logits.bias"}


def test_a_second_stage_keeps_the_background_and_known_classes(tmp_path: Path) -> None:
    source, target = network(ANIMALS, MaskRCNN), cleared(network(["dog", "bee"], MaskRCNN))
    load(target, saved(source, tmp_path, ANIMALS), ["dog", "bee"])
    theirs, ours = source.head.roi_heads, target.head.roi_heads
    assert torch.equal(ours.box_predictor.cls_score.weight, theirs.box_predictor.cls_score.weight[[0, 4, 2]])
    assert torch.equal(
        ours.box_predictor.bbox_pred.bias.view(3, 4), theirs.box_predictor.bbox_pred.bias.view(5, 4)[[0, 4, 2]]
    )
    assert torch.equal(ours.mask_predictor.mask_fcn_logits.bias, theirs.mask_predictor.mask_fcn_logits.bias[[0, 4, 2]])


def differing_parts(one: Network, other: Network) -> set[str]:
    theirs = other.state_dict()
    mine = one.state_dict()
    alike = {key for key, value in mine.items() if value.shape == theirs[key].shape and value.equal(theirs[key])}
    return mine.keys() - alike - {"mean", "std"}


@pytest.mark.parametrize(
    ("known", "why"),
    [(ANIMALS, "its 4 classes have none called 'cow'"), (None, "the names of its classes are unknown")],
)
def test_other_classes_keep_trunk_neck_and_towers_and_are_reported(
    known: list[str] | None, why: str, tmp_path: Path
) -> None:
    source, target = network(ANIMALS), cleared(network(["ant", "cow", "bee"]))
    report = load(target, saved(source, tmp_path, known), ["ant", "cow", "bee"])
    assert differing_parts(source, target) == {"head.logits.weight", "head.logits.bias"}
    assert not target.head.logits.weight.any()
    assert set(report.skipped) == {"head.logits.weight", "head.logits.bias"}
    assert why in str(report)
    assert "of the neck and head" in str(report)


def test_classes_are_kept_on_request_if_their_number_agrees(tmp_path: Path) -> None:
    source, target = network(ANIMALS), cleared(network(list("wxyz")))
    file = saved(source, tmp_path, None)
    load(target, file, list("wxyz"), keep=True)
    assert differing(source, target) == {"mean", "std"}
    words = (
        r"w\.safetensors: head\.logits\.\w+ is .*, not .*: its classes cannot be kept \(backbone\.keep_classifier\)$"
    )
    with pytest.raises(WeightsError, match=words):
        load(network(["x"]), file, ["x"], keep=True)


def test_weights_of_a_trunk_leave_neck_and_head_unchanged(tmp_path: Path) -> None:
    target = network(ANIMALS)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    trunk = randomised(resnet("resnet_tiny"), seed=1)
    torch.save(trunk.state_dict(), tmp_path / "trunk.pth")
    report = load(target, str(tmp_path / "trunk.pth"), ANIMALS)
    after = target.state_dict()
    weights = [key for key in before if not key.endswith("num_batches_tracked")]
    assert all(torch.equal(after[key], before[key]) == (not key.startswith("trunk.")) for key in weights)
    assert {key.partition(".")[0] for key in report.missing} == {"neck", "head"}


def test_another_neck_is_skipped_with_its_shapes(tmp_path: Path) -> None:
    neck = functools.partial(FPN, channels=16, outputs=("p3", "p4", "p5"))
    target = build(Backbone("resnet_tiny", norm="frozen"), neck, RetinaNet, ANIMALS)
    report = load(target, saved(network(ANIMALS), tmp_path, ANIMALS), ANIMALS)
    assert report.skipped["neck.top_down.lateral.c3.0.weight"] == "[8, 16, 1, 1], not [16, 16, 1, 1]"
