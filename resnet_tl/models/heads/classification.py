"""Heads that say what is on an image: one of the classes, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.base import Head, at_least_fp32
from resnet_tl.ranges import Channels, Fraction, FractionBelow1, NonNegativeFloat, checked
from resnet_tl.structures.records import Level


@checked("head")
class LinearHead(Head):
    """Pool the deepest level, drop out, one linear layer `fc`.

    Args:
        levels: the last one is read.
        classes: K names.
        pool: how `[N, C, H, W]` becomes `[N, C]`: mean, maximum, the mean of both, or GeM (learnable, see `GeM`).
        dropout: share of pooled channels zeroed in training.
        multi_label: any number of classes is true of an image (sigmoid), instead of exactly one (softmax).
        label_smoothing: share of a target's mass spread evenly over its possible answers: the K classes, or (multi-
            label) yes and no (arXiv:1512.00567, section 7).
        class_weights: how much an image of a class (multi-label: a yes) weighs in the loss; `auto` makes all classes
            weigh the same in total once `set_class_counts` told their counts.
        thresholds: of multi-label: a class is said to be there at this probability or above; one for all, one a class,
            or `auto`: chosen on the validation images by `choose_thresholds`.

    Outputs are logits `[N, K]`, predictions are probabilities `[N, K]`. Buffers: `weight` `[K]` where there are class
    weights, `thresholds` `[K]` of multi-label; a plain head's state is that of `fc` alone.
    """

    weight: Tensor | None
    thresholds: Tensor | None

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        pool: Literal["avg", "max", "avgmax", "gem"] = "avg",
        dropout: FractionBelow1 = 0.0,
        multi_label: bool = False,
        label_smoothing: FractionBelow1 = 0.0,
        class_weights: Literal["auto"] | list[NonNegativeFloat] | None = None,
        thresholds: Fraction | list[Fraction] | Literal["auto"] = 0.5,
    ) -> None:
        super().__init__()
        if thresholds != 0.5 and not multi_label:
            raise RecipeError(
                f"head.thresholds is {thresholds!r}, but only multi-label heads have thresholds: "
                "expected multi_label: true beside it"
            )
        self.level = levels[-1].name
        self.reads = (self.level,)
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.auto_weights = class_weights == "auto"
        self.auto_thresholds = thresholds == "auto"
        self.pool = _pooling(pool)
        self.condensed = "" if pool == "gem" else pool
        self.dropout = nn.Dropout(dropout)
        self.fc = _classifier(levels[-1].channels, len(classes))
        weight = 1.0 if class_weights is None or class_weights == "auto" else class_weights
        self.register_buffer("weight", None if class_weights is None else _one_each("class_weights", weight, classes))
        at = 0.5 if thresholds == "auto" else thresholds
        self.register_buffer("thresholds", _one_each("thresholds", at, classes) if multi_label else None)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        """Logits `[N, K]`. Images to classify are cut to one size, so `sizes` has nothing to say here."""
        return self.fc(self.dropout(self.features(maps)))

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """What `fc` sees, before dropout: `[N, C]`."""
        return self.pool(maps[self.level])

    def condense(self, maps: dict[str, Tensor]) -> dict[str, Tensor]:
        """The pooled level `[N, C, 1, 1]`, which pools to itself; GeM learns how to pool, so it needs the whole."""
        if not self.condensed:
            return maps
        return {self.level: self.pool(maps[self.level])[:, :, None, None]}

    def loss(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Cross-entropy (binary cross-entropy, averaged over classes) an image; 0 for no images.

        targets: class indices `[N]`, or `[N, K]` in 0...1: multi-hot, or soft (mixup).
        The sum is divided by N, never by the weights or labels in the batch: so accumulated batches and those of ranks,
        which are equally large, add up to the loss of one large batch.
        """
        logits, images = at_least_fp32(outputs), max(len(outputs), 1)
        if self.multi_label:
            soft = targets.to(logits.dtype) * (1 - self.label_smoothing) + self.label_smoothing / 2
            total = F.binary_cross_entropy_with_logits(logits, soft, pos_weight=self.weight, reduction="sum")
            return {"loss": total / (images * logits.shape[1])}
        soft = targets if targets.is_floating_point() else F.one_hot(targets, logits.shape[1])
        total = F.cross_entropy(
            logits, soft.to(logits.dtype), self.weight, reduction="sum", label_smoothing=self.label_smoothing
        )
        return {"loss": total / images}

    def predict(self, outputs: Tensor) -> Tensor:
        """Probabilities `[N, K]` in fp32 (fp64 of fp64); those of a multi-class head sum to 1 over K."""
        logits = at_least_fp32(outputs)
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """For `class_weights: auto`: class k weighs n / (K * counts[k]), so the mean weight of a label is 1.

        counts: training images of each class; n is their sum. A class without any keeps weight 1.
        """
        if self.auto_weights and self.weight is not None:
            count = torch.as_tensor(counts, dtype=torch.float32, device=self.weight.device)
            self.weight.copy_(torch.where(count > 0, count.sum() / (len(count) * count.clamp(min=1)), 1.0))


@checked("head")
class MLPHead(LinearHead):
    """A linear head over one hidden layer of `hidden` units with ReLU; other options are `LinearHead`'s."""

    def __init__(self, levels: list[Level], classes: list[str], *, hidden: Channels = 512, **options: Any) -> None:
        super().__init__(levels, classes, **options)
        self.hidden = nn.Sequential(nn.Linear(levels[-1].channels, hidden), nn.ReLU())
        self.fc = _classifier(hidden, len(classes))

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        return self.hidden(super().features(maps))


def choose_thresholds(probabilities: Tensor, targets: Tensor) -> Tensor:
    """The threshold of each class with the best F1 on these images: `[K]` fp32.

    probabilities `[N, K]`; targets `[N, K]` multi-hot. A threshold lies half-way between the last probability taken and
    the first one left out; of equally good ones the highest counts; a class without any image gets 0.5.
    """
    p, order = probabilities.float().sort(dim=0, descending=True)
    true = targets.float().gather(0, order)
    f1 = 2 * true.cumsum(0) / (torch.arange(1, len(p) + 1, device=p.device)[:, None] + true.sum(0))
    below = torch.cat([p[1:], torch.zeros_like(p[:1])])
    f1[:-1].masked_fill_(p[:-1] == p[1:], -1)  # no threshold parts images of equal probability
    best = f1.argmax(0, keepdim=True)
    last, first_out = p.gather(0, best)[0], below.gather(0, best)[0]
    middle = (last + first_out) / 2
    return torch.where(true.sum(0) > 0, torch.where(middle > first_out, middle, last), 0.5)


class GeM(nn.Module):
    """Generalised mean, `mean(x^p)^(1/p)` over H and W with a learnable p (arXiv:1711.02512, section 3.2).

    p = 1 is the average, p → ∞ the maximum. `[N, C, H, W]` → `[N, C]`. In logarithms and fp32, so no power overflows;
    values below `floor` count as `floor`.
    """

    floor = 1e-6

    def __init__(self, p: float = 3.0) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([p]))

    def forward(self, x: Tensor) -> Tensor:
        logs = self.p * at_least_fp32(x).clamp(min=self.floor).log().flatten(2)
        most = logs.amax(2, keepdim=True)
        return (((logs - most).exp().mean(2).log() + most[..., 0]) / self.p).exp().to(x.dtype)


class Average(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


class Maximum(nn.Module):
    """`amax` shares the gradient among equal maxima, and is deterministic on every device."""

    def forward(self, x: Tensor) -> Tensor:
        return x.amax((2, 3))


class AverageMaximum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x.mean((2, 3)) + x.amax((2, 3))) / 2


POOLINGS: dict[str, type[nn.Module]] = {"avg": Average, "max": Maximum, "avgmax": AverageMaximum, "gem": GeM}


def _pooling(name: str) -> nn.Module:
    return POOLINGS[name]()


def _classifier(features: int, classes: int) -> nn.Linear:
    """Starts near zero (normal, 0.01; arXiv:1706.02677, section 5.1): every class is about as likely at first, so the
    loss starts at ln K and hardly disturbs pretrained features before the classifier has learned something."""
    fc = nn.Linear(features, classes)
    nn.init.normal_(fc.weight, std=0.01)
    nn.init.zeros_(fc.bias)
    return fc


def _one_each(option: str, value: float | Sequence[float], classes: Sequence[str]) -> Tensor:
    """`[K]` fp32 from one value for all classes or a list of one a class."""
    values = list(value) if isinstance(value, Sequence) else [value] * len(classes)
    if len(values) != len(classes):
        raise RecipeError(
            f"head.{option} has {len(values)} values, expected one for each of the {len(classes)} classes"
        )
    return torch.tensor(values, dtype=torch.float32)
