"""Draws predictions, and scores them slowly and plainly: one image, one class, one threshold at a time."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import strategies as st
from torch import Tensor

from resnet_tl.metrics.classification import ClassificationMetrics

Drawn = tuple[Tensor, Tensor]


def names(count: int) -> list[str]:
    return [f"class {k}" for k in range(count)]


def measure(probabilities: Tensor, targets: Tensor, multi_label: bool = False, batch: int = 4) -> ClassificationMetrics:
    """Updates in batches, each with a filler that would change every score if it counted."""
    metrics = ClassificationMetrics(names(probabilities.shape[1]), multi_label)
    for p, t in zip(probabilities.split(batch), targets.split(batch), strict=True):
        filler, wrong = p[-1:].flip(1), -torch.ones_like(t[-1:]) if not multi_label else 1 - t[-1:]
        keep = torch.arange(len(p) + 1) < len(p)
        metrics.update(torch.cat([p, filler]), torch.cat([t, wrong]), keep)
    return metrics


@st.composite
def multi_class(draw: st.DrawFn) -> Drawn:
    """Draws few images, some classes without any, and coarse probabilities, so that many are equal."""
    classes, images = draw(st.integers(2, 8)), draw(st.integers(1, 12))
    coarse = st.lists(st.integers(0, 3), min_size=classes, max_size=classes)
    logits = torch.tensor(draw(st.lists(coarse, min_size=images, max_size=images))).float()
    targets = draw(st.lists(st.integers(0, classes - 1), min_size=images, max_size=images))
    return logits.softmax(1), torch.tensor(targets)


@st.composite
def multi_label(draw: st.DrawFn) -> Drawn:
    classes, images = draw(st.integers(2, 5)), draw(st.integers(1, 12))

    def table(highest: int) -> Tensor:
        row = st.lists(st.integers(0, highest), min_size=classes, max_size=classes)
        return torch.tensor(draw(st.lists(row, min_size=images, max_size=images))).float()

    return table(8) / 8, table(1)


def f1_by_hand(predicted: list[bool], targets: list[bool]) -> float | None:
    correct = sum(p and t for p, t in zip(predicted, targets, strict=True))
    return 2 * correct / (sum(predicted) + sum(targets)) if sum(predicted) + sum(targets) else None


def mean(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return sum(known) / len(known)


def multi_class_by_hand(probabilities: Tensor, targets: Tensor) -> dict[str, float]:
    rows, targets = probabilities.numpy(), targets.tolist()
    classes, images = rows.shape[1], len(targets)
    ranked = [sorted(range(classes), key=lambda k, row=row: (-row[k], k)) for row in rows]
    predicted = [order[0] for order in ranked]
    correct = [p == t for p, t in zip(predicted, targets, strict=True)]
    scores = {"acc": sum(correct) / images}
    if classes > 5:
        scores["top5"] = sum(t in order[:5] for order, t in zip(ranked, targets, strict=True)) / images
    scores["f1"] = mean([f1_by_hand([s == k for s in predicted], [t == k for t in targets]) for k in range(classes)])
    confidence = [row[s] for row, s in zip(rows, predicted, strict=True)]
    scores["ece"] = 0.0
    for b in range(15):
        inside = [i for i, c in enumerate(confidence) if b < np.float32(c * np.float32(15)) <= b + 1]
        scores["ece"] += abs(sum(correct[i] for i in inside) - sum(float(confidence[i]) for i in inside)) / images
    return scores


def average_precision_by_hand(scores: list[float], targets: list[float]) -> float | None:
    """Lowers the threshold over each distinct score, and adds the step in recall times the precision there."""
    area, recall = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [t for s, t in zip(scores, targets, strict=True) if s >= threshold]
        step = sum(taken) / sum(targets) - recall if sum(targets) else 0
        area, recall = area + step * sum(taken) / len(taken), recall + step
    return area if sum(targets) else None
