"""A classifier's tables equal scikit-learn's numbers; their intervals, a bootstrap that repeats images."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from resnet_tl.metrics.bootstrap import resample
from resnet_tl.metrics.class_tables import CALIBRATED
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.score_tables import ScoreTables
from resnet_tl.metrics.tables import tables_of
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.evaluation import ClassEvaluation


def evaluation(images: int, classes: int, *, several: bool = False, seed: int = 0, steps: int = 20) -> ClassEvaluation:
    """Coarse probabilities, so that many are equal; the classes have different numbers of images."""
    draw = np.random.default_rng(seed)
    targets = draw.choice(classes, images, p=np.arange(1, classes + 1) / np.arange(1, classes + 1).sum())
    logits = draw.normal(size=(images, classes)) + 2 * (targets[:, None] == np.arange(classes))
    logits = np.round(logits * steps) / steps
    probabilities, thresholds = np.exp(logits), np.zeros(0, np.float32)
    probabilities /= probabilities.sum(1, keepdims=True)
    if several:
        probabilities = 1 / (1 + np.exp(-np.round(logits * 3) / 3))
        targets, thresholds = draw.random(probabilities.shape) < probabilities, np.linspace(0.3, 0.7, classes)
    return ClassEvaluation(
        classes=[f"class {k}" for k in range(classes)],
        root="nowhere",
        split="val",
        step=1,
        absent=[],
        keys=np.array([f"{image:03}.jpg" for image in range(images)]),
        losses=np.zeros(images, np.float32),
        probabilities=probabilities.astype(np.float32),
        targets=targets,
        thresholds=thresholds.astype(np.float32),
    )


def values(tables: ScoreTables) -> dict[str, Any]:
    return {str(row["metric"]): row["value"] for row in tables.tables["summary"]}


def column(tables: ScoreTables, name: str) -> list[Any]:
    return [row[name] for row in tables.tables["per_class"]]


@pytest.mark.parametrize("classes", [2, 3, 7])
def test_one_label_equals_scikit_learn(classes: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(200, classes, seed=classes)
    tables, truth, guess, marks = tables_of(e), e.targets, e.probabilities.argmax(1), np.eye(classes)[e.targets]
    expected = {
        "acc": sklearn.accuracy_score(truth, guess),
        "balanced_acc": sklearn.balanced_accuracy_score(truth, guess),
        "kappa": sklearn.cohen_kappa_score(truth, guess),
        "map": sklearn.average_precision_score(marks, e.probabilities, average="macro"),
        "auroc": sklearn.roc_auc_score(marks, e.probabilities, average="macro"),
    }
    for average in ("macro", "weighted"):
        *each, _ = sklearn.precision_recall_fscore_support(truth, guess, average=average, zero_division=0)
        expected |= dict(zip((f"{name}_{average}" for name in ("precision", "recall", "f1")), each, strict=True))
    expected["f1"] = expected.pop("f1_macro")
    found = values(tables)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    ap = sklearn.average_precision_score(marks, e.probabilities, average=None)
    assert column(tables, "ap") == pytest.approx(ap.tolist(), abs=1e-12)
    auroc = sklearn.roc_auc_score(marks, e.probabilities, average=None)
    assert column(tables, "auroc") == pytest.approx(auroc.tolist(), abs=1e-12)
    assert next(iter(found)) == "acc"
    assert not tables.notes


def test_several_labels_equal_scikit_learn() -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(200, 5, several=True)
    tables, guess = tables_of(e), e.probabilities >= e.thresholds
    expected = {
        "map": sklearn.average_precision_score(e.targets, e.probabilities),
        "auroc": sklearn.roc_auc_score(e.targets, e.probabilities),
    }
    for average in ("macro", "weighted", "micro"):
        *each, _ = sklearn.precision_recall_fscore_support(e.targets, guess, average=average, zero_division=0)
        expected |= dict(zip((f"{name}_{average}" for name in ("precision", "recall", "f1")), each, strict=True))
    expected["f1"] = expected.pop("f1_macro")
    found = values(tables)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert next(iter(found)) == "map"
    assert not {"acc", "kappa", "balanced_acc"} & set(found)


def test_several_labels_have_the_thresholds_of_calibrated_probabilities_too() -> None:
    e, temperature = evaluation(60, 3, several=True), [0.5, 1.0, 4.0]
    tables, plain = tables_of(e, temperature=temperature), tables_of(e)
    calibrated = Decisions(temperature).calibrated(e.probabilities, multi_label=True)
    limits = np.array(column(tables, "calibrated_threshold"), np.float32)
    np.testing.assert_array_equal(calibrated >= limits, e.probabilities >= e.thresholds)
    assert column(tables, "threshold") == column(plain, "threshold") == pytest.approx([0.3, 0.5, 0.7])
    assert tables.tables["summary"] == plain.tables["summary"]
    assert (tables.notes, plain.notes) == ([CALIBRATED], [])
    assert "calibrated_threshold" not in plain.tables["per_class"][0]


@pytest.mark.parametrize("several", [False, True])
def test_sensitivity_at_a_specificity(several: bool) -> None:
    sklearn = pytest.importorskip("sklearn.metrics")
    e = evaluation(150, 3, several=several)
    tables, name = tables_of(e, specificity=0.9), "sensitivity_at_specificity_0.9"
    marks = e.targets if several else np.eye(3)[e.targets]
    expected = []
    for k in range(3):
        alarms, found, _ = sklearn.roc_curve(marks[:, k], e.probabilities[:, k], drop_intermediate=False)
        expected.append(found[alarms <= 0.1 + 1e-9].max())
    assert column(tables, name) == pytest.approx(expected)
    assert values(tables)[name] == pytest.approx(np.mean(expected))
    ends = zip(column(tables, f"{name}_low"), column(tables, name), column(tables, f"{name}_high"), strict=True)
    assert all(low <= value <= high and low < high for low, value, high in ends)
    assert name not in values(tables_of(e))


def test_intervals_are_those_of_a_bootstrap() -> None:
    e = evaluation(100, 3)
    drawn, right = resample(np.random.default_rng(0), 100, 1000), e.probabilities.argmax(1) == e.targets
    recalls = [((right & (e.targets == k)) @ drawn) / ((e.targets == k) @ drawn) for k in range(3)]
    tables = tables_of(e)
    rows = {row["metric"]: (row["low"], row["high"]) for row in tables.tables["summary"]}
    assert rows["balanced_acc"] == pytest.approx(np.percentile(np.mean(recalls, 0), [2.5, 97.5]))
    ends = zip(column(tables, "recall_low"), column(tables, "recall_high"), strict=True)
    assert list(ends) == pytest.approx(np.percentile(recalls, [2.5, 97.5], axis=1).T)
    assert rows["ece"] == (None, None)


def test_classes_without_images_are_left_out_and_named() -> None:
    e = evaluation(60, 4)
    probabilities = e.probabilities.copy()
    probabilities[:, 3], probabilities[0] = 0, [0, 0, 0, 1]
    e = replace(e, probabilities=probabilities, targets=e.targets % 3)
    tables = tables_of(e)
    found, rows = values(tables), tables.tables["per_class"]
    for name, mean in (("ap", "map"), ("auroc", "auroc"), ("recall", "balanced_acc")):
        assert (rows[3][name], rows[3][f"{name}_low"]) == (None, None)
        assert found[mean] == pytest.approx(np.mean(column(tables, name)[:3]))
    # One image is predicted as the class, wrongly.
    assert found["precision_macro"] == pytest.approx(sum(column(tables, "precision")[:3]) / 4)
    assert tables.notes == [
        "no image shows class 3: means over classes are over the others",
        "class 3: predicted without an image, so 0 in the means of precision and F1",
    ]
    known = tables_of(replace(e, absent=[3]))
    assert values(known)["precision_macro"] == pytest.approx(np.mean(column(tables, "precision")[:3]))
    assert len(known.notes) == 1


def test_a_class_that_is_never_predicted_has_precision_0_in_the_mean() -> None:
    e = evaluation(60, 3)
    probabilities = e.probabilities.copy()
    probabilities[:, 0] = 0
    tables = tables_of(replace(e, probabilities=probabilities))
    assert column(tables, "precision")[0] is None
    assert values(tables)["precision_macro"] == pytest.approx(sum(column(tables, "precision")[1:]) / 3)


def test_images_of_one_class() -> None:
    e = evaluation(30, 2)
    tables = tables_of(replace(e, targets=np.ones(30, np.int64)))
    found = values(tables)
    assert (found["auroc"], found["map"]) == (None, 1)
    assert found["balanced_acc"] == found["acc"]
    assert tables.notes == [
        "no image shows class 0: means over classes are over the others",
        "class 0: predicted without an image, so 0 in the means of precision and F1",
        "all images show class 1: no AUROC, which needs others",
    ]
    right = np.eye(2, dtype=np.float32)[np.ones(30, np.int64)]
    assert values(tables_of(replace(e, targets=np.ones(30, np.int64), probabilities=right)))["kappa"] is None


def test_nan_outputs_have_no_scores() -> None:
    e = evaluation(30, 3)
    probabilities = e.probabilities.copy()
    probabilities[3] = np.nan
    tables = tables_of(replace(e, probabilities=probabilities))
    assert set(values(tables).values()) == {None}
    assert tables.interval is None
    assert tables.notes == ["some outputs are NaN or infinite"]


def test_a_set_too_large_to_be_ranked_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.metrics.class_tables.WORK", 50 * 500)
    e = evaluation(50, 7)
    tables = tables_of(e)
    rows = {row["metric"]: row for row in tables.tables["summary"]}
    assert rows["auroc"]["value"] == values(tables)["auroc"] is not None
    assert rows["auroc"]["low"] is None
    assert rows["kappa"]["low"] is not None
    assert rows["acc"]["low"] == metrics_of(e).interval()[0]  # type: ignore[union-attr]
    assert tables.notes == ["the set is too large for intervals of mAP and AUROC"]
