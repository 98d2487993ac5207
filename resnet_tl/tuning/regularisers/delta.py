"""DELTA (arXiv:1901.09229): maps stay near those of the loaded network."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.ranges import NonNegativeFloat, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Start, Step, learns


@checked("regulariser")
class DELTA(Regulariser):
    """Pulls the maps of stages towards those that the loaded network computes of the same images.

    The term is `strength / 2` times the sum over the stages of the squared distance of the maps, summed over channels,
    averaged over cells and images. All channels count alike: the paper's attention, by how much the loss grows without
    a channel, is not implemented. The loaded network runs on every batch; it runs as in validation.

    Stages that are frozen from the input on add nothing, and where all stages up to the last of `stages` are frozen
    the loaded network does not run.

    Args:
        strength: alpha of the paper. The default is 0.01 of the authors' library (thuml/Transfer-Learning-Library),
            which sums over the images of a batch of 48.
        stages: by name or glob.
    """

    name = "delta"
    reads = ("maps",)
    source = True

    def __init__(self, strength: NonNegativeFloat = 0.5, stages: Sequence[str] = ("layer*",)) -> None:
        self.strength, self.stages = strength, stages

    def start(self, start: Start) -> None:
        self.check_loaded(start)
        names = start.body
        for pattern in self.stages:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise RecipeError(
                    f"tuning.regularisers: DELTA.stages names {pattern!r}; expected some of {', '.join(names)}"
                )
        self.chosen = [name for name in names if any(fnmatchcase(name, pattern) for pattern in self.stages)]
        self.reached = start.modules_until(self.chosen[-1])

    def reads_images(self) -> bool:
        return learns(self.reached)

    def penalty(self, step: Step) -> Tensor | None:
        if step.source is None:
            return None
        seen = [name for name in self.chosen if name in step.network.maps]
        distances = [_distance(step.network.maps[name], step.source.maps[name]) for name in seen]
        if not distances:
            raise RunError(
                f"tuning.regularisers: DELTA sees no map of {', '.join(self.chosen)}: stages that are recomputed "
                "(model.backbone.checkpoint_segments) hide theirs; set it to 0"
            )
        return self.strength / 2 * torch.stack(distances).sum()


def _distance(maps: Tensor, loaded: Tensor) -> Tensor:
    """Returns the squared distance of maps `[N, C, H, W]`, summed over C, averaged over N, H and W."""
    kind = torch.promote_types(maps.dtype, torch.float32)
    return (maps.to(kind) - loaded.to(kind)).square().mean((0, 2, 3)).sum()
