"""Scores and losses do not depend on the number of ranks that the images of a pass are distributed over."""

from __future__ import annotations

import pytest
import torch
from torchmetrics import MeanMetric

from resnet_tl.data.loading.samplers import EvaluationSampler
from resnet_tl.metrics.classification import ClassificationMetrics

CLASSES = list("abcdefg")


def scores_over_ranks(count: int, ranks: int, multi_label: bool) -> tuple[dict[str, float], float]:
    """Computes scores and mean loss of `count` images over `ranks` ranks, in batches of 2 with fillers."""
    torch.manual_seed(count)
    logits = torch.randn(count + 1, len(CLASSES))  # the last one is a filler's
    multi_hot = torch.rand(count + 1, len(CLASSES)) < 0.3
    targets = multi_hot if multi_label else multi_hot.long().argmax(1)
    each = []
    for rank in range(ranks):
        metrics, loss = ClassificationMetrics(CLASSES, multi_label), MeanMetric()
        draws = [draw.index for draw in EvaluationSampler(count, ranks=ranks, rank=rank)]
        for rows in torch.tensor(draws).split(2):
            probabilities = logits[rows].sigmoid() if multi_label else logits[rows].softmax(1)
            keep = rows >= 0
            metrics.update(probabilities, targets[rows], keep)
            kept = logits[rows[keep]].square()
            loss.update(kept.sum() / max(len(kept), 1), weight=keep.sum())
        each.append((metrics, loss))
    (metrics, loss), *others = each
    for other, their_loss in others:
        metrics.metric.merge_state(other.metric)
        loss.merge_state(their_loss)
    return metrics.compute(), float(loss.compute())


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize("count", [1, 5, 7, 16])
def test_the_number_of_ranks_changes_nothing(count: int, multi_label: bool) -> None:
    scores, loss = scores_over_ranks(count, 1, multi_label)
    for ranks in (2, 3):
        distributed, their_loss = scores_over_ranks(count, ranks, multi_label)
        assert distributed == pytest.approx(scores, abs=0, nan_ok=True)
        assert their_loss == pytest.approx(loss, abs=1e-6)
