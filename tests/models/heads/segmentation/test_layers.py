from __future__ import annotations

import pytest
import torch
from torch import nn

from resnet_tl.models.heads.segmentation.layers import BinMeans, OnLevel, PooledBranch, enlarge, separable_norm_relu
from resnet_tl.structures.records import Level


def test_a_map_is_enlarged_over_the_pixels_it_was_computed_from() -> None:
    cells = torch.arange(3.0).view(1, 1, 1, 3)
    assert enlarge(cells, 4, (2, 9), "nearest")[0, 0].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1, 2]] * 2
    assert enlarge(cells, 1, (1, 2)).tolist() == [[[[0, 1]]]]


def test_a_pooled_branch_with_one_bin_is_the_same_everywhere() -> None:
    out = PooledBranch(4, 6, bins=1).eval()(torch.randn(2, 4, 5, 7))
    assert out.shape == (2, 6, 5, 7)
    torch.testing.assert_close(out, out[..., :1, :1].expand_as(out))


def test_a_separable_convolution_keeps_the_size_and_mixes_channels_in_one_pixel_only() -> None:
    depthwise, pointwise, *_ = separable_norm_relu(4, 6, dilation=3)
    assert (depthwise.groups, pointwise.kernel_size) == (4, (1, 1))
    assert nn.Sequential(*separable_norm_relu(4, 6, dilation=3))(torch.randn(2, 4, 9, 11)).shape == (2, 6, 9, 11)


def test_a_decoder_on_a_level_reads_only_that_level() -> None:
    decoder = OnLevel(Level("c4", 4, 16), 6, nn.Conv2d(4, 6, 1))
    assert (decoder.reads, decoder.channels, decoder.stride) == (("c4",), 6, 16)
    assert decoder({"c4": torch.randn(1, 4, 3, 3)}).shape == (1, 6, 3, 3)


@pytest.mark.parametrize("size", [(6, 6), (5, 7), (4, 13)])
def test_means_of_bins_are_the_same_in_exported_graphs(size: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    x, means = torch.randn(2, 3, *size), BinMeans(6)
    expected = means(x)
    monkeypatch.setattr("torch.compiler.is_exporting", lambda: True)
    torch.testing.assert_close(means(x), expected)
