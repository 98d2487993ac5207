"""The classifier that a weight file has for its own classes, apart from the network that is trained."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from resnet_tl.errors import WeightsError
from resnet_tl.weights.detectors import to_native_keys
from resnet_tl.weights.keys import find_layout
from resnet_tl.weights.report import above_trunk
from resnet_tl.weights.sources import fetch


def file_classifier(
    module: nn.Module, name: str, channels: int, *, sha256: str | None, keys: Mapping[str, str]
) -> nn.Linear:
    """Returns the linear classifier `[C] -> [S]` of the weights called `name`, which reads pooled features.

    Args:
        module: whose trunk the weights fit.
        channels: C, of the pooled features.
        keys: the module's keys -> torchvision's.

    Raises:
        WeightsError: there is none: weights without a classifier, of a detector, or with layers before it.
    """
    content, record = fetch(name, sha256)
    state = module.state_dict()
    trunk = {public: tuple(state[key].shape) for key, public in keys.items() if not above_trunk(public)}
    tensors = find_layout(to_native_keys(content), trunk).tensors
    weight, bias = tensors.get("fc.weight"), tensors.get("fc.bias")
    layers_before = any(key.startswith("head.") and tensor.ndim > 1 for key, tensor in tensors.items())
    if weight is None or weight.shape[1:] != (channels,) or layers_before:
        raise WeightsError(
            f"{record.source} has no linear classifier of pooled features: expected weights of a classifier, with it"
        )
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(torch.zeros_like(layer.bias) if bias is None else bias)
    return layer
