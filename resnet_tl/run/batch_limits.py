"""Settings that count the batches of an epoch, which only the data have."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnet_tl.data.base import ImageData
from resnet_tl.data.loading.samplers import EvaluationSampler, TrainSampler
from resnet_tl.errors import RecipeError


def check_batch_limits(trainer: Mapping[str, Any], data: ImageData[Any], batch_size: int, ranks: int) -> None:
    """Refuses shares of an epoch that are less than a batch, and validation after more batches than an epoch has.

    Args:
        trainer: a resolved section.
        batch_size: images of a rank's training batch.
        ranks: of which each has its share of the batches; 1 where it is not known, since more have fewer each.

    Raises:
        RecipeError: there is such a setting.
    """
    drawn = len(TrainSampler(len(data.trained()), seed=0, batch_size=batch_size, ranks=ranks))
    evaluated = len(EvaluationSampler(len(data.evaluated("val")), ranks=ranks))
    batches = _limited("limit_train_batches", trainer, math.ceil(drawn / batch_size))
    validated = _limited("limit_val_batches", trainer, math.ceil(evaluated / data.evaluation_batch_size))
    interval = trainer["val_check_interval"]
    if type(interval) is int and interval > batches and validated and trainer["check_val_every_n_epoch"] is not None:
        raise RecipeError(
            f"trainer.val_check_interval is {interval}, but an epoch has {batches} batches; expected as many at most, "
            "or check_val_every_n_epoch: null, to count them across epochs"
        )


def _limited(key: str, trainer: Mapping[str, Any], batches: int) -> int:
    """Returns how many of the batches a limit leaves, a number of them or a share."""
    limit = trainer[key]
    if not isinstance(limit, float):
        return batches if limit is None else min(batches, limit)
    if 0 < limit * batches < 1:
        raise RecipeError(
            f"trainer.{key} is {limit}, less than one batch of {batches}; expected a number of batches, or a share "
            f"from {math.ceil(1000 / batches) / 1000}"
        )
    return int(limit * batches)
