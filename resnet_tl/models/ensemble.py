"""Several networks of one architecture as one network, whose predictions are the mean of theirs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from resnet_tl.models.box_fusion import fuse
from resnet_tl.models.heads.base import DetectionHead, DetectorOutputs, Head
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.models.heads.segmentation.base import PixelLogits, SegmentationHead
from resnet_tl.models.network import Network
from resnet_tl.structures.records import Boxes, Detections, Level

TINY = 1e-7


def ensemble(members: Sequence[Network], temperatures: Sequence[Sequence[float]] | None = None) -> Network:
    """Returns the network of all members, which have the same preprocessing, classes and kind of head.

    Its probabilities of classes and pixels are the mean of theirs, its outputs the logits of that mean; its numbers are
    the mean of theirs; its boxes are fused, see `resnet_tl.models.box_fusion`.

    Args:
        temperatures: what the logits of each classifier are divided by, 1 or K values; None: by nothing.
    """
    head = members[0].head
    if isinstance(head, DetectionHead):
        return _joined(members, FusedBoxes(members))
    if isinstance(head, SegmentationHead):
        return _joined(members, MeanPixels(members))
    if isinstance(head, RegressionHead):
        return _joined(members, MeanValues(members))
    return _joined(members, MeanClasses(members, temperatures or [[1.0]] * len(members)))


def _joined(members: Sequence[Network], head: Head) -> Network:
    network = Network(Members(members), None, head).eval()
    network.mean, network.std = members[0].mean.clone(), members[0].std.clone()
    return network


class Members(nn.Module):
    """The trunks and necks of several networks as one trunk; the levels of each have its number before their names."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.members, self.networks = nn.ModuleList(members), tuple(members)
        self.in_channels, self.preprocessing = members[0].trunk.in_channels, members[0].preprocessing
        self.feature_info = [
            Level(f"{number}/{name}", channels, stride)
            for number, member in enumerate(members)
            for name, channels, stride in _levels(member)
        ]

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"members": list(self.members)}

    def __call__(self, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = super().__call__(images)
        return outputs

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Returns what the heads read, from normalised images `[N, C, H, W]`."""
        return {
            f"{number}/{name}": value
            for number, member in enumerate(self.networks)
            for name, value in member.maps_after(member.cuts()[-1], images).items()
        }


def _levels(member: Network) -> list[Level]:
    """What the head of a network reads from."""
    reader: Any = member.trunk if member.neck is None else member.neck
    return list(reader.feature_info)


class _Heads(Head):
    """Base of heads over `Members`; the heads of these are not parts of it a second time."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.heads = tuple(member.head for member in members)

    def each(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Iterator[Any]:
        """Yields the outputs of one head after another."""
        for number, head in enumerate(self.heads):
            own = {name.partition("/")[2]: value for name, value in maps.items() if name.startswith(f"{number}/")}
            yield head(own, sizes, input_size)

    def loss(self, outputs: Any, targets: Any) -> dict[str, Tensor]:
        return self.heads[0].loss(outputs, targets)

    def predict(self, outputs: Any) -> Any:
        return self.heads[0].predict(outputs)


class MeanClasses(_Heads):
    """Averages probabilities of classes; outputs are logits `[N, K]`.

    thresholds: `[K]` of several labels, the mean of those of the members, as their temperatures change them.
    """

    temperatures: Tensor
    thresholds: Tensor | None

    def __init__(self, members: Sequence[Network], temperatures: Sequence[Sequence[float]]) -> None:
        super().__init__(members)
        own = [getattr(head, "thresholds", None) for head in self.heads]
        self.multi_label = own[0] is not None
        width = max(map(len, temperatures))
        self.register_buffer("temperatures", torch.stack([torch.tensor(each).expand(width) for each in temperatures]))
        each = zip(own, self.temperatures, strict=True)
        limits = [(limit.logit(TINY) / temperature).sigmoid() for limit, temperature in each if limit is not None]
        self.register_buffer("thresholds", torch.stack(limits).mean(0) if limits else None)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        outputs = zip(self.heads, self.each(maps, sizes, input_size), self.temperatures, strict=True)
        mean = torch.stack([head.predict(logits / temperature) for head, logits, temperature in outputs]).mean(0)
        return mean.logit(TINY) if self.multi_label else _log(mean)


class MeanValues(_Heads):
    """Averages numbers, and each of their quantiles; outputs are in the first head's standard deviations."""

    mean: Tensor
    sd: Tensor

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__(members)
        first: Any = self.heads[0]
        self.coverage = first.coverage
        self.register_buffer("mean", first.mean)
        self.register_buffer("sd", first.sd)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        each = zip(self.heads, self.each(maps, sizes, input_size), strict=True)
        mean = torch.stack([head.predict(outputs) for head, outputs in each]).mean(0)
        return (mean - self.mean[:, None]) / self.sd[:, None]


class MeanPixels(_Heads):
    """Averages probabilities of pixels."""

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> PixelLogits:
        total = torch.zeros((), device=next(iter(maps.values())).device)
        for head, outputs in zip(self.heads, self.each(maps, sizes, input_size), strict=True):
            total = total + head.predict(outputs)
        return PixelLogits(_log(total / len(self.heads)), None)


def _log(probabilities: Tensor) -> Tensor:
    """The logarithm, finite also where every member is certain."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


class MembersOutputs(NamedTuple):
    """The outputs of several detectors for a batch."""

    each: list[DetectorOutputs]

    def image(self, number: int) -> MembersOutputs:
        return MembersOutputs([outputs.image(number) for outputs in self.each])


class FusedBoxes(_Heads):
    """Fuses boxes; a loss is the mean of the members' losses."""

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__(members)
        self.aligned = bool(self.heads[0].aligned)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> MembersOutputs:
        return MembersOutputs(list(self.each(maps, sizes, input_size)))

    def loss(self, outputs: MembersOutputs, targets: Boxes) -> dict[str, Tensor]:
        every = [head.loss(own, targets) for head, own in zip(self.heads, outputs.each, strict=True)]
        return {name: torch.stack([terms[name] for terms in every]).mean() for name in every[0]}

    def predict(self, outputs: MembersOutputs) -> Detections:
        return fuse([head.predict(own) for head, own in zip(self.heads, outputs.each, strict=True)])
