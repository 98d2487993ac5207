"""The scores of the best F1, against trying every score."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from resnet_tl.metrics.box_matches import match
from resnet_tl.metrics.box_scores import LEAST, best_score, best_scores, from_scores
from resnet_tl.structures.evaluation import BoxEvaluation
from tests.metrics.box_sets import box_set


def test_no_other_score_has_a_better_f1() -> None:
    evaluation = box_set(images=60)
    matches = match(evaluation, [0.5])

    def f1(score: float) -> float:
        chosen = evaluation.scores >= score
        return 2 * matches.hits[0][chosen].sum() / (chosen.sum() + len(evaluation.target_labels))

    best = best_score(evaluation, matches)
    assert f1(best) == max(f1(score) for score in evaluation.scores)


def f1_of(evaluation: BoxEvaluation, k: int, score: float) -> float:
    """Of the class, without the detections in crowds."""
    matches, of_class = match(evaluation, [0.5]), evaluation.labels == k
    chosen = of_class & (evaluation.scores >= score) & ~matches.ignored[0]
    objects = ((evaluation.target_labels == k) & ~evaluation.target_crowd).sum()
    return float(2 * matches.hits[0][chosen].sum() / (chosen.sum() + objects))


def test_no_other_score_of_a_class_has_a_better_f1() -> None:
    evaluation = box_set(images=60, crowds=0.1)
    scores = best_scores(evaluation, match(evaluation, [0.5]))
    assert len(set(scores.tolist())) == 4
    for k, score in enumerate(scores.tolist()):
        own = evaluation.scores[evaluation.labels == k]
        assert f1_of(evaluation, k, score) == max(f1_of(evaluation, k, other) for other in own.tolist())


def test_a_class_with_few_objects_or_without_hits_has_the_score_of_all() -> None:
    evaluation = box_set(images=60)
    of_class = evaluation.target_labels == 2
    few = ~of_class | (np.cumsum(of_class) < LEAST)
    fields = ("image", "labels", "crowd", "area", "boxes", "mask_bytes")
    evaluation = replace(
        evaluation, **{f"target_{name}": getattr(evaluation, f"target_{name}")[few] for name in fields}
    )
    labels = np.where(evaluation.labels == 3, 0, evaluation.labels)
    evaluation = replace(evaluation, labels=labels)
    matches = match(evaluation, [0.5])
    scores, of_all = best_scores(evaluation, matches), best_score(evaluation, matches)
    assert scores[2] == scores[3] == of_all
    assert scores[1] != of_all


def test_without_hits_all_detections_count() -> None:
    evaluation = box_set(images=20)
    evaluation = replace(evaluation, boxes=evaluation.boxes + 10_000)
    scores = best_scores(evaluation, match(evaluation, [0.5]))
    assert scores.tolist() == [0.0] * 4
    assert from_scores(evaluation, scores).all()
