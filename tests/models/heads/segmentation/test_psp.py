from __future__ import annotations

import torch

from resnet_tl.models.heads.segmentation.psp import PSPHead, PyramidPooling
from resnet_tl.structures.records import Level


def test_pooling_appends_means_over_parts_to_the_map() -> None:
    torch.manual_seed(0)
    pooling = PyramidPooling(4, 2, bins=(1, 3)).eval()
    x = torch.randn(2, 4, 6, 6)
    out = pooling(x)
    assert out.shape == (2, 4 + 2 * 2, 6, 6)
    assert torch.equal(out[:, :4], x)
    shuffled = pooling(x.flip(2, 3))
    torch.testing.assert_close(shuffled[:, 4:6], out[:, 4:6])  # the mean over the whole image
    torch.testing.assert_close(shuffled[:, 6:], out[:, 6:].flip(2, 3))  # means over thirds, mirrored with the map


def test_each_mean_has_an_equal_share_of_the_channels() -> None:
    head = PSPHead([Level("c5", 32, 8)], ["a", "b"])
    assert [branch[1].out_channels for branch in head.decoder[0].branches] == [8, 8, 8, 8]
    assert head.decoder.channels == 512
