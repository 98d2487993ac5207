"""The common part of segmentation heads: a decoder, a classifier of its cells, losses, an auxiliary head."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, NamedTuple, Protocol, TypeAlias, cast

import torch
from annotated_types import Ge, Le, MinLen
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.base import Head, at_least_fp32
from resnet_tl.models.heads.segmentation.layers import OnLevel, conv_norm_relu, enlarge, initialise
from resnet_tl.models.heads.segmentation.losses import CrossEntropy, PixelLoss
from resnet_tl.ranges import NonNegativeFloat, checked
from resnet_tl.structures.records import Level

LossFactory: TypeAlias = Callable[[list[str]], PixelLoss]


class Decoder(Protocol):
    """An `nn.Module` from maps `{level: [N, C, H', W']}` to `[N, channels, ceil(H / stride), ceil(W / stride)]`, for
    images of H x W pixels."""

    channels: int
    stride: int

    def __call__(self, maps: dict[str, Tensor]) -> Tensor: ...


class PixelLogits(NamedTuple):
    """Logits `[N, K, H, W]` in fp32, at the input's size: of the head, and of the auxiliary head if there is one."""

    main: Tensor
    auxiliary: Tensor | None


@checked("head")
class SegmentationHead(Head):
    """A decoder, and a convolution `fc` that classifies its cells; subclasses choose the decoder.

    Args:
        levels: those that the decoder may read.
        classes: K names, two or more.
        decoder: see `Decoder`.
        kernel: of `fc`, in cells.
        losses: summed to the loss; a recipe lists them, `[{class_path: CrossEntropy}, {class_path: Dice}]`.
        auxiliary: weight of the loss of an FCN head on the second deepest level (PSPNet: 0.4, arXiv:1612.01105,
            section 3.3); 0: no auxiliary head.

    Targets are class indices `[N, H, W]`, `records.IGNORE` for unknown pixels. Predictions are probabilities
    `[N, K, H, W]`. Inputs may have any size: maps cover slightly more than the image, and the surplus is cropped.
    """

    decoder: Decoder

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        decoder: Decoder,
        *,
        kernel: Annotated[int, Ge(1), Le(15)] = 1,
        losses: Annotated[Sequence[LossFactory], MinLen(1)] = (CrossEntropy,),
        auxiliary: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__()
        if len(classes) < 2:
            raise RecipeError(
                f"segmentation needs two or more classes, but there is only {classes}; name the background too"
            )
        self.decoder = decoder
        self.fc = nn.Conv2d(decoder.channels, len(classes), kernel, padding=kernel // 2)
        self.losses = nn.ModuleList(loss(classes) for loss in losses)
        if len({loss.name for loss in self._losses()}) < len(losses):
            raise RecipeError("head.losses names a loss twice; give one of them the weight of both")
        self.auxiliary_weight = auxiliary
        self.auxiliary = FCN(levels[-2], len(classes)) if auxiliary else None
        if (reads := getattr(decoder, "reads", None)) is not None:
            self.reads = (*reads, *([levels[-2].name] if auxiliary else []))
        initialise(self)
        for classifier in (self.fc, *([self.auxiliary.fc] if self.auxiliary else [])):
            assert classifier.bias is not None
            nn.init.normal_(classifier.weight, std=0.01)  # the loss starts near ln K
            nn.init.constant_(classifier.bias, 0.0)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> PixelLogits:
        """Returns logits `[N, K, H, W]` at `input_size` from maps `{level: [N, C, H', W']}`."""
        main = enlarge(at_least_fp32(self.fc(self.decoder(maps))), self.decoder.stride, input_size)
        if self.auxiliary is None:
            return PixelLogits(main, None)
        return PixelLogits(main, enlarge(at_least_fp32(self.auxiliary(maps)), self.auxiliary.stride, input_size))

    def loss(self, outputs: PixelLogits, targets: Tensor) -> dict[str, Tensor]:
        """Returns each loss by its name, and as `auxiliary` their weighted sum for the auxiliary head."""
        targets = targets.long()
        terms = {loss.name: loss(at_least_fp32(outputs.main), targets) for loss in self._losses()}
        if outputs.auxiliary is not None:
            logits = at_least_fp32(outputs.auxiliary)
            total = torch.stack([loss(logits, targets) for loss in self._losses()]).sum()
            terms["auxiliary"] = self.auxiliary_weight * total
        return terms

    def predict(self, outputs: PixelLogits) -> Tensor:
        """Returns probabilities `[N, K, H, W]` in fp32."""
        return at_least_fp32(outputs.main).softmax(1)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Sets the weights of losses with `class_weights: auto`; counts: training pixels of each class."""
        for loss in self._losses():
            loss.set_class_counts(counts)

    def _losses(self) -> list[PixelLoss]:
        return cast("list[PixelLoss]", list(self.losses))


class FCN(nn.Module):
    """A 3x3 convolution to a quarter of a level's channels, and a classifier `fc` of its cells (as in torchvision)."""

    def __init__(self, level: Level, classes: int) -> None:
        super().__init__()
        self.decoder = fcn_decoder(level)
        self.stride = level.stride
        self.fc = nn.Conv2d(self.decoder.channels, classes, 1)

    def forward(self, maps: dict[str, Tensor]) -> Tensor:
        """Returns logits `[N, K, H, W]` at the size of the level's map `[N, C, H, W]`."""
        return self.fc(self.decoder(maps))


def fcn_decoder(level: Level) -> OnLevel:
    """Builds FCN's decoder: a 3x3 convolution to a quarter of the level's channels."""
    channels = max(level.channels // 4, 1)
    return OnLevel(level, channels, *conv_norm_relu(level.channels, channels, 3), nn.Dropout(0.1))
