"""The contract of the three predictors: one signature, one preprocessing, options of other tasks refused."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.errors import DataError, RecipeError, UserError, WeightsError
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.regression import ValuePredictor
from resnet_tl.prediction.segmentation import MaskPredictor

TASKS = ("classification", "segmentation", "detection", "regression")
Make = Callable[..., Predictor[Any]]


def values(prediction: Any) -> list[np.ndarray]:
    """Everything numeric in a prediction."""
    if hasattr(prediction, "probabilities"):
        return [prediction.probabilities]
    if hasattr(prediction, "values"):
        return [np.array([*prediction.values.values()]), np.array([*prediction.intervals.values()])]
    if hasattr(prediction, "mask"):
        return [prediction.mask]
    masks = [np.array([mask.pixels.sum(), mask.top, mask.left]) for mask in prediction.masks]
    return [prediction.boxes, prediction.scores, prediction.labels, *masks]


def images(count: int = 7) -> list[np.ndarray]:
    """Noise of two sizes, in turn, one image of 16 bits among them."""
    draw = np.random.default_rng(0)
    arrays = [draw.integers(0, 256, (48, 56 if n % 2 else 40, 3), np.uint8) for n in range(count)]
    return [array.astype(np.uint16) * 257 if n == 3 else array for n, array in enumerate(arrays)]


def test_all_have_one_signature_with_options_by_keyword() -> None:
    for kind in (ClassPredictor, MaskPredictor, BoxPredictor, ValuePredictor):
        for method in (kind.predict, kind.stream):
            assert method is getattr(Predictor, method.__name__)
    for method in (Predictor.predict, Predictor.stream):
        self, inputs, *options = inspect.signature(method).parameters.values()
        assert (self.name, inputs.name) == ("self", "inputs")
        assert [each.name for each in options] == [
            *("on_error", "batch_size", "every", "top", "score"),
            *("unsure", "tiles", "overlap"),
        ]
        assert {each.kind for each in options} == {inspect.Parameter.KEYWORD_ONLY}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [1, 2, 5, 100])
def test_batches_change_nothing_but_rounding(predictor: Make, task: str, batch_size: int) -> None:
    made = predictor(task)
    alone = [made.predict(image)[0] for image in images()]
    together = made.predict(images(), batch_size=batch_size)
    assert [prediction.index for prediction in together] == list(range(7))
    for one, other in zip(alone, together, strict=True):
        for expected, value in zip(values(one), values(other), strict=True):
            assert expected.dtype == value.dtype
            np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("own", [False, True])
def test_images_of_one_size_go_through_the_network_together(predictor: Make, task: str, own: bool) -> None:
    made, seen = predictor(task, batch_size=4 if own else 1), []
    made.network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))  # type: ignore[attr-defined]
    arrays = [np.zeros((40, 40 + 20 * (n % 2), 3), np.uint8) for n in range(8)]
    made.predict(arrays, batch_size=None if own else 4)
    assert seen == ([4, 4] if task in ("classification", "regression") else [2, 2, 2, 2])


@pytest.mark.parametrize("task", TASKS)
def test_predictions_come_one_by_one_without_waiting_for_the_rest(predictor: Make, task: str, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    stream = predictor(task).stream([*images(2), tmp_path / "cut.png"])
    assert [next(stream).index, next(stream).index] == [0, 1]
    assert not torch.is_inference_mode_enabled(), "the caller computes in between"
    with pytest.raises(DataError, match=r"cut\.png"):
        next(stream)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_skipped_images_are_named_and_leave_a_gap(predictor: Make, task: str, batch_size: int, tmp_path: Path) -> None:
    (tmp_path / "cut.png").write_bytes(b"\x89PNG")
    inputs = [images()[0], tmp_path / "cut.png", images()[1]]
    with pytest.warns(UserWarning, match=r"^skipped: .*cut\.png") as caught:
        predictions = predictor(task).predict(inputs, on_error="skip", batch_size=batch_size)
    assert [prediction.index for prediction in predictions] == [0, 2]
    assert len(caught) == 1


@pytest.mark.parametrize("task", TASKS)
def test_options_of_other_tasks_are_refused_at_once(predictor: Make, task: str) -> None:
    made = predictor(task)
    for option, value, owner in (
        ("top", 3, "classification"),
        ("score", 0.5, "detection"),
        ("tiles", 64, "detection"),
    ):
        if owner == task:
            assert len(made.predict(images(1), **{option: value})) == 1
            continue
        own = ", whose tiles are `model.inference.tile`" if (option, task) == ("tiles", "segmentation") else ""
        message = f"^{option} applies to {owner}, but this network does {task}{own}; remove it$"
        with pytest.raises(UserError, match=message):
            made.stream(images(1), **{option: value})
        with pytest.raises(UserError, match=message):
            made.predict(images(1), **{option: value})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size: 0; expected 1 or more"),
        ({"on_error": "ignore"}, "on_error: 'ignore'; expected 'error' or 'skip'"),
    ],
)
@pytest.mark.parametrize("task", TASKS)
def test_options_out_of_range_are_refused(predictor: Make, task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=f"^{message}$"):
        predictor(task).stream(images(1), **options)
    for option, owner, value, expected in (
        ("top", "classification", 0, "top: 0; expected 1 or more"),
        ("score", "detection", 1.5, "score: 1.5; expected 0 to 1"),
        ("score", "detection", float("nan"), "score: nan; expected 0 to 1"),
    ):
        if owner == task:
            with pytest.raises(RecipeError, match=f"^{expected}$"):
                predictor(task).stream(images(1), **{option: value})


@pytest.mark.parametrize("task", TASKS)
def test_outputs_that_are_not_finite_are_refused(predictor: Callable[..., Predictor], task: str) -> None:
    """They would be the first class, a mask of it, or no objects at all."""
    diverged = predictor(task)
    with torch.no_grad():
        for parameter in diverged.network.head.parameters():
            parameter.fill_(math.nan)
    with pytest.raises(WeightsError, match=r"outputs for image 0 are NaN or infinite: its training diverged"):
        diverged.predict(np.zeros((32, 32, 3), np.uint8))
