"""EfficientNet-Lite0 with a map at each stride, as a trunk for pyramids that a recipe names by its import path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from benchmarks.solved_head import Lite0
from resnet_tl.structures.records import Level
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.records import WeightRecord


class Lite0Pyramid(nn.Module):
    """ImageNet's EfficientNet-Lite0 up to its last block; the 1x1 convolution before its classifier is left out."""

    preprocessing = Lite0.preprocessing

    def __init__(self, in_channels: int = 3) -> None:
        super().__init__()
        import timm

        self.in_channels = in_channels
        self.feature_info = [
            Level("c1", 16, 2),
            Level("c2", 24, 4),
            Level("c3", 40, 8),
            Level("c4", 112, 16),
            Level("c5", 320, 32),
        ]
        self.net: Any = timm.create_model("tf_efficientnet_lite0", features_only=True)

    def stages(self) -> dict[str, list[nn.Module]]:
        blocks = {f"layer{number}": [block] for number, block in enumerate(self.net.blocks, 1)}
        return {"stem": [self.net.conv_stem, self.net.bn1], **blocks}

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        maps = self.net(images)
        return {level.name: each for level, each in zip(self.feature_info, maps, strict=True)}


def convert(theirs: Path, file: Path) -> None:
    """Writes the package's weights (see `solved_head`) with the pyramid's names to `file`."""
    whole, trunk = Lite0(), Lite0Pyramid()
    whole.load(theirs)
    tensors = whole.state_dict()
    record = WeightRecord(theirs.name, preprocessing=trunk.preprocessing)
    save_weights({key: tensors[key] for key in trunk.state_dict()}, record, file)
