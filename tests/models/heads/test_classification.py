"""Pooling, losses, class weights and thresholds of the classification heads, against their definitions."""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.base import Head
from resnet_tl.models.heads.classification import LinearHead, MLPHead, choose_thresholds
from resnet_tl.models.heads.pooled import GeM
from resnet_tl.recipe.build import instantiate
from resnet_tl.recipe.node import Node, overlay
from resnet_tl.recipe.read import override
from resnet_tl.recipe.resolve import resolve
from resnet_tl.recipe.schema import Field, Section
from resnet_tl.structures.records import Level

LEVELS = [Level("c4", 2, 16), Level("c5", 3, 32)]
CLASSES = ["ant", "bee", "cat"]


def linear(**options: Any) -> LinearHead:
    return LinearHead(LEVELS, CLASSES, **options)


def loss(head: Head, logits: Tensor, targets: Tensor) -> Tensor:
    return head.loss(logits, targets)["loss"]


@pytest.mark.parametrize(
    ("pool", "expected"),
    [("avg", 4.0), ("max", 7.0), ("avgmax", 5.5), ("gem", ((1 + 64 + 64 + 343) / 4) ** (1 / 3))],
)
def test_pooling(pool: str, expected: float) -> None:
    head = linear(pool=pool)
    grid = torch.tensor([[1.0, 4.0], [4.0, 7.0]]).expand(2, 3, 2, 2)
    torch.testing.assert_close(head.features({"c5": grid}), torch.full((2, 3), expected))


@pytest.mark.parametrize(("p", "expected"), [(1.0, 2.5), (300.0, 4.0)])
def test_gem_is_between_average_and_maximum_and_never_overflows(p: float, expected: float) -> None:
    grid = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).view(1, 1, 2, 2)
    assert float(GeM(p)(grid)) == pytest.approx(expected, rel=1e-2)
    assert GeM(p)(1e30 * grid).isfinite().all()


def test_gem_of_zeros_is_nearly_zero_and_has_a_gradient() -> None:
    gem, blank = GeM(), torch.zeros(1, 2, 3, 3, requires_grad=True)
    out = gem(blank)
    torch.testing.assert_close(out, torch.full((1, 2), GeM.floor), rtol=1e-4, atol=0)
    out.sum().backward()
    assert gem.p.grad.isfinite().all()


def test_it_reads_the_deepest_level_and_starts_near_equal_probabilities() -> None:
    torch.manual_seed(0)
    head = linear()
    logits = head({"c4": torch.full((1, 2, 4, 4), math.nan), "c5": torch.rand(1, 3, 2, 2)}, None, (64, 64))
    assert float(loss(head, logits, torch.tensor([1]))) == pytest.approx(math.log(3), abs=0.1)
    assert logits.any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_multi_class_loss_equals_torch_cross_entropy(smoothing: float) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.tensor([0, 2, 1, 1, 0])
    head = linear(label_smoothing=smoothing)
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing)
    torch.testing.assert_close(loss(head, logits, targets), expected)
    torch.testing.assert_close(loss(head, logits, torch.eye(3)[targets]), expected)


def test_multi_label_loss_equals_torch_binary_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 3), (torch.rand(4, 3) < 0.5).float()
    torch.testing.assert_close(
        loss(linear(multi_label=True), logits, targets), F.binary_cross_entropy_with_logits(logits, targets)
    )
    torch.testing.assert_close(
        loss(linear(multi_label=True, label_smoothing=0.2), logits, targets),
        F.binary_cross_entropy_with_logits(logits, targets * 0.8 + 0.1),
    )


def test_class_weights_multiply_the_loss_of_an_image() -> None:
    logits, targets = torch.randn(2, 3), torch.tensor([0, 2])
    each = F.cross_entropy(logits, targets, reduction="none")
    weighted = linear(class_weights=[2.0, 1.0, 0.5])
    torch.testing.assert_close(loss(weighted, logits, targets), (2 * each[0] + 0.5 * each[1]) / 2)


def test_class_weights_leave_something_to_learn() -> None:
    with pytest.raises(RecipeError, match=r"head\.class_weights is 0 for all classes"):
        linear(class_weights=[0.0, 0.0, 0.0])


def test_a_threshold_of_0_names_every_class() -> None:
    thresholds = linear(multi_label=True, thresholds=0.0).thresholds
    assert thresholds is not None
    assert thresholds.tolist() == [0.0, 0.0, 0.0]


def test_class_weights_multiply_the_loss_of_positive_labels() -> None:
    logits = torch.randn(1, 3)
    weighted, plain = linear(multi_label=True, class_weights=[2.0, 1.0, 0.5]), linear(multi_label=True)
    yes, no = torch.tensor([[1.0, 0.0, 0.0]]), torch.zeros(1, 3)
    torch.testing.assert_close(loss(weighted, logits, no), loss(plain, logits, no))
    more = -logits.sigmoid().log()[0, 0] / 3
    torch.testing.assert_close(loss(weighted, logits, yes), loss(plain, logits, yes) + more)


@pytest.mark.parametrize("weights", [None, [2.0, 1.0, 0.5]])
def test_the_loss_of_two_halves_averages_to_that_of_the_whole(weights: list[float] | None) -> None:
    """Averages as ranks and accumulated batches do; the class weights within a half do not matter."""
    head, logits, targets = linear(class_weights=weights), torch.randn(4, 3), torch.tensor([0, 0, 2, 1])
    halves = (loss(head, logits[:2], targets[:2]) + loss(head, logits[2:], targets[2:])) / 2
    torch.testing.assert_close(halves, loss(head, logits, targets))


@pytest.mark.parametrize("several", [False, True])
def test_training_leaves_classes_out_of_the_loss_and_their_rows_alone(several: bool) -> None:
    head = linear(multi_label=several, class_weights=[1.0, 5.0, 3.0], label_smoothing=0.1)
    head.trained_classes = torch.tensor([0, 2])
    maps = {"c5": torch.randn(4, 3, 2, 2)}
    targets = torch.tensor([[1, 0, 0], [0, 0, 1], [1, 0, 1], [0, 0, 0]]) if several else torch.tensor([0, 2, 2, 0])
    loss(head, logits := head(maps, None, (64, 64)), targets).backward()
    assert head.fc.weight.grad is not None
    assert head.fc.weight.grad[1].abs().sum() == 0
    two = LinearHead(LEVELS, ["ant", "cat"], multi_label=several, class_weights=[1.0, 3.0], label_smoothing=0.1)
    of_two = targets[:, [0, 2]] if several else targets // 2
    torch.testing.assert_close(loss(head, logits, targets), loss(two, logits[:, [0, 2]], of_two))
    whole = linear(multi_label=several, class_weights=[1.0, 5.0, 3.0], label_smoothing=0.1)
    torch.testing.assert_close(loss(head.eval(), logits, targets), loss(whole, logits, targets))
    assert "trained_classes" not in head.state_dict()


def test_auto_weights_give_all_classes_the_same_total_weight() -> None:
    head = linear(class_weights="auto")
    assert head.weight.tolist() == [1, 1, 1]
    head.set_class_counts([10, 30, 20])
    torch.testing.assert_close(head.weight * torch.tensor([10, 30, 20]), torch.full((3,), 20.0))
    head.set_class_counts([10, 0, 30])
    assert head.weight[1] == 1


def test_class_counts_have_no_effect_without_auto_weights() -> None:
    for weights in (None, [1.0, 2.0, 3.0]):
        head = linear(class_weights=weights)
        before = copy.deepcopy(head.state_dict())
        head.set_class_counts([1, 2, 3])
        torch.testing.assert_close(head.state_dict(), before)


def test_the_state_of_a_plain_head_is_that_of_its_classifier() -> None:
    assert set(linear().state_dict()) == {"fc.weight", "fc.bias"}
    more = {"weight", "thresholds"}
    assert set(linear(multi_label=True, class_weights="auto").state_dict()) == {"fc.weight", "fc.bias"} | more


def test_dropout_acts_only_in_training() -> None:
    head, seen = linear(dropout=0.5), {"c5": torch.rand(64, 3, 2, 2)}
    assert not torch.equal(head(seen, None, (64, 64)), head(seen, None, (64, 64)))
    head.eval()
    assert torch.equal(head(seen, None, (64, 64)), head(seen, None, (64, 64)))


def f1(predicted: Tensor, targets: Tensor) -> float:
    return float(2 * (predicted & targets).sum() / (predicted.sum() + targets.sum()))


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=12))
def test_chosen_thresholds_have_the_best_f1(labelled: list[tuple[int, bool]]) -> None:
    scores = torch.tensor([score for score, _ in labelled]) / 6
    targets = torch.tensor([positive for _, positive in labelled])
    chosen = choose_thresholds(scores[:, None], targets[:, None])
    assert chosen.shape == (1,)
    if not targets.any():
        assert float(chosen) == 0.5
        return
    best = max(f1(scores >= threshold, targets) for threshold in scores)
    assert f1(scores >= chosen, targets) == pytest.approx(best)
    assert 0 <= float(chosen) <= 1


def test_a_chosen_threshold_is_half_way_even_between_neighbouring_floats() -> None:
    probabilities = torch.tensor([[0.9, 0.5], [0.7, 0.5], [0.3, 0.0]])
    probabilities[1, 1] = torch.nextafter(torch.tensor(0.5), torch.tensor(0.0))
    chosen = choose_thresholds(probabilities, torch.tensor([[1, 1], [1, 0], [0, 0]]))
    torch.testing.assert_close(chosen, torch.tensor([0.5, 0.5]))
    assert ((probabilities >= chosen) == torch.tensor([[1, 1], [1, 0], [0, 0]]).bool()).all()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"pool": "avgmx"},
            "head.pool must be one of 'avg', 'max', 'avgmax', 'gem', got 'avgmx'; did you mean ",
        ),
        ({"dropout": 1.5}, "head.dropout must be float in [0, 1), got 1.5"),
        ({"label_smoothing": -0.1}, "head.label_smoothing must be float in [0, 1), got -0.1"),
        ({"class_weights": [1.0]}, "head.class_weights has 1 values, expected one for each of the 3 classes"),
        (
            {"class_weights": [1.0, -1.0, 1.0]},
            "head.class_weights must be 'auto' or a list of float >= 0 or null, got [1.0, -1.0, 1.0]",
        ),
        ({"thresholds": 0.3}, "head.thresholds is 0.3, but only multi-label heads have thresholds"),
    ],
)
def test_invalid_options_are_one_sentence(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        linear(**options)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


class Model:
    """Takes a head as a task does."""

    def __init__(self, head: Callable[[list[Level], list[str]], Head] = LinearHead) -> None:
        self.head = head(LEVELS, CLASSES)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["--model.head.dropout", "0.3"], LinearHead),
        (["--model.head", "LinearHead", "--model.head.dropout", "0.3"], LinearHead),
        (["--model.head", "MLPHead", "--model.head.hidden", "7", "--model.head.dropout", "0.3"], MLPHead),
    ],
)
def test_a_recipe_names_it_by_its_short_name(arguments: list[str], kind: type[LinearHead]) -> None:
    options = [
        override(key.removeprefix("--"), text) for key, text in zip(arguments[::2], arguments[1::2], strict=True)
    ]
    section = Section({"model": Field(Model)})
    recipe = resolve(
        functools.reduce(overlay, options, Node({"model": Node({"class_path": Node("Model", "")}, "")}, "")), section
    )
    head = instantiate(Model, recipe["model"]).head
    assert type(head) is kind
    assert head.dropout.p == 0.3
    assert head.fc.out_features == 3
