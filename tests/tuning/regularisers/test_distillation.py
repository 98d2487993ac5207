"""The terms of a teacher next to the papers' formulas in plain numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from resnet_tl.errors import RecipeError
from resnet_tl.tuning.regularisers.base import Seen, Start, Step, Taught
from resnet_tl.tuning.regularisers.distillation import Distillation
from resnet_tl.tuning.regularisers.feature_distillation import FeatureDistillation
from resnet_tl.tuning.teacher import Teacher

draw = np.random.default_rng(0)
CHANNELS, THEIRS = 6, 4


class Net(nn.Module):
    """A network of two stages, and of a task what a regulariser asks of it."""

    def __init__(self, multi_label: bool = False) -> None:
        super().__init__()
        self.layer1, self.fc = nn.Conv2d(3, CHANNELS, 3, stride=2).double(), nn.Linear(CHANNELS, 3).double()
        self.multi_label = multi_label
        self.teacher = SimpleNamespace(channels=THEIRS, digest="0")
        self.mean = torch.zeros(3)

    @property
    def network(self) -> Net:
        return self

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"layer1": [self.layer1], "head": [self.fc]}

    def run(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer1(images.double()).mean((2, 3)))

    def classifier_layer(self) -> nn.Linear:
        return self.fc


def started(regulariser: Any, net: Net | None = None) -> Any:
    net = net or Net()
    regulariser.start(Start(net, net.stages(), ["layer1"]))
    if regulariser.layers is not None:
        regulariser.layers.double()
    return regulariser


def step(images: int, unlabelled: float, seen: Seen, taught: Taught) -> Step:
    return Step(torch.empty(0), torch.zeros(images), seen, None, taught, unlabelled)


def tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(values)


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def sigmoid(logits: NDArray[Any]) -> NDArray[Any]:
    return 1 / (1 + np.exp(-logits))


@pytest.mark.parametrize("unlabelled", [0, 2])
def test_the_term_is_the_divergence_of_softened_probabilities(unlabelled: int) -> None:
    ours, theirs = draw.normal(size=(2, 4 + unlabelled, 3)) * 5
    p, q = softmax(theirs / 3), softmax(ours / 3)
    expected = 0.4 * 3**2 * (p * (np.log(p) - np.log(q))).sum(1).mean()
    regulariser = started(Distillation(Teacher("x", temperature=3, weight=0.4)))
    seen, taught = Seen({}, None, tensor(ours)), Taught(tensor(theirs), None)
    assert float(regulariser.penalty(step(4, unlabelled / 4, seen, taught))) == pytest.approx(expected, rel=1e-12)
    same = Taught(tensor(ours) + 7, None)  # logits are known up to a constant
    assert float(regulariser.penalty(step(4, unlabelled / 4, seen, same))) == pytest.approx(0, abs=1e-12)


def test_of_several_labels_it_is_that_of_each_classs_two_outcomes() -> None:
    ours, theirs = draw.normal(size=(2, 4, 3)) * 5
    p, q = sigmoid(theirs / 2), sigmoid(ours / 2)
    each = p * (np.log(p) - np.log(q)) + (1 - p) * (np.log(1 - p) - np.log(1 - q))
    regulariser = started(Distillation(Teacher("x", weight=1)), Net(multi_label=True))
    found = regulariser.penalty(step(4, 0, Seen({}, None, tensor(ours)), Taught(tensor(theirs), None)))
    assert float(found) == pytest.approx(4 * each.mean(), rel=1e-9)


def test_the_sum_over_micro_batches_is_the_mean_over_the_batch() -> None:
    ours, theirs = draw.normal(size=(2, 9, 3))
    regulariser = started(Distillation(Teacher("x")))

    def term(labelled: slice, others: slice) -> float:
        rows = np.r_[labelled, others]
        seen, taught = Seen({}, None, tensor(ours[rows])), Taught(tensor(theirs[rows]), None)
        return float(regulariser.penalty(step(labelled.stop - labelled.start, 3 / 6, seen, taught)))

    whole = term(slice(0, 6), slice(6, 9))
    pieces = [(slice(0, 2), slice(6, 7)), (slice(2, 6), slice(7, 9))]
    assert sum(term(*piece) * share for piece, share in zip(pieces, (2 / 6, 4 / 6), strict=True)) == pytest.approx(
        whole
    )


def test_vectors_are_compared_by_the_cosine_of_their_projection() -> None:
    ours, theirs = draw.normal(size=(4, CHANNELS)), draw.normal(size=(4, THEIRS))
    regulariser = started(FeatureDistillation(Teacher("x", features=0.3)))
    layer = regulariser.layers
    projected = ours @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
    cosines = (projected * theirs).sum(1) / np.linalg.norm(projected, axis=1) / np.linalg.norm(theirs, axis=1)
    found = regulariser.penalty(step(4, 0, Seen({}, tensor(ours)), Taught(None, tensor(theirs))))
    assert float(found.detach()) == pytest.approx(0.3 * (1 - cosines).mean(), rel=1e-9)


@pytest.mark.parametrize("pooled", [1, 2])
def test_maps_are_compared_by_the_squared_difference_of_their_projection(pooled: int) -> None:
    ours, theirs = draw.normal(size=(4, CHANNELS, 6, 6)), draw.normal(size=(4, THEIRS, 6 // pooled, 6 // pooled))
    regulariser = started(FeatureDistillation(Teacher("x", features=0.3, level="layer1")))
    layer = regulariser.layers
    weight, bias = layer.weight.detach().numpy()[:, :, 0, 0], layer.bias.detach().numpy()
    projected = np.einsum("oc,nchw->nohw", weight, ours) + bias[:, None, None]
    cells = projected.reshape(4, THEIRS, 6 // pooled, pooled, 6 // pooled, pooled).mean((3, 5))
    found = regulariser.penalty(step(4, 0, Seen({"layer1": tensor(ours)}, None), Taught(None, tensor(theirs))))
    assert float(found.detach()) == pytest.approx(0.3 * np.square(cells - theirs).mean(), rel=1e-9)


def test_features_are_not_needed_where_what_makes_them_is_frozen() -> None:
    net = Net()
    regulariser = started(FeatureDistillation(Teacher("x", features=1)), net)
    assert regulariser.learns()
    net.layer1.requires_grad_(False)
    assert not regulariser.learns()


def test_a_level_that_is_no_stage_is_named() -> None:
    with pytest.raises(RecipeError, match=r"level is 'layer9'; expected one of layer1"):
        started(FeatureDistillation(Teacher("x", features=1, level="layer9")))
