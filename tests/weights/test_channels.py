"""A grey image gives the same response in any number of channels."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import conv2d

from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.channels import adapt_channels, adapt_preprocessing


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 13])
@pytest.mark.parametrize("inputs", [1, 3, 4])
def test_a_normalised_grey_image_gives_the_same_response(inputs: int, channels: int) -> None:
    weight = torch.randn(8, inputs, 5, 5, dtype=torch.float64)
    grey = torch.randn(2, 1, 12, 12, dtype=torch.float64)
    before = conv2d(grey.expand(-1, inputs, -1, -1), weight, padding=2)
    after = conv2d(grey.expand(-1, channels, -1, -1), adapt_channels(weight, channels), padding=2)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("channels", [3, 4, 5, 6, 8])
def test_with_more_channels_so_does_a_grey_in_raw_pixels(channels: int) -> None:
    weight = torch.randn(8, 3, 5, 5, dtype=torch.float64)
    grey = torch.rand(2, 1, 12, 12, dtype=torch.float64)
    published = Preprocessing()
    before = conv2d(normalised(grey, published), weight, padding=2)
    ours = adapt_preprocessing(published, channels)
    after = conv2d(normalised(grey, ours), adapt_channels(weight, channels), padding=2)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=1e-12)


def test_the_first_three_of_four_channels_still_see_their_colours() -> None:
    weight = torch.randn(8, 3, 5, 5)
    red, green, blue, fourth = adapt_channels(weight, 4).unbind(1)
    torch.testing.assert_close(red + fourth, weight[:, 0])
    torch.testing.assert_close(torch.stack([green, blue], 1), weight[:, 1:])


def test_the_same_number_of_channels_changes_nothing() -> None:
    weight = torch.randn(8, 3, 5, 5)
    assert torch.equal(adapt_channels(weight, 3), weight)
    assert adapt_preprocessing(Preprocessing(), 3) == Preprocessing()


def test_grey_images_use_the_average_of_mean_and_std() -> None:
    grey = adapt_preprocessing(Preprocessing(mean=(0.2, 0.4, 0.9), std=(0.1, 0.2, 0.6)), 1)
    assert grey.mean == pytest.approx((0.5,))
    assert grey.std == pytest.approx((0.3,))


def normalised(grey: torch.Tensor, preprocessing: Preprocessing) -> torch.Tensor:
    mean, std = (torch.tensor(values).double().view(1, -1, 1, 1) for values in (preprocessing.mean, preprocessing.std))
    return (grey.expand(-1, mean.shape[1], -1, -1) - mean) / std
