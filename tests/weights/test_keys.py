"""The network in a file is found, whatever wraps it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from resnet_tl.models.resnet import resnet
from resnet_tl.weights.keys import find_layout

TRUNK = {key: torch.rand(value.shape) for key, value in resnet("resnet_tiny").state_dict().items()}
SHAPES = {key: tuple(value.shape) for key, value in TRUNK.items()}


def wrapped(prefix: str, tensors: dict[str, Tensor] = TRUNK) -> dict[str, Tensor]:
    return {prefix + key: tensor for key, tensor in tensors.items()}


def other() -> dict[str, Tensor]:
    return {key: torch.rand(value.shape) for key, value in TRUNK.items()}


LAYOUTS: dict[str, tuple[Any, tuple[str, ...], str]] = {
    "torchvision": (TRUNK, (), ""),
    "data parallel": ({"epoch": 3, "state_dict": wrapped("module."), "best": 0.1}, ("state_dict",), "module."),
    "compiled": ({"model": wrapped("_orig_mod.")}, ("model",), "_orig_mod."),
    "compiled and parallel": ({"model_state": wrapped("module._orig_mod.")}, ("model_state",), "module._orig_mod."),
    "mmpretrain": ({"meta": {}, "state_dict": wrapped("backbone.")}, ("state_dict",), "backbone."),
    "segmentation_models": (wrapped("encoder."), (), "encoder."),
    "lightning": ({"state_dict": wrapped("model."), "callbacks": {}}, ("state_dict",), "model."),
    "faster r-cnn": (wrapped("backbone.body.") | {"rpn.head.conv.0.0.weight": torch.rand(2, 2)}, (), "backbone.body."),
    "two levels": ({"network": {"trunk": TRUNK}}, ("network", "trunk"), ""),
    "ours": ({"state_dict": wrapped("network.trunk.")}, ("state_dict",), "network.trunk."),
    "trunk alone": (wrapped("trunk."), (), "trunk."),
    "moco v1, v2": (
        {
            "state_dict": wrapped("module.encoder_k.", other())
            | wrapped("module.encoder_q.")
            | {"module.queue": torch.rand(2)}
        },
        ("state_dict",),
        "module.encoder_q.",
    ),
    "moco v3": (
        {"state_dict": wrapped("module.momentum_encoder.", other()) | wrapped("module.base_encoder.")},
        ("state_dict",),
        "module.base_encoder.",
    ),
    "dino": (
        {"student": wrapped("module.backbone.", other()), "teacher": wrapped("backbone."), "epoch": 1},
        ("teacher",),
        "backbone.",
    ),
    "averaged and raw": ({"ema": TRUNK, "model": other()}, ("ema",), ""),
    "state_dict and raw": ({"state_dict": TRUNK, "state_dict_raw": other()}, ("state_dict",), ""),
    "averaged": ({"state_dict": other(), "state_dict_ema": TRUNK}, ("state_dict_ema",), ""),
    "averaged model": (
        {"model": other(), "model_ema": TRUNK, "optimizer": {"state": {0: {"m": torch.rand(2)}}}},
        ("model_ema",),
        "",
    ),
}


@pytest.mark.parametrize(("content", "path", "prefix"), LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("backwards", [False, True], ids=["", "backwards"])
def test_a_layout_is_unwrapped(content: Any, path: tuple[str, ...], prefix: str, backwards: bool) -> None:
    layout = find_layout(dict(reversed(content.items())) if backwards else content, SHAPES)
    assert (layout.path, layout.prefix) == (path, prefix)
    assert layout.matched == sum("num_batches" not in key for key in SHAPES)
    assert all(layout.tensors[key] is tensor for key, tensor in TRUNK.items())


def test_of_two_networks_in_a_file_the_one_that_fits_is_chosen() -> None:
    bigger = {key: torch.rand([2 * size for size in value.shape]) for key, value in TRUNK.items()}
    assert find_layout({"teacher": bigger, "student": TRUNK}, SHAPES).path == ("student",)
    assert find_layout(wrapped("a.", bigger) | wrapped("b.") | wrapped("c.", bigger), SHAPES).prefix == "b."


def test_if_nothing_fits_the_place_with_most_names_is_chosen() -> None:
    """So that the error names the network, not a block in it with the same shapes."""
    bigger = {key: torch.rand([2 * size for size in value.shape]) for key, value in TRUNK.items()}
    bigger["layer1.0.conv1.weight"] = TRUNK["conv1.weight"]
    assert find_layout(wrapped("module.", bigger), SHAPES).prefix == "module."


@pytest.mark.parametrize(
    ("prefix", "place"),
    [
        ("", "fc."),
        ("module.", "module.linear."),
        ("", "head.fc."),
        ("backbone.", "head.fc."),
        ("model.backbone.", "model.classifier."),
        ("network.trunk.", "network.head.fc."),
        ("", "last_linear."),
    ],
)
def test_the_classifier_is_found_next_to_the_trunk_or_around_it(prefix: str, place: str) -> None:
    weight, bias = torch.rand(5, 32), torch.rand(5)
    layout = find_layout(wrapped(prefix) | {f"{place}weight": weight, f"{place}bias": bias}, SHAPES)
    assert layout.tensors["fc.weight"] is weight
    assert layout.tensors["fc.bias"] is bias
    assert layout.others == []


def test_other_layers_of_a_head_are_found() -> None:
    hidden = {"network.head.hidden.weight": torch.rand(4, 32), "network.head.fc.weight": torch.rand(5, 4)}
    layout = find_layout(wrapped("network.trunk.") | hidden, SHAPES)
    assert {key for key in layout.tensors if key not in TRUNK} == {"fc.weight", "head.hidden.weight"}


def test_keys_outside_the_prefix_are_listed() -> None:
    layout = find_layout(wrapped("module.encoder.") | {"module.queue": torch.rand(2)}, SHAPES)
    assert layout.others == ["module.queue"]


def test_another_kind_of_network_matches_nothing() -> None:
    layout = find_layout({"_conv_stem.weight": torch.rand(3), "_blocks.0._bn1.weight": torch.rand(2)}, SHAPES)
    assert (layout.matched, layout.tensors) == (0, {})


names = st.lists(st.sampled_from(["module", "model", "a", "layer1", "0", "state_dict", "teacher"]), max_size=3)


@given(path=names, prefix=names, order=st.randoms())
def test_any_nesting_and_prefix_is_found(path: list[str], prefix: list[str], order: Any) -> None:
    items = list(wrapped("".join(f"{word}." for word in prefix)).items())
    order.shuffle(items)
    content: dict[str, Any] = dict(items)
    for word in reversed(path):
        content = {"epoch": 1, word: content}
    layout = find_layout(content, SHAPES)
    assert all(layout.tensors[key] is tensor for key, tensor in TRUNK.items())
