"""New classes of a classifier that keeps the rows of those it knows (`backbone.keep_classifier: known`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.log import log_info
from resnet_tl.tuning.ranks import broadcast
from resnet_tl.tuning.regularisers.collection import features_of


class Imprint(Callback):
    """Starts the rows of a classifier's new classes from the training images, before the first step; see `imprint`.

    Each rank computes the features of all training images once, as in the first epoch's draws. A resumed run has the
    rows in its checkpoint and goes without.
    """

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data: Any = getattr(trainer, "datamodule", None)
        if not (isinstance(pl_module, Classification) and hasattr(data, "fixed_images")):
            return
        head, new = pl_module.classifier, [pl_module.classes.index(name) for name in pl_module.new_classes]
        with torch.random.fork_rng(devices=[]):  # loaders draw seeds
            features = features_of(pl_module, lambda: data.fixed_images("train").batches(0))
            means = ClassMeans.of(features, len(pl_module.classes))
        log_info(imprint(head.fc, means, new, pl_module.classes))
        broadcast(head.fc.parameters())  # ranks on other machines may round in another way


@dataclass(frozen=True)
class ClassMeans:
    """Mean features of the images with each class and of those without it, in fp64.

    counts, others: numbers of images, `[K]`. inside, outside: the means, `[K, C]`; 0 without images.
    """

    counts: Tensor
    others: Tensor
    inside: Tensor
    outside: Tensor

    @classmethod
    def of(cls, features: Iterable[tuple[Tensor, Tensor]], classes: int) -> ClassMeans:
        """Takes batches of features `[N, C]` with class indices `[N]` or multi-hot targets `[N, K]`."""
        counts, sums, images, total = torch.zeros(classes).double(), torch.zeros(1), 0, torch.zeros(1)
        for batch, targets in features:
            shown = targets if targets.ndim > 1 else nn.functional.one_hot(targets.long(), classes)
            shown, values = shown.cpu().double(), batch.cpu().double()
            counts, sums = counts + shown.sum(0), sums + shown.T @ values
            images, total = images + len(values), total + values.sum(0)
        others = images - counts
        return cls(counts, others, sums / counts.clamp(min=1)[:, None], (total - sums) / others.clamp(min=1)[:, None])


def imprint(layer: nn.Linear, means: ClassMeans, new: Sequence[int], classes: Sequence[str]) -> str:
    """Sets the rows of new classes and returns what they start from, as a line for the log.

    Weight imprinting (arXiv:1712.07136, section 3.2) sets a new row to the mean of its class's features, where rows and
    features have length 1. Here neither has, and features after ReLU have much in common: a row becomes `a d` with `d`
    the difference of the mean features of images with and without the class. `a` and the bias are such that its mean
    logits, of images with and of those without its class, are those of the old rows, averaged over the old classes that
    have images of both kinds. Where none has, as without images of old classes, the old rows' logits of the new images
    are the measure: of each new class's mean features the highest, and the mean of all.

    Args:
        layer: rows of old classes are not changed.
        means: of the layer's inputs.
        new: indices of the new classes. One that all images show, or none, keeps its row.
        classes: names of all.
    """
    weight, bias = layer.weight.detach().cpu().double(), layer.bias.detach().cpu().double()
    both = (means.counts > 0) & (means.others > 0)
    started = [index for index in new if both[index]]
    if not started:
        return "new classes have no training images, or no others to tell them from: their rows start as usual"
    old = torch.tensor([index not in new for index in range(len(classes))])
    seen = old & both
    if seen.any():
        with_class = ((weight * means.inside).sum(1) + bias)[seen].mean()
        without = ((weight * means.outside).sum(1) + bias)[seen].mean()
        measure = "those of the known classes' rows"
    else:
        logits = means.inside[started] @ weight[old].T + bias[old]
        with_class, without = logits.amax(1).mean(), logits.mean()
        measure = "the highest and the mean of those of the known classes' rows"
    with torch.no_grad():
        for index in started:
            difference = means.inside[index] - means.outside[index]
            row = difference * (with_class - without) / difference.square().sum().clamp(min=1e-12)
            layer.weight[index] = row.to(layer.weight)
            layer.bias[index] = (without - row @ means.outside[index]).to(layer.bias)
    names = ", ".join(f"{classes[index]} ({int(means.counts[index])} images)" for index in started)
    return (
        f"new classes start from their mean features: {names}; mean logits {with_class:.3g} on their images and "
        f"{without:.3g} on others, {measure}"
    )
