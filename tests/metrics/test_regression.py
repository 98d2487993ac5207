"""Scores of numbers equal scikit-learn's, on any number of ranks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from resnet_tl.data.loading.samplers import EvaluationSampler
from resnet_tl.metrics.evaluated import metrics_of
from resnet_tl.metrics.paired import difference
from resnet_tl.metrics.regression import RegressionMetrics
from resnet_tl.metrics.tables import tables_of
from resnet_tl.structures.evaluation import ValueEvaluation
from resnet_tl.structures.pooled import pool

sklearn = pytest.importorskip("sklearn.metrics")
SD = np.array([10.0, 500.0])


def sample(count: int, quantiles: int = 1) -> tuple[Tensor, Tensor]:
    """Predictions and targets of years around 2000, where a sum of squares would cancel, and of grams."""
    rng = np.random.default_rng(count)
    targets = rng.normal(size=(count, 2)) * [0.5, 500] + [2000, 3000]
    spread = np.linspace(-1, 1, quantiles) if quantiles > 1 else np.zeros(1)
    predictions = (targets + rng.normal(size=(count, 2)) * [0.2, 300])[..., None] + spread * SD[:, None]
    return torch.tensor(predictions), torch.tensor(targets)


def metrics(ranks: int, predictions: Tensor, targets: Tensor, names: list[str]) -> RegressionMetrics:
    """Metrics that have seen the images over these ranks, in batches of 3 with fillers."""
    each = []
    for rank in range(ranks):
        made = RegressionMetrics(names)
        made.sd = SD[: len(names)]
        draws = [draw.index for draw in EvaluationSampler(len(targets), ranks=ranks, rank=rank)]
        for rows in torch.tensor(draws).split(3):
            made.update(predictions[rows], targets[rows], rows >= 0)
        each.append(made)
    for other in each[1:]:
        each[0].metric.merge_state(other.metric)
    return each[0]


@pytest.mark.parametrize("quantiles", [1, 3])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_scores_are_those_of_scikit_learn(ranks: int, quantiles: int) -> None:
    predictions, targets = sample(41, quantiles)
    middle = predictions[..., quantiles // 2]
    found = metrics(ranks, predictions, targets, ["year", "grams"])
    errors = np.abs(middle - targets).numpy()
    scores = found.compute()
    assert scores["mae"] == pytest.approx(float((errors / SD).mean()), abs=1e-12)
    assert scores["r2"] == pytest.approx(sklearn.r2_score(targets, middle), abs=1e-12)
    for number, row in enumerate(found.tables()["per_class"]):
        truth, predicted = targets[:, number], middle[:, number]
        assert (row["number"], row["images"]) == (["year", "grams"][number], 41)
        assert row["mae"] == pytest.approx(sklearn.mean_absolute_error(truth, predicted), abs=1e-9)
        assert row["rmse"] == pytest.approx(sklearn.root_mean_squared_error(truth, predicted), abs=1e-9)
        assert row["r2"] == pytest.approx(sklearn.r2_score(truth, predicted), abs=1e-12)
        assert ("coverage" in row) == (quantiles == 3)
    if quantiles == 3:
        inside = (predictions[..., 0] <= targets) & (targets <= predictions[..., 2])
        assert scores["coverage"] == pytest.approx(float(inside.double().mean()))
    low, high = found.interval()
    assert low < scores["mae"] < high


def test_a_single_number_keeps_its_unit() -> None:
    predictions, targets = sample(20)
    found = metrics(2, predictions[:, 1:], targets[:, 1:], ["grams"])
    assert found.compute()["mae"] == pytest.approx(float((predictions[:, 1, 0] - targets[:, 1]).abs().mean()))


def test_outputs_that_are_not_finite_have_no_score_and_equal_targets_no_r2() -> None:
    predictions, targets = sample(5)
    constant = metrics(1, predictions, torch.ones_like(targets), ["year", "grams"]).compute()
    assert math.isnan(constant["r2"])
    assert not math.isnan(constant["mae"])
    predictions[2, 0] = torch.nan
    assert all(map(math.isnan, metrics(1, predictions, targets, ["year", "grams"]).compute().values()))


def evaluation(count: int, names: str = "a", quantiles: int = 1) -> ValueEvaluation:
    predictions, targets = (each.float().numpy() for each in sample(count, quantiles))
    keys = np.array([f"{names}{number}" for number in range(count)])
    losses, sd = np.abs(predictions[..., quantiles // 2] - targets).mean(1), SD.astype(np.float32)
    return ValueEvaluation(["year", "grams"], "root", "val", 3, [], keys, losses, predictions, targets, sd, 0.9)


def test_recorded_predictions_have_the_same_scores_and_tables() -> None:
    recorded = evaluation(30, quantiles=3)
    found = metrics_of(recorded)
    tables = tables_of(recorded)
    assert [row["metric"] for row in tables.tables["summary"]] == ["mae", "rmse", "r2", "coverage"]
    assert tables.tables["summary"][0]["value"] == found.compute()["mae"]
    assert tables.interval == found.interval()
    assert "standard deviations" in tables.notes[0]
    names = [row["name"] for row in tables.tables["summary"]]
    assert names == ["MAE in standard deviations", "RMSE in standard deviations", "R²", "coverage of intervals"]


def test_folds_are_pooled_and_runs_compared() -> None:
    one, other = evaluation(30), evaluation(20, "b")
    assert len(pool([one, other])) == 50
    worse = ValueEvaluation(**{**vars(one), "predictions": one.predictions + 100})
    found = difference([one], [worse])
    assert found.value > 0
    assert found.sure
