"""Of a file with other classes than the data's, the rows of those that it knows by name are kept."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resnet_tl.errors import WeightsError
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.retinanet import RetinaNet
from resnet_tl.models.heads.segmentation.fcn import FCNHead
from resnet_tl.models.heads.two_stage import MaskRCNN
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.models.pyramid import FPN
from resnet_tl.tasks.classification import Classification
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.known_classes import with_known_classes
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord
from resnet_tl.weights.report import Report

from .conftest import randomised

NAMES = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=6, unique=True)
KINDS = {"fc.weight": (1, 0), "head.logits.bias": (3, 0), "head.roi_heads.box_predictor.bbox_pred.weight": (4, 1)}
"""Key -> the outputs of a class (of a dense head, one for each anchor), and of the background."""


def numbered(key: str, classes: int, start: int) -> torch.Tensor:
    """Tensors in which every output has a number of its own."""
    outputs, background = KINDS[key]
    rows = torch.arange(outputs * (classes + background)) + float(start)
    return rows if key.endswith("bias") else rows[:, None].expand(-1, 2).clone()


def output(key: str, tensor: torch.Tensor, classes: int, index: int) -> np.ndarray:
    """The outputs of a class, -1 is the background, by counting them."""
    outputs, background = KINDS[key]
    dense = key.startswith("head.logits")
    places = [index + a * classes for a in range(outputs)] if dense else [
        (index + background) * outputs + r for r in range(outputs)
    ]  # fmt: skip
    return tensor.numpy()[places]


@pytest.mark.parametrize("key", KINDS)
@given(file=NAMES, data=NAMES)
def test_each_class_has_the_files_outputs_or_the_networks(key: str, file: list[str], data: list[str]) -> None:
    own, stored, report = numbered(key, len(data), 1000), numbered(key, len(file), 0), Report("file")
    given_values = stored.clone()
    call = partial(with_known_classes, {key: own}, {key: stored}, WeightRecord("f", classes=tuple(file)), data, report)
    if not set(file) & set(data):
        with pytest.raises(WeightsError, match="no class name is in both"):
            call()
        return
    tensors, record, how = call()
    assert record.classes == tuple(data)
    assert report.new_classes == [name for name in data if name not in file]
    assert set(how) == {key}
    for index, name in enumerate(data):
        source = (
            output(key, stored, len(file), file.index(name)) if name in file else output(key, own, len(data), index)
        )
        np.testing.assert_array_equal(output(key, tensors[key], len(data), index), source)
    if KINDS[key][1]:
        np.testing.assert_array_equal(output(key, tensors[key], len(data), -1), output(key, stored, len(file), -1))
    assert torch.equal(stored, given_values)
    assert torch.equal(own, numbered(key, len(data), 1000))


HEADS: dict[str, Any] = {
    "LinearHead": partial(LinearHead, multi_label=True),
    "MLPHead": partial(MLPHead, hidden=8),
    "FCNHead": partial(FCNHead, auxiliary=0.4),
    "RetinaNet": RetinaNet,
    "FCOS": FCOS,
    "MaskRCNN": MaskRCNN,
}
CLASS_LAYERS = {
    "LinearHead": {"fc", "thresholds"},
    "MLPHead": {"fc"},
    "FCNHead": {"fc", "auxiliary.fc"},
    "RetinaNet": {"logits"},
    "FCOS": {"logits"},
    "MaskRCNN": {f"roi_heads.{name}" for name in (
        "box_predictor.cls_score", "box_predictor.bbox_pred", "mask_predictor.mask_fcn_logits"
    )},
}  # fmt: skip


def network(head: str, classes: str, seed: int = 0) -> Network:
    neck = partial(FPN, channels=8, outputs=("p3", "p4", "p5"))
    backbone = Backbone("resnet_tiny", norm="frozen")
    made = build(backbone, neck if head in ("RetinaNet", "FCOS", "MaskRCNN") else None, HEADS[head], list(classes))
    return randomised(made, seed)


def saved(source: Network, classes: str, folder: Path) -> str:
    state = {f"network.{key}": value for key, value in source.state_dict().items()}
    save_weights(state, WeightRecord("", classes=tuple(classes)), folder / "w.safetensors")
    return str(folder / "w.safetensors")


def load(target: Network, name: str, classes: str) -> Report:
    keys = public_keys(target)
    return load_weights(target, name, keys=keys, classes=list(classes), keep_classifier="known")[1]


@pytest.mark.parametrize("head", HEADS)
def test_all_but_rows_of_new_classes_is_loaded(head: str, tmp_path: Path) -> None:
    source, target, before = network(head, "abc"), network(head, "cxa", 1), network(head, "cxa", 1)
    report = load(target, saved(source, "abc", tmp_path), "cxa")
    assert report.new_classes == ["x"]
    assert "rows of c, a kept by name, those of x are new" in str(report)
    state, theirs, initial = target.state_dict(), source.state_dict(), before.state_dict()
    of_classes = {
        key for key in state if key.startswith(tuple(f"head.{layer}" for layer in CLASS_LAYERS[head]))
    }  # fmt: skip
    assert {key.removeprefix("head.").removesuffix(".weight").removesuffix(".bias") for key in of_classes} == (
        CLASS_LAYERS[head]
    )
    assert [key for key in state if key not in {*of_classes, "mean", "std"} and not state[key].equal(theirs[key])] == []
    for key in of_classes:
        new, kept = (np.isin(state[key].numpy(), values[key].numpy()).mean() for values in (initial, theirs))
        assert new + kept == pytest.approx(1, abs=0.01), key  # random numbers: hardly any is in both
        assert 0 < new < 0.5, key


def test_heads_of_another_kind_are_refused(tmp_path: Path) -> None:
    file = saved(network("LinearHead", "abc"), "abc", tmp_path)
    with pytest.raises(WeightsError, match=r"w\.safetensors has no layer of classes .* a run of the same task"):
        load(network("FCOS", "abd"), file, "abd")
    with pytest.raises(WeightsError, match=r"fc\.weight is \[3, 32\] .* network's \[3, 8\] .* with the same head"):
        load(network("MLPHead", "abd"), file, "abd")
    (tmp_path / "fcos").mkdir()
    file = saved(network("FCOS", "abc"), "abc", tmp_path / "fcos")
    with pytest.raises(WeightsError, match=r"head\.logits\.\w+ is .* expected a run with the same head"):
        load(network("RetinaNet", "abd"), file, "abd")


def test_names_in_common_are_needed(tmp_path: Path) -> None:
    file = saved(network("LinearHead", "abc"), "abc", tmp_path)
    with pytest.raises(WeightsError, match=r"knows a, b, c, and the data has x, y: no class name is in both"):
        load(network("LinearHead", "xy"), file, "xy")


def test_a_head_with_new_rows_counts_as_new(tmp_path: Path) -> None:
    """So that nothing freezes it untrained, or pulls it to where it starts."""
    plain = build(Backbone("resnet_tiny"), None, LinearHead, list("abc"))
    backbone = Backbone("resnet_tiny", saved(plain, "abc", tmp_path), keep_classifier="known")
    more = Classification(list("abcd"), backbone=backbone)
    assert (more.new_classes, "head" in more.loaded_stages) == (["d"], False)
    fewer = Classification(list("ba"), backbone=backbone)
    assert (fewer.new_classes, "head" in fewer.loaded_stages) == ([], True)
    none = Classification(list("abcd"), backbone=replace(backbone, keep_classifier=False))
    assert none.new_classes == []


def test_a_table_of_categories_has_its_background_and_gaps() -> None:
    """torchvision's detectors: outputs for the background and for gaps of one name, which name no class."""
    record = WeightRecord("coco", classes=("__background__", "person", "N/A", "cat", "N/A"))
    boxes, dense, report = "head.roi_heads.box_predictor.bbox_pred.bias", "head.logits.bias", Report("coco")
    own = {boxes: 100.0 + torch.arange(4 * 4), dense: 100.0 + torch.arange(2 * 3)}
    file = {boxes: torch.arange(5 * 4.0), dense: torch.arange(2 * 5.0)}
    tensors, _, _ = with_known_classes(own, file, record, ["cat", "N/A", "person"], report)
    assert report.new_classes == ["N/A"]
    assert tensors[boxes].view(4, 4)[:, 0].tolist() == [0, 12, 108, 4]
    assert tensors[dense].view(2, 3).tolist() == [[3, 101, 1], [8, 104, 6]]
