"""The regression head: losses as textbooks have them, predictions in the numbers' units."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.regression import RegressionHead
from resnet_tl.structures.records import Level

LEVELS = [Level("c5", 12, 32)]
NAMES = ["age", "grams"]
MEAN, SD = [40.0, 3000.0], [10.0, 500.0]


def head(**options: Any) -> RegressionHead:
    torch.manual_seed(0)
    built = RegressionHead(LEVELS, NAMES, **options).eval()
    built.set_scale(MEAN, SD)
    return built


def maps(images: int = 5) -> dict[str, Tensor]:
    return {"c5": torch.rand(images, 12, 3, 4)}


def targets(images: int = 5) -> Tensor:
    return torch.randn(images, 2) * torch.tensor(SD) * 2 + torch.tensor(MEAN)


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_the_loss_is_that_of_torch_in_standard_deviations(loss: str) -> None:
    built, truth = head(loss=loss), targets()
    outputs = built(maps(), None, (96, 128))
    standardised = (truth - torch.tensor(MEAN)) / torch.tensor(SD)
    expected = {"mse": F.mse_loss, "huber": F.huber_loss}[loss](outputs[..., 0], standardised)
    torch.testing.assert_close(built.loss(outputs, truth)["loss"], expected)


def test_the_pinball_loss_is_lowest_at_the_quantiles() -> None:
    """Koenker and Bassett 1978: of a constant, the minimum is the empirical quantile."""
    built = head(loss="quantiles", coverage=0.8)
    draws = torch.linspace(-3, 3, 1001)
    truth = (draws[:, None] * torch.tensor(SD)) + torch.tensor(MEAN)
    losses = [
        float(built.loss(torch.full((1001, 2, 3), 9.0).index_fill(2, torch.tensor(q), value), truth)["loss"])
        for q in range(3)
        for value in torch.linspace(-3, 3, 61).tolist()
    ]
    best = [torch.linspace(-3, 3, 61)[each.argmin()] for each in torch.tensor(losses).view(3, 61)]
    assert torch.tensor(best) == pytest.approx(torch.tensor([-2.4, 0.0, 2.4]), abs=0.05)


def test_the_pinball_loss_is_of_the_size_of_the_errors_and_summed_over_quantiles() -> None:
    built = head(loss="quantiles")
    truth = torch.tensor([[1.5, -2.0]]) * torch.tensor(SD) + torch.tensor(MEAN)
    alike = built.loss(torch.zeros(1, 2, 3), truth)["loss"]
    median = alike - built.loss(torch.zeros(1, 2, 3).index_fill(2, torch.tensor(1), 1.0), truth)["loss"]
    torch.testing.assert_close(alike, torch.tensor(3 * (1.5 + 2.0) / 2))
    torch.testing.assert_close(median, torch.tensor(((1.5 - 0.5) + (2.0 - 3.0)) / 2))


def test_an_untrained_head_predicts_about_the_mean_of_the_training_images() -> None:
    built = head()
    predicted = built.predict(built(maps(), None, (96, 128)))
    assert predicted.shape == (5, 2, 1)
    assert ((predicted[..., 0] - torch.tensor(MEAN)).abs() < 0.2 * torch.tensor(SD)).all()


def test_quantiles_never_cross() -> None:
    built = head(loss="quantiles")
    predicted = built.predict(torch.tensor([[[3.0, 1.0, 2.0], [-1.0, 0.0, 1.0]]]))
    assert predicted.tolist() == [[[50.0, 60.0, 70.0], [2500.0, 3000.0, 3500.0]]]


def test_a_bad_coverage_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"head\.coverage"):
        head(coverage=0.3)
