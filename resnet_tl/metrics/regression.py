"""Metrics of numbers: errors and the share of variance explained, exact on any number of ranks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchmetrics import Metric

from resnet_tl.metrics.bootstrap import percentiles, resampled
from resnet_tl.metrics.per_class import Tables, nanmean, quotient, rows
from resnet_tl.metrics.stored import joined
from resnet_tl.structures.evaluation import values_of

Floats = NDArray[np.float64]


class RegressionMetrics(nn.Module):
    """Scores of one pass over a set. A submodule of the task, so that it follows the task's device.

    mae: mean absolute error. rmse: root of the mean squared error. r2: share of the variance explained, 1 - squared
        errors / squared distances from the mean of the set (scikit-learn's `r2_score`); NaN where a number does not
        vary. Of intervals also coverage: the share of images whose number lies in its interval.

    Of several numbers each score is the mean over them; for that, `mae` and `rmse` of each are divided by its `sd`, so
    that grams do not outweigh years. Of one number they are in its unit.

    Numbers are stored, sorted and summed in fp64, and divided once: the distribution of images over ranks does not
    change scores.

    Args:
        classes: names of the T numbers.

    Attributes:
        sd: `[T]`, standard deviations of the training images' numbers.
        absent: not used: every image has every number.
    """

    headline = "mae"

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.classes = classes
        self.sd: Floats = np.ones(len(classes))
        self.absent: Sequence[int] = ()
        self.metric = ValueStore()

    def update(self, predictions: Tensor, targets: Tensor, keep: Tensor) -> None:
        """Adds a batch: predictions `[N, T, Q]`, targets `[N, T]`; keep `[N]`, False for fillers."""
        self.metric.update(predictions, targets, keep)

    def compute(self) -> dict[str, float]:
        return self.results().scores(unit_of(self.sd))

    def tables(self) -> Tables:
        """Returns `per_class`, one dict per number with its name, how many images have it, and its own mae, rmse and
        r2, in its unit."""
        results = self.results()
        images = np.full(len(self.classes), len(results.targets))
        return {"per_class": rows(self.classes, "number", images=images, **results.by_number())}

    def interval(self) -> tuple[float, float]:
        """Returns the 95 % bootstrap interval of `mae` (percentiles of 1,000 seeded resamples of the images)."""
        each = image_errors(*self.results(), self.sd)
        return percentiles(resampled(len(each), lambda drawn: {"mae": each @ drawn / len(each)})["mae"])

    def results(self) -> ValueResults:
        """Returns the results of all ranks, on the CPU."""
        return self.metric.compute()

    def reset(self) -> None:
        self.metric.reset()


class ValueResults(NamedTuple):
    """Of N images, in an order of their own: predictions `[N, T, Q]` and targets `[N, T]`, fp64."""

    predictions: Floats
    targets: Floats

    @property
    def errors(self) -> Floats:
        """Predicted minus true, `[N, T]`."""
        return values_of(self.predictions) - self.targets

    def scores(self, unit: Floats) -> dict[str, float]:
        """Returns the means over the numbers, whose errors are divided by `unit` `[T]`."""
        each = self.by_number()
        scores = {"mae": float((each["mae"] / unit).mean()), "rmse": float((each["rmse"] / unit).mean())}
        scores |= {name: nanmean(each[name]) for name in ("r2", "coverage") if name in each}
        finite = bool(np.isfinite(self.predictions).all())
        return scores if finite else dict.fromkeys(scores, float("nan"))

    def by_number(self) -> dict[str, Floats]:
        """Returns the scores of each number, `[T]`, in its unit."""
        errors, targets = self.errors, self.targets
        spread = ((targets - targets.mean(0)) ** 2).sum(0)
        scores = {
            "mae": np.abs(errors).mean(0),
            "rmse": np.sqrt((errors**2).mean(0)),
            "r2": 1 - quotient((errors**2).sum(0), spread),
        }
        if self.predictions.shape[-1] > 1:
            inside = (self.predictions[..., 0] <= targets) & (targets <= self.predictions[..., -1])
            scores["coverage"] = inside.mean(0)
        return scores


class ValueStore(Metric):
    """Predictions and targets of all images, with torchmetrics' states and their exchange between ranks."""

    full_state_update = False
    predictions: list[Tensor]
    targets: list[Tensor]
    keep: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for name in ("predictions", "targets", "keep"):
            self.add_state(name, [], dist_reduce_fx="cat")

    def update(self, predictions: Tensor, targets: Tensor, keep: Tensor) -> None:
        # Fillers are dropped at the end: a boolean mask would wait for the device.
        self.predictions.append(predictions)
        self.targets.append(targets)
        self.keep.append(keep)

    def compute(self) -> ValueResults:
        keep = joined(self.keep).cpu()
        stored = (joined(part).cpu()[keep].to(torch.float64).numpy() for part in (self.predictions, self.targets))
        predictions, targets = stored
        # Sums are the same to the last bit however the images came over the ranks.
        order = np.lexsort([*targets.T, *predictions.reshape(len(targets), -1).T])
        return ValueResults(predictions[order], targets[order])


def unit_of(sd: NDArray[np.floating]) -> Floats:
    """Returns what errors are divided by before they are averaged over the numbers, `[T]`."""
    return sd.astype(np.float64) if len(sd) > 1 else np.ones(1)


def image_errors(predictions: NDArray[np.floating], targets: NDArray[np.floating], sd: NDArray[np.floating]) -> Floats:
    """Returns the absolute error of each image, `[N]`, whose mean is `mae`."""
    errors: Floats = (np.abs(values_of(predictions).astype(np.float64) - targets) / unit_of(sd)).mean(1)
    return errors
