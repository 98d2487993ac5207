"""Classification heads: an image has exactly one of the classes, or any number of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.base import at_least_fp32
from resnet_tl.models.heads.pooled import PooledHead, Pooling
from resnet_tl.models.logistic_regression import Solution, solve
from resnet_tl.ranges import Channels, Fraction, FractionBelow1, NonNegativeFloat, checked
from resnet_tl.structures.records import Level


@checked("head")
class LinearHead(PooledHead):
    """Pools the deepest level, applies dropout and one linear layer `fc`.

    Args:
        levels: the last one is read.
        classes: K names.
        pool: how `[N, C, H, W]` becomes `[N, C]`: mean, maximum, the mean of both, or GeM (learnable, see `GeM`).
        dropout: share of pooled channels zeroed in training.
        multi_label: an image has any number of classes (sigmoid) instead of exactly one (softmax).
        label_smoothing: share of a target's mass spread evenly over the K classes, or in multi-label over positive and
            negative (arXiv:1512.00567, section 7).
        class_weights: weight of an image of each class (multi-label: of a positive label) in the loss; `auto` gives all
            classes the same total weight, from the counts in `set_class_counts`.
        thresholds: for multi-label: a class is predicted at this probability or above; one for all classes, one per
            class, or `auto`: chosen on the validation images by `choose_thresholds`.

    Outputs are logits `[N, K]`, predictions are probabilities `[N, K]`. Buffers: `weight` `[K]` with class weights,
    `thresholds` `[K]` in multi-label; otherwise the state is that of `fc` alone.

    Attributes:
        trained_classes: indices of the classes that the loss of training is over; None: all. Rows of others, of which
            there are no images to train on, would only be pushed down (the labels trick of arXiv:1803.10123).
    """

    weight: Tensor | None
    thresholds: Tensor | None
    trained_classes: Tensor | None

    def __init__(
        self,
        levels: list[Level],
        classes: list[str],
        *,
        pool: Pooling = "avg",
        dropout: FractionBelow1 = 0.0,
        multi_label: bool = False,
        label_smoothing: FractionBelow1 = 0.0,
        class_weights: Literal["auto"] | list[NonNegativeFloat] | None = None,
        thresholds: Fraction | list[Fraction] | Literal["auto"] = 0.5,
    ) -> None:
        super().__init__(levels, pool, dropout)
        if thresholds != 0.5 and not multi_label:
            raise RecipeError(
                f"head.thresholds is {thresholds!r}, but only multi-label heads have thresholds: "
                "expected multi_label: true with it"
            )
        if class_weights is not None and not any(class_weights):
            raise RecipeError("head.class_weights is 0 for all classes: nothing would be learned")
        self.multi_label = multi_label
        self.label_smoothing = label_smoothing
        self.auto_weights = class_weights == "auto"
        self.auto_thresholds = thresholds == "auto"
        self.fc = _classifier(levels[-1].channels, len(classes))
        weight = 1.0 if class_weights is None or class_weights == "auto" else class_weights
        self.register_buffer("weight", None if class_weights is None else _per_class("class_weights", weight, classes))
        values = 0.5 if thresholds == "auto" else thresholds
        self.register_buffer("thresholds", _per_class("thresholds", values, classes) if multi_label else None)
        self.register_buffer("trained_classes", None, persistent=False)

    def forward(self, maps: dict[str, Tensor], sizes: Tensor | None, input_size: tuple[int, int]) -> Tensor:
        """Returns logits `[N, K]` from maps `{level: [N, C, H, W]}`. Images to classify have one size, so `sizes` is
        not used."""
        return self.fc(self.dropout(self.features(maps)))

    @property
    def solvable(self) -> bool:
        """Whether `fc` is all that is trained here, so that its inputs are fixed where all stages before are."""
        return len(list(self.parameters())) == len(list(self.fc.parameters()))

    def solve(self, features: Tensor, targets: Tensor, seed: int) -> Solution:
        """Sets `fc` to the logistic regression that `models.logistic_regression.solve` finds.

        Args:
            features: `[V, N, C]`, see `features`, of V views of N images.
            targets: class indices `[N]`, or multi-hot `[N, K]`.
            seed: of the folds of the cross-validation.
        """
        solution = solve(features, targets, self.fc.out_features, seed=seed)
        with torch.no_grad():
            self.fc.weight.copy_(solution.linear.weight)
            self.fc.bias.copy_(solution.linear.bias)
        return solution

    def loss(self, outputs: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Returns the cross-entropy per image (binary cross-entropy, averaged over classes); 0 without images.

        targets: class indices `[N]`, or `[N, K]` in 0...1: multi-hot, or soft (mixup).
        """
        # The sum is divided by N, never by the weights or labels in the batch: so accumulated batches, and those of
        # ranks, which are equally large, add up to the loss of one large batch.
        logits, images, weight = at_least_fp32(outputs), max(len(outputs), 1), self.weight
        if self.training and self.trained_classes is not None:
            targets = targets if targets.ndim == 2 else F.one_hot(targets, logits.shape[1])
            logits, targets = logits[:, self.trained_classes], targets[:, self.trained_classes]
            weight = None if weight is None else weight[self.trained_classes]
        if targets.ndim == 2:  # indices stay what they are: K may be a million
            targets = targets.to(logits.dtype)
        if self.multi_label:
            targets = targets * (1 - self.label_smoothing) + self.label_smoothing / 2
            total = F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weight, reduction="sum")
            return {"loss": total / (images * logits.shape[1])}
        total = F.cross_entropy(logits, targets, weight, reduction="sum", label_smoothing=self.label_smoothing)
        return {"loss": total / images}

    def predict(self, outputs: Tensor) -> Tensor:
        """Returns probabilities `[N, K]` in fp32 (fp64 for fp64); those of a multi-class head sum to 1 over K."""
        logits = at_least_fp32(outputs)
        return logits.sigmoid() if self.multi_label else logits.softmax(1)

    def set_class_counts(self, counts: Sequence[int]) -> None:
        """Sets the weights for `class_weights: auto`: n / (K * counts[k]) for class k, so the mean weight is 1.

        counts: training images of each class; n is their sum. A class without images keeps weight 1.
        """
        if self.auto_weights and self.weight is not None:
            count = torch.as_tensor(counts, dtype=torch.float32, device=self.weight.device)
            self.weight.copy_(torch.where(count > 0, count.sum() / (len(count) * count.clamp(min=1)), 1.0))


@checked("head")
class MLPHead(LinearHead):
    """A linear head on one hidden layer with ReLU.

    Args:
        hidden: units of the hidden layer.
        options: of `LinearHead`.
    """

    def __init__(self, levels: list[Level], classes: list[str], *, hidden: Channels = 512, **options: Any) -> None:
        super().__init__(levels, classes, **options)
        self.hidden = nn.Sequential(nn.Linear(levels[-1].channels, hidden), nn.ReLU())
        self.fc = _classifier(hidden, len(classes))

    def features(self, maps: dict[str, Tensor]) -> Tensor:
        """Returns the input of `fc` before dropout, `[N, hidden]`."""
        return self.hidden(super().features(maps))


def choose_thresholds(probabilities: Tensor, targets: Tensor) -> Tensor:
    """Returns the thresholds `[K]` fp32 with the best F1 of each class on these images.

    Takes probabilities `[N, K]` and multi-hot targets `[N, K]`. A threshold lies half-way between the last probability
    that is predicted and the first that is not; of equally good thresholds, the highest is chosen. A class without
    images gets 0.5.
    """
    # In descending order, row n is the F1 of predicting the n + 1 most probable images.
    p, order = probabilities.float().sort(dim=0, descending=True)
    positive = targets.float().gather(0, order)
    f1 = 2 * positive.cumsum(0) / (torch.arange(1, len(p) + 1, device=p.device)[:, None] + positive.sum(0))
    following = torch.cat([p[1:], torch.zeros_like(p[:1])])
    f1[:-1].masked_fill_(p[:-1] == p[1:], -1)  # no threshold separates images of equal probability
    best = f1.argmax(0, keepdim=True)
    last, first_excluded = p.gather(0, best)[0], following.gather(0, best)[0]
    middle = (last + first_excluded) / 2  # rounds down to `first_excluded` if there is no number in between
    return torch.where(positive.sum(0) > 0, torch.where(middle > first_excluded, middle, last), 0.5)


def _classifier(features: int, classes: int) -> nn.Linear:
    """Initialises near zero (normal, 0.01; arXiv:1706.02677, section 5.1): all classes start about equally likely, so
    the loss starts at ln K and hardly disturbs pretrained features before the classifier has learned something."""
    fc = nn.Linear(features, classes)
    nn.init.normal_(fc.weight, std=0.01)
    nn.init.zeros_(fc.bias)
    return fc


def _per_class(option: str, value: float | Sequence[float], classes: Sequence[str]) -> Tensor:
    """Returns `[K]` fp32 from one value for all classes or a list with one per class."""
    values = list(value) if isinstance(value, Sequence) else [value] * len(classes)
    if len(values) != len(classes):
        raise RecipeError(
            f"head.{option} has {len(values)} values, expected one for each of the {len(classes)} classes"
        )
    return torch.tensor(values, dtype=torch.float32)
