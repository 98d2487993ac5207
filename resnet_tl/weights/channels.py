"""Adapts weights to images with another number of channels.

New channel `c` takes the weights of old channel `c`, and channels beyond the end start again at the first: more
channels share a weight evenly, fewer sum the weights that fall on them. So the weights of each filter keep their sum,
and the same normalised grey in all channels gives the same response before and after.

Mean and std are adapted in the same way. With more channels, a grey in raw pixels also gives the same response. With
fewer, folded channels use the average of their means, so the response to a raw grey changes as far as those means
differ: by 0.08 for ImageNet, a sixth of its mean.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from resnet_tl.structures.records import Preprocessing


def adapt_channels(weight: Tensor, channels: int) -> Tensor:
    """Adapts a convolution's weight `[O, I, kh, kw]` to images with `channels` channels: `[O, channels, kh, kw]`."""
    inputs = weight.shape[1]
    if channels < inputs:
        folded = weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])
        return folded.index_add_(1, torch.arange(inputs) % channels, weight)
    source = torch.arange(channels) % inputs
    shares = torch.bincount(source)[source]
    return weight[:, source] / shares.view(1, -1, 1, 1).to(weight.dtype)


def adapt_preprocessing(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Adapts mean and std, one value per channel, as `adapt_channels` adapts weights."""
    return replace(
        preprocessing,
        mean=_adapt_values(preprocessing.mean, channels),
        std=_adapt_values(preprocessing.std, channels),
    )


def _adapt_values(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels >= len(values):
        return tuple(values[channel % len(values)] for channel in range(channels))
    folded = [values[channel::channels] for channel in range(channels)]
    return tuple(sum(group) / len(group) for group in folded)
