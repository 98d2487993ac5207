"""The network as it was loaded, next to the one that is trained."""

from __future__ import annotations

import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from resnet_tl.tuning.regularisers.base import Seen
from resnet_tl.tuning.regularisers.digests import digest_of
from resnet_tl.tuning.regularisers.watch import Watch


class Source:
    """A frozen, folded copy of a network's stages before its head, and of the head's pooling.

    It is no module of the task: checkpoints do not hold it, a resumed run builds it from the same weights.

    Args:
        network: with its loaded weights; see `resnet_tl.tuning.protocols.Network`.
        head: of the network, if it turns maps into features `[N, C]`: has `features(maps)`.
    """

    def __init__(self, network: Any, head: nn.Module | None) -> None:
        self.last = network.cuts()[-1]
        self.body = network.folded_until(self.last)
        self.head: Any = None if head is None else copy.deepcopy(head).eval().requires_grad_(False)
        stages = {name: modules for name, modules in self.body.stages().items() if None not in modules}
        self.watch = Watch(stages, None)

    def __call__(self, images: Tensor) -> Seen:
        """Returns what the loaded network computes of normalised images `[N, C, H, W]`."""
        with torch.no_grad():
            self.body.to(images)
            maps, seen = self.watch(lambda: self.body.maps_after(self.last, images))
            return Seen(seen.maps, None if self.head is None else self.head.to(images).features(maps))

    @cached_property
    def digest(self) -> str:
        return digest_of(self.body.state_dict().values())
