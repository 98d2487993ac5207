"""The weighted mean of the weights of several networks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from resnet_tl.run.averaged_scores import Weights


def mean(states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> Weights:
    """Returns the weighted mean of each tensor; integers, which count, are those of the first.

    shares: 0 or more each, with a positive sum, by which they are divided.
    """
    total = math.fsum(shares)
    result = {}
    for key, first in states[0].items():
        if first.is_floating_point():
            pairs = zip(states, shares, strict=True)
            sum_ = sum((state[key].double() * share for state, share in pairs), torch.zeros_like(first).double())
            result[key] = (sum_ / total).to(first.dtype)
        else:
            result[key] = first.clone()
    return result
