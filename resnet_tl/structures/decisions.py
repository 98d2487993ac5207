"""What validation decided for prediction: best.ckpt stores it, predictors apply it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from annotated_types import Ge, Le, MinLen
from numpy.typing import NDArray

from resnet_tl.ranges import Fraction

Floats = NDArray[np.float64]

TEMPERATURES = (0.1, 10.0)
Temperature = Annotated[float, Ge(TEMPERATURES[0]), Le(TEMPERATURES[1])]


Finite = Annotated[float, Ge(-1e30), Le(1e30)]


@dataclass(frozen=True)
class Limit:
    """Of a score that is higher for images unlike those of training: its median over the validation images, and the
    limit that 95 % of them keep."""

    median: Finite
    limit: Finite

    def relative(self, scores: Floats) -> Floats:
        """Returns scores `[N]` in units of their own: 0 at the median, above 1 beyond the limit. They are
        `meaningful`."""
        return (scores - self.median) / (self.limit - self.median)

    @property
    def meaningful(self) -> bool:
        """Whether the scores of the validation images differ, by more than float32 features are rounded."""
        return self.limit - self.median > 1e-6 * max(1.0, abs(self.median))


@dataclass(frozen=True)
class Limits:
    """Of the scores in `resnet_tl.metrics.outliers`."""

    cosine: Limit
    energy: Limit
    relative: Limit


@dataclass(frozen=True)
class Decisions:
    """Fitted on the validation images after training; whatever is None leaves predictions as the network gives them.

    temperature: what logits are divided by: one value, or for several labels K, one for each class.
    possible: the calibrated probability from which a class is possible: 90 % of the validation images have that of
        their class, or a higher one.
    outliers: by which images unlike those of training are recognised.
    box_scores: K, of a detector: objects of a class with lower scores are dropped by default.
    margins: T, of numbers, in their units: what intervals of predictions reach beyond the number, or beyond its
        quantiles (if negative, they end before these), so that they hold the true one as often as the head says.
    """

    temperature: Annotated[list[Temperature], MinLen(1)] | None = None
    possible: Fraction | None = None
    outliers: Limits | None = None
    box_scores: Annotated[list[Fraction], MinLen(1)] | None = None
    margins: Annotated[list[Finite], MinLen(1)] | None = None

    def calibrated(self, probabilities: NDArray[np.floating], *, multi_label: bool) -> NDArray[np.float32]:
        """Returns the probabilities `[N, K]` that the temperature makes of those of the network. The order of classes
        stays, except of several labels, each of which has a temperature of its own."""
        if self.temperature is None:
            return probabilities.astype(np.float32)
        values = np.array(self.temperature)
        if not multi_label:
            return _tempered(probabilities, values).astype(np.float32)
        outcomes = np.stack([probabilities, 1 - probabilities], -1)
        return _tempered(outcomes, values[:, None])[..., 0].astype(np.float32)


@dataclass(frozen=True)
class ClassSpace:
    """Where the features of training images lie, of k classes in C channels, and in d coordinates in which each class
    varies by 1.

    means: `[k, C]` float32, of features of length 1.
    directions: `[d, C]` float32; the product with features, less origin `[d]`, is a coordinate.
    centres: `[k, d]` float32, of the classes. spread: `[d]` float32, the variance of all training images.
    """

    means: NDArray[np.float32]
    directions: NDArray[np.float32]
    origin: NDArray[np.float32]
    centres: NDArray[np.float32]
    spread: NDArray[np.float32]

    @staticmethod
    def shapes(classes: int, channels: int, coordinates: int) -> dict[str, tuple[int, ...]]:
        """Returns the shape of each array."""
        k, c, d = classes, channels, coordinates
        return {"means": (k, c), "directions": (d, c), "origin": (d,), "centres": (k, d), "spread": (d,)}


def _tempered(probabilities: NDArray[Any], temperature: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divides the logits of distributions `[..., K]` by a temperature: softmax(z / T) is p^(1 / T), normalised."""
    relative = probabilities.astype(np.float64) / probabilities.max(-1, keepdims=True)
    powers = relative ** (1 / temperature)
    return powers / powers.sum(-1, keepdims=True)
