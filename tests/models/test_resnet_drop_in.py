"""The trunk inside the models of other libraries, as in the README."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import FeaturePyramidNetwork, MultiScaleRoIAlign

import resnet_tl


def faster_rcnn(name: str, classes: int) -> FasterRCNN:
    trunk = resnet_tl.backbone(name, norm="frozen", levels=("c2", "c3", "c4", "c5"))
    channels = [level.channels for level in trunk.feature_info]
    pyramid = nn.Sequential(trunk, FeaturePyramidNetwork(channels, 64))
    pyramid.out_channels = 64
    return FasterRCNN(
        pyramid,
        num_classes=classes,
        min_size=64,
        max_size=96,
        rpn_anchor_generator=AnchorGenerator(((8,), (16,), (32,), (64,)), ((0.5, 1.0, 2.0),) * 4),
        box_roi_pool=MultiScaleRoIAlign([level.name for level in trunk.feature_info], 7, 2),
    )


def test_torchvisions_faster_rcnn_trains_and_predicts_on_it() -> None:
    model = faster_rcnn("resnet_tiny", classes=3)
    images = [torch.rand(3, 64, 80), torch.rand(3, 70, 64)]
    targets = [{"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])} for _ in images]
    sum(model(images, targets).values()).backward()
    trunk = model.backbone[0]
    assert all(parameter.grad is not None for parameter in trunk.parameters())
    predictions = model.eval()(images)
    assert [set(prediction) for prediction in predictions] == [{"boxes", "labels", "scores"}] * 2


class UNetDecoder(nn.Module):
    """Decodes as in segmentation_models.pytorch: from the encoder's list of maps, image first, to one map of its
    size."""

    def __init__(self, encoder_channels: Sequence[int], decoder_channels: Sequence[int]) -> None:
        super().__init__()
        deepest, *skips = reversed(encoder_channels)
        inputs = [deepest, *decoder_channels[:-1]]
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Conv2d(below + skip, out, 3, padding=1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
            for below, skip, out in zip(inputs, skips, decoder_channels, strict=True)
        )

    def forward(self, *features: Tensor) -> Tensor:
        x, *skips = reversed(features)
        for block, skip in zip(self.blocks, skips, strict=True):
            x = nn.functional.interpolate(x, size=skip.shape[-2:], mode="nearest")
            x = block(torch.cat([x, skip], dim=1))
        return x


class Segmenter(nn.Module):
    def __init__(self, name: str, classes: int, in_channels: int) -> None:
        super().__init__()
        self.encoder = resnet_tl.backbone(name, in_channels=in_channels)
        channels = [in_channels, *(level.channels for level in self.encoder.feature_info)]
        self.decoder = UNetDecoder(channels, (32, 24, 16, 16, 8))
        self.head = nn.Conv2d(8, classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.decoder(x, *self.encoder(x).values()))


def test_a_segmentation_decoder_trains_on_it() -> None:
    model = Segmenter("resnet_tiny", classes=5, in_channels=4)
    logits = model(torch.randn(2, 4, 65, 96))
    assert logits.shape == (2, 5, 65, 96)
    nn.functional.cross_entropy(logits, torch.randint(5, (2, 65, 96))).backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
