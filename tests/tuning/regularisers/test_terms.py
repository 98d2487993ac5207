"""The terms of regularisers next to the papers' formulas in plain numpy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from resnet_tl.tuning.regularisers.base import Regulariser, Seen, Start, Step
from resnet_tl.tuning.regularisers.bi_tuning import BiTuning
from resnet_tl.tuning.regularisers.co_tuning import CoTuning
from resnet_tl.tuning.regularisers.delta import DELTA
from resnet_tl.tuning.regularisers.lwf import LwF
from resnet_tl.tuning.regularisers.stoch_norm import StochasticNorm, StochNorm

CHANNELS, CLASSES, OLD = 6, 3, 5
draw = np.random.default_rng(0)


class Net(nn.Module):
    """The least that a regulariser asks of a task."""

    multi_label = False

    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm = nn.Conv2d(3, CHANNELS, 3).double(), nn.BatchNorm2d(CHANNELS).double()
        self.fc, self.old = nn.Linear(CHANNELS, CLASSES).double(), nn.Linear(CHANNELS, OLD).double()
        self.classes = list("abc")

    def mixes(self) -> None:
        return None

    def classifier_layer(self) -> nn.Linear:
        return self.fc

    def old_classifier(self, reader: str) -> nn.Linear:
        return self.old


def started(regulariser: Any, net: Net) -> Any:
    regulariser.start(Start(net, {"layer1": [net.body], "layer2": [net.norm], "head": [net.fc]}, ["layer1"]))
    if regulariser.layers is not None:
        regulariser.layers.double()
    return regulariser


def seen(features: NDArray[Any] | None = None, **maps: NDArray[Any]) -> Seen:
    tensors = {name: torch.from_numpy(value) for name, value in maps.items()}
    return Seen(tensors, None if features is None else torch.from_numpy(features))


def term(regulariser: Regulariser, network: Seen, source: Seen | None = None, targets: Any = None) -> float:
    penalty = regulariser.penalty(Step(torch.empty(0), targets, network, source))
    assert penalty is not None
    return float(penalty.detach())


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def of(layer: nn.Linear, features: NDArray[Any]) -> NDArray[Any]:
    return features @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def test_delta_is_half_the_squared_distance_of_maps() -> None:
    first, second = draw.normal(size=(2, 4, 6, 5, 7)), draw.normal(size=(2, 4, 8, 3, 2))
    network, source = seen(layer1=first[0], layer2=second[0]), seen(layer1=first[1], layer2=second[1])
    expected = sum(
        0.3 / 2 * np.square(one[channel] - other[channel]).sum() / one[channel].size
        for images, loaded in (first, second)
        for one, other in zip(images, loaded, strict=True)
        for channel in range(len(one))
    )
    delta = started(DELTA(0.3), Net())
    assert term(delta, network, source) == pytest.approx(expected / 4, rel=1e-12)


def test_delta_leaves_out_stages_that_did_not_run_and_those_not_named() -> None:
    maps = draw.normal(size=(2, 4, 6, 5, 7))
    network, source = seen(layer2=maps[0]), seen(layer1=maps[0], layer2=maps[1])
    expected = 0.5 / 2 * np.square(maps[0] - maps[1]).sum() / (4 * 5 * 7)
    assert term(started(DELTA(0.5), Net()), network, source) == pytest.approx(expected, rel=1e-12)
    assert term(started(DELTA(0.5, ["layer2"]), Net()), network, source) == pytest.approx(expected, rel=1e-12)


def test_lwf_is_the_divergence_of_softened_probabilities() -> None:
    net = Net()
    features, loaded = draw.normal(size=(2, 4, CHANNELS))
    lwf = started(LwF(0.7, temperature=2.0), net)
    answers, expected = (softmax(of(net.old, each) / 2) for each in (features, loaded))
    divergence = (expected * (np.log(expected) - np.log(answers))).sum(1).mean()
    assert term(lwf, seen(features), seen(loaded)) == pytest.approx(0.7 * divergence, rel=1e-9)
    assert term(lwf, seen(loaded), seen(loaded)) == pytest.approx(0, abs=1e-12)


def test_co_tuning_is_the_cross_entropy_with_the_classes_mean_prediction() -> None:
    net = Net()
    batches = [draw.normal(size=(7, CHANNELS)), draw.normal(size=(5, CHANNELS))]
    labels = [np.arange(7) % 2, np.arange(5) % 2]  # no image of class c
    tuning = started(CoTuning(2.0), net)
    tuning.begin(net, [(torch.from_numpy(f), torch.from_numpy(y)) for f, y in zip(batches, labels, strict=True)])
    predicted, label = softmax(of(net.old, np.concatenate(batches))), np.concatenate(labels)
    relation = np.stack(
        [predicted[label == k].mean(0) if (label == k).any() else np.zeros(OLD) for k in range(CLASSES)]
    )
    features, targets = draw.normal(size=(4, CHANNELS)), np.array([0, 1, 1, 0])
    logs = np.log(softmax(of(net.old, features)))
    expected = -2.0 * (relation[targets] * logs).sum(1).mean()
    assert term(tuning, seen(features), targets=torch.from_numpy(targets)) == pytest.approx(expected, rel=1e-6)
    mixed = np.array([[0.3, 0.7, 0], [1, 0, 0], [0, 1, 0], [0.5, 0.5, 0]])
    expected = -2.0 * (mixed @ relation * logs).sum(1).mean()
    assert term(tuning, seen(features), targets=torch.from_numpy(mixed)) == pytest.approx(expected, rel=1e-6)


def unit(vectors: NDArray[Any]) -> NDArray[Any]:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def contrast(
    queries: NDArray[Any], own: NDArray[Any], stored: list[list[NDArray[Any]]], targets: NDArray[Any]
) -> float:
    """Image by image: the mean over positives of -log of their share among all."""
    losses = []
    for query, itself, target in zip(queries, own, targets, strict=True):
        positives = [itself, *stored[target]]
        negatives = [key for number, keys in enumerate(stored) if number != target for key in keys]
        likelihoods = softmax(np.array([query @ key for key in (*positives, *negatives)]) / 0.1)
        losses.append(-np.log(likelihoods[: len(positives)]).mean())
    return float(np.mean(losses))


def test_bi_tuning_contrasts_with_the_last_images_of_each_class() -> None:
    net = Net()
    tuning = started(BiTuning(0.5, keys=2, temperature=0.1, projection=4), net)
    weights = unit(np.concatenate([net.fc.weight.detach().numpy(), net.fc.bias.detach().numpy()[:, None]], 1))
    by_class: list[list[NDArray[Any]]] = [[] for _ in range(CLASSES)]
    by_image: list[list[NDArray[Any]]] = [[] for _ in range(CLASSES)]
    for _ in range(4):
        features, targets = draw.normal(size=(5, CHANNELS)), draw.integers(0, CLASSES, 5)
        own, projected = unit(np.concatenate([features, np.ones((5, 1))], 1)), unit(of(tuning.layers, features))
        expected = contrast(weights[targets], own, by_class, targets)
        expected += contrast(projected, projected, by_image, targets)
        found = term(tuning, seen(features), targets=torch.from_numpy(targets))
        assert found == pytest.approx(0.5 * expected, rel=1e-5)  # what is stored is in fp32
        for stored, keys in ((by_class, own), (by_image, projected)):
            for target, key in zip(targets, keys, strict=True):
                stored[target] = [*stored[target], key][-2:]


@pytest.mark.parametrize("by_running", [0.0, 0.4, 1.0])
def test_stochastic_norm_normalises_a_channel_by_the_batch_or_the_running_statistics(by_running: float) -> None:
    net = Net()
    norm, x = net.norm, torch.from_numpy(draw.normal(2, 3, size=(4, CHANNELS, 5, 5)))
    with torch.no_grad():
        for values in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            values.uniform_(0.5, 2)  # type: ignore[union-attr]
    running = {name: value.clone().numpy() for name, value in norm.named_buffers()}
    regulariser = started(StochNorm(by_running), net)
    assert isinstance(norm, StochasticNorm)
    torch.manual_seed(3)
    y = norm(x).detach().numpy()
    torch.manual_seed(3)
    chosen = (torch.rand(CHANNELS) < by_running).numpy()
    axes = (0, 2, 3)
    mean = np.where(chosen, running["running_mean"], x.numpy().mean(axes))[:, None, None]
    variance = np.where(chosen, running["running_var"], x.numpy().var(axes))[:, None, None]
    weight, bias = norm.weight.detach().numpy()[:, None, None], norm.bias.detach().numpy()[:, None, None]
    np.testing.assert_allclose(y, (x.numpy() - mean) / np.sqrt(variance + norm.eps) * weight + bias, rtol=1e-9)
    moved = 0.9 * running["running_mean"] + 0.1 * x.numpy().mean(axes)
    np.testing.assert_allclose(norm.running_mean, moved, rtol=1e-9)  # type: ignore[arg-type]
    regulariser.finish()
    assert type(norm) is nn.BatchNorm2d


def test_stochastic_norm_evaluates_and_recalibrates_as_batch_norm() -> None:
    net, x = Net(), torch.from_numpy(draw.normal(2, 3, size=(4, CHANNELS, 5, 5)))
    plain = nn.BatchNorm2d(CHANNELS).double()
    started(StochNorm(1.0), net)
    for norm in (plain, net.norm):
        norm.momentum = None
    assert torch.equal(net.norm(x), plain(x))
    assert torch.equal(net.norm.eval()(x), plain.eval()(x))


def test_networks_that_cannot_have_one_are_refused() -> None:
    net = Net()
    net.norm = nn.GroupNorm(2, CHANNELS)  # type: ignore[assignment]
    with pytest.raises(Exception, match="StochNorm changes batch norms, but the network has none"):
        started(StochNorm(), net)
    with pytest.raises(Exception, match=r"DELTA.stages names 'layre\*'; expected some of layer1, layer2"):
        started(DELTA(stages=["layre*"]), net)
    several: Any = SimpleNamespace(multi_label=True)
    with pytest.raises(Exception, match=r"BiTuning needs one class per image, but model\.head\.multi_label is true"):
        BiTuning().start(Start(several, {}, ["layer1"]))


def test_gradients_reach_features_and_layers() -> None:
    net = Net()
    features: Tensor = torch.from_numpy(draw.normal(size=(4, CHANNELS))).requires_grad_()
    targets = torch.tensor([0, 1, 2, 0])
    for regulariser in (BiTuning(), LwF()):
        each = started(regulariser, net)
        source = seen(draw.normal(size=(4, CHANNELS)))
        step = Step(torch.empty(0), targets, Seen({}, features), source)
        each.penalty(step)  # BiTuning has nothing to contrast with at first
        penalty = each.penalty(step)
        gradients = torch.autograd.grad(penalty, [features, *each.layers.parameters()])
        assert all(gradient.isfinite().all() and gradient.any() for gradient in gradients)
