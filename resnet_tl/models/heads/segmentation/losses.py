"""Losses of segmentation: logits `[N, K, H, W]` in fp32 and class indices `[N, H, W]` int64 -> a scalar.

`records.IGNORE` pixels do not count. Sums are divided by counts averaged over ranks, so that gradients are those of one
process with the whole batch. If no pixel counts, the loss and its gradients are 0.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.ranks import mean_over_ranks
from resnet_tl.ranges import Fraction, FractionBelow1, NonNegativeFloat, checked
from resnet_tl.structures.records import IGNORE


@checked("loss")
class PixelLoss(nn.Module, ABC):
    """Base of loss terms, logged as `name`.

    Args:
        classes: K names.
        weight: of this term in the loss.
    """

    name: ClassVar[str]

    def __init__(self, classes: list[str], *, weight: NonNegativeFloat = 1.0) -> None:
        super().__init__()
        self.weight = weight

    @abstractmethod
    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Computes the unweighted loss."""

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Logits `[N, K, H, W]` and targets `[N, H, W]` to a scalar."""
        return self.weight * self.value(logits, targets)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Receives the training pixels of each class; does nothing by default."""


@checked("loss")
class CrossEntropy(PixelLoss):
    """Cross-entropy, averaged over pixels.

    Args:
        class_weights: weight of a pixel of each class; `auto`: proportional to 1 / sqrt(share of the training pixels),
            with a mean of 1 per pixel (with 1 / share, rare classes swallow their surroundings).
        label_smoothing: share of a pixel's mass spread over all classes.
        edges: how much more, as a factor less 1, pixels count that have another class within two pixels: all of thin
            objects, and of others the border (after U-Net's weight maps, arXiv:1505.04597).

    The sum is divided by the number of pixels that count, never by their weights.
    """

    name = "cross_entropy"
    class_weights: Tensor | None

    def __init__(
        self,
        classes: list[str],
        *,
        weight: NonNegativeFloat = 1.0,
        class_weights: Literal["auto"] | list[NonNegativeFloat] | None = None,
        label_smoothing: FractionBelow1 = 0.0,
        edges: NonNegativeFloat = 0.0,
    ) -> None:
        super().__init__(classes, weight=weight)
        self.label_smoothing, self.edges, self.auto = label_smoothing, edges, class_weights == "auto"
        self.register_buffer("class_weights", _class_weights(class_weights, classes))

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(
            logits,
            targets,
            self.class_weights,
            ignore_index=IGNORE,
            reduction="none" if self.edges else "sum",
            label_smoothing=self.label_smoothing,
        )
        total = (losses * (1 + self.edges * near_edges(targets))).sum() if self.edges else losses
        return total / mean_over_ranks((targets != IGNORE).sum()).clamp(min=1)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        if self.auto and self.class_weights is not None:
            count = torch.as_tensor(counts, dtype=torch.float64)
            share = (count / count.sum().clamp(min=1)).clamp(min=1e-4)
            self.class_weights.copy_(share.rsqrt() / share.sqrt().sum())


def near_edges(targets: Tensor, reach: int = 2) -> Tensor:
    """Returns which pixels of `[N, H, W]` have two classes within `reach` pixels; ignored ones are of no class."""
    classes, kernel = targets[:, None].float(), 2 * reach + 1
    counts = classes != IGNORE
    largest = F.max_pool2d(classes.where(counts, -1.0), kernel, 1, reach)
    smallest = -F.max_pool2d(-classes.where(counts, float(IGNORE)), kernel, 1, reach)
    return (counts & (largest > smallest))[:, 0]


@checked("loss")
class OHEM(PixelLoss):
    """Cross-entropy of hard pixels only (online hard example mining, arXiv:1604.03540).

    Args:
        threshold: pixels are hard whose true class has a probability below it.
        keep: share of the batch's pixels, the hardest ones, that count in any case.
    """

    name = "ohem"

    def __init__(
        self, classes: list[str], *, weight: NonNegativeFloat = 1.0, threshold: Fraction = 0.7, keep: Fraction = 0.0625
    ) -> None:
        super().__init__(classes, weight=weight)
        self.threshold, self.keep = threshold, keep

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none").flatten()
        counts = (targets != IGNORE).flatten()
        ranked = losses.detach().where(counts, -1.0)
        least = int(self.keep * ranked.numel())
        limit = ranked.new_tensor(self.threshold).log().neg()  # a probability below p is a loss above -ln p
        if least:
            limit = torch.minimum(limit, ranked.topk(least).values[-1].clamp(min=0))
        hard = counts & (ranked >= limit)
        return (losses * hard).sum() / mean_over_ranks(hard.sum()).clamp(min=1)


@checked("loss")
class Focal(PixelLoss):
    """Cross-entropy times (1 - p)^gamma, averaged over pixels (arXiv:1708.02002).

    Args:
        gamma: how much less a pixel counts, the higher the probability p of its true class.
    """

    name = "focal"

    def __init__(self, classes: list[str], *, weight: NonNegativeFloat = 1.0, gamma: NonNegativeFloat = 2.0) -> None:
        super().__init__(classes, weight=weight)
        self.gamma = gamma

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        losses = F.cross_entropy(logits, targets, ignore_index=IGNORE, reduction="none")
        missed = -torch.expm1(-losses)  # 1 - p, exact for p near 1
        counted = mean_over_ranks((targets != IGNORE).sum()).clamp(min=1)
        # The clamp keeps the gradient finite: for gamma < 1, that of 0 ** gamma is infinite.
        return (missed.clamp(min=1e-7) ** self.gamma * losses).sum() / counted


class Dice(PixelLoss):
    """1 - the soft Dice coefficient of the batch, averaged over the classes that occur in it (arXiv:1606.04797)."""

    name = "dice"

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        counts = targets != IGNORE
        p, truth = logits.softmax(1) * counts[:, None], targets.where(counts, 0)
        # By index: one-hot targets would take many times the memory, and the time to write it.
        none = p.new_zeros(logits.shape[1])
        both = none.index_add(0, truth.flatten(), p.gather(1, truth[:, None]).flatten())
        pixels = none.index_add(0, truth.flatten(), counts.flatten().to(p.dtype))
        losses, occurs = 1 - 2 * both / (p.sum((0, 2, 3)) + pixels).clamp(min=1e-6), (pixels > 0).float()
        return (losses * occurs).sum() / mean_over_ranks(occurs.sum()).clamp(min=1)


class Lovasz(PixelLoss):
    """The Lovász extension of 1 - IoU, averaged over the classes that occur in the batch (Lovász-Softmax over a batch,
    arXiv:1705.08790)."""

    name = "lovasz"

    def value(self, logits: Tensor, targets: Tensor) -> Tensor:
        counts = targets != IGNORE
        p = logits.softmax(1).movedim(1, -1)[counts].T  # [K, pixels that count]
        truth = _one_hot(targets, logits.shape[1]).movedim(1, -1)[counts].T
        errors, order = (truth - p).abs().sort(dim=1, descending=True)
        losses = (errors * _lovasz_gradient(truth.gather(1, order))).sum(1)
        occurs = truth.any(1).float()
        return (losses * occurs).sum() / mean_over_ranks(occurs.sum()).clamp(min=1)


def _lovasz_gradient(truth: Tensor) -> Tensor:
    """Returns how much 1 - IoU grows with each further error, `[K, P]`, from the truth `[K, P]` sorted by error,
    largest first (algorithm 1)."""
    total = truth.sum(1, keepdim=True)
    remaining = total - truth.cumsum(1)
    jaccard = 1 - remaining / (total + (1 - truth).cumsum(1)).clamp(min=1)
    return torch.cat([jaccard[:, :1], jaccard[:, 1:] - jaccard[:, :-1]], dim=1)


def _one_hot(targets: Tensor, classes: int) -> Tensor:
    """Returns `[N, K, H, W]` fp32. Ignored pixels become class 0; the caller has to mask them."""
    return F.one_hot(targets.where(targets != IGNORE, 0), classes).movedim(-1, 1).float()


def _class_weights(given: str | Sequence[float] | None, classes: Sequence[str]) -> Tensor | None:
    if given is None:
        return None
    if isinstance(given, str):
        return torch.ones(len(classes))
    if len(given) != len(classes):
        raise RecipeError(f"class_weights is {list(given)}, expected a value for each of the {len(classes)} classes")
    if not any(given):
        raise RecipeError("class_weights is 0 for all classes: nothing would be learned")
    return torch.tensor(given, dtype=torch.float32)
