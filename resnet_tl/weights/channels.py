"""Weights for images with another number of channels.

Input channel `c` of the old images is read from channel `c` of the new ones, and beyond the end the count starts at
the first again: more channels share a weight evenly, fewer sum the weights that fall on them. So each filter's weights
keep their sum, and the same normalised grey in all channels gives the same response before and after.

Mean and std go the same way. Where the new images have more channels, a grey in raw pixels, too, gives the same
response. Where they have fewer, the folded channels share the average of their means, and a raw grey differs by as much
as those means differ: ImageNet's by 0.08, a sixth of its mean.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from resnet_tl.structures.records import Preprocessing


def over_channels(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight `[O, I, kh, kw]` for images with `channels` channels: `[O, channels, kh, kw]`."""
    inputs = weight.shape[1]
    if channels < inputs:
        folded = weight.new_zeros(weight.shape[0], channels, *weight.shape[2:])
        return folded.index_add_(1, torch.arange(inputs) % channels, weight)
    source = torch.arange(channels) % inputs
    shares = torch.bincount(source)[source]
    return weight[:, source] / shares.view(1, -1, 1, 1).to(weight.dtype)


def preprocessing_over_channels(preprocessing: Preprocessing, channels: int) -> Preprocessing:
    """Mean and std, one value a channel, to go with `over_channels`."""
    return replace(
        preprocessing,
        mean=_values_over_channels(preprocessing.mean, channels),
        std=_values_over_channels(preprocessing.std, channels),
    )


def _values_over_channels(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels >= len(values):
        return tuple(values[channel % len(values)] for channel in range(channels))
    folded = [values[channel::channels] for channel in range(channels)]
    return tuple(sum(group) / len(group) for group in folded)
