"""The table of ResNet variants: what makes one differ from another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Variant:
    """A row of the table.

    Args:
        block: two 3x3 convolutions ("basic"), or 1x1, 3x3, 1x1 ("bottleneck", with 4 times as many output channels).
        depths: blocks in each stage.
        widths: channels of each stage, before the bottleneck's factor of 4.
        stem: channels of the stem's convolutions: one of 7x7, or three of 3x3 (the "deep" stem of -D and -T nets).
        groups, group_width: of a bottleneck's 3x3 convolution: `width * group_width / 64` channels per group.
        average_down: shortcuts that halve the map average 2x2 pixels first (-D; He et al., arXiv 1812.01187, 4.2).
        squeeze_excite: every block weighs its channels (Hu et al., arXiv 1709.01507).
        small_images: the CIFAR form (section 4.2 of the paper): a 3x3 stem that keeps the size, no max-pooling, and
            shortcuts without parameters.
    """

    block: Literal["basic", "bottleneck"]
    depths: tuple[int, ...]
    widths: tuple[int, ...] = (64, 128, 256, 512)
    stem: tuple[int, ...] = (64,)
    groups: int = 1
    group_width: int = 64
    average_down: bool = False
    squeeze_excite: bool = False
    small_images: bool = False


_18 = Variant("basic", (2, 2, 2, 2))
_34 = Variant("basic", (3, 4, 6, 3))
_50 = Variant("bottleneck", (3, 4, 6, 3))
_101 = Variant("bottleneck", (3, 4, 23, 3))
_152 = Variant("bottleneck", (3, 8, 36, 3))
_PLAIN = {"resnet18": _18, "resnet34": _34, "resnet50": _50, "resnet101": _101, "resnet152": _152}
_DEEP_STEM, _TIERED_STEM = (32, 32, 64), (24, 32, 64)

VARIANTS: dict[str, Variant] = {
    **_PLAIN,
    "resnet200": Variant("bottleneck", (3, 24, 36, 3)),
    "resnext50_32x4d": replace(_50, groups=32, group_width=4),
    "resnext101_32x8d": replace(_101, groups=32, group_width=8),
    "resnext101_64x4d": replace(_101, groups=64, group_width=4),
    "wide_resnet50_2": replace(_50, group_width=128),
    "wide_resnet101_2": replace(_101, group_width=128),
    **{f"{name}d": replace(plain, stem=_DEEP_STEM, average_down=True) for name, plain in _PLAIN.items()},
    **{f"se{name}": replace(plain, squeeze_excite=True) for name, plain in _PLAIN.items()},
    "resnet10t": Variant("basic", (1, 1, 1, 1), stem=_TIERED_STEM, average_down=True),
    "resnet14t": Variant("bottleneck", (1, 1, 1, 1), stem=_TIERED_STEM, average_down=True),
    **{
        f"resnet{depth}_cifar": Variant("basic", ((depth - 2) // 6,) * 3, (16, 32, 64), (16,), small_images=True)
        for depth in (20, 32, 44, 56, 110, 1202)
    },
    "resnet_tiny": Variant("basic", (1, 1, 1, 1), (8, 16, 24, 32), (8,)),
}
