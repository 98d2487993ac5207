from __future__ import annotations

import pytest
import torch

from resnet_tl.weights.detectors import holds_detector, native_key, to_native_keys


@pytest.mark.parametrize(
    ("key", "ours"),
    [
        ("backbone.body.layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("backbone.fpn.inner_blocks.1.bias", "neck.top_down.lateral.c4.0.bias"),
        ("backbone.fpn.layer_blocks.0.1.running_mean", "neck.top_down.smooth.p3.1.running_mean"),
        ("backbone.fpn.extra_blocks.p6.weight", "neck.beyond.convs.p6.weight"),
        ("head.classification_head.conv.6.weight", "head.what.6.weight"),
        ("head.regression_head.conv.3.0.weight", "head.where.9.weight"),
        ("head.regression_head.conv.3.1.bias", "head.where.10.bias"),
        ("rpn.head.conv.bias", "head.rpn.head.conv.0.0.bias"),
        ("rpn.head.conv.0.0.bias", "head.rpn.head.conv.0.0.bias"),
        ("roi_heads.mask_head.mask_fcn4.bias", "head.roi_heads.mask_head.3.0.bias"),
        ("roi_heads.box_head.fc6.weight", "head.roi_heads.box_head.fc6.weight"),
    ],
)
def test_native_keys_of_torchvision_keys(key: str, ours: str) -> None:
    assert native_key(key, first=3, layers=3) == ours


def test_a_nested_detector_is_renamed_and_other_content_is_untouched() -> None:
    tensors = {
        "backbone.body.conv1.weight": torch.zeros(1),
        **{f"backbone.fpn.inner_blocks.{block}.0.weight": torch.full((1,), float(block)) for block in range(3)},
        "head.classification_head.conv.1.0.weight": torch.ones(1),
    }
    content = {"model": tensors, "epoch": 3}
    assert holds_detector(content)
    renamed = to_native_keys(content)
    assert renamed["epoch"] == 3
    assert list(renamed["model"]) == [
        "conv1.weight",
        *(f"neck.top_down.lateral.c{level}.0.weight" for level in (3, 4, 5)),
        "head.what.2.weight",
    ]
    assert content["model"] is tensors, "the caller's dictionary keeps its keys"
    assert not holds_detector({"state_dict": {"conv1.weight": torch.zeros(1)}})
