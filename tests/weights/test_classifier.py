"""A classifier is kept by its classes' names or on request, never by their number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.errors import WeightsError
from resnet_tl.structures.records import Preprocessing
from resnet_tl.weights.files import save_weights
from resnet_tl.weights.load import load_weights
from resnet_tl.weights.records import WeightRecord

from .conftest import randomised

ANIMALS = ("ant", "bee", "cat")


@pytest.fixture
def file(tmp_path: Path, classified: Callable[..., Any]) -> str:
    """Saves weights for ants, bees and cats, with the index of the class in each row of the classifier."""
    network = randomised(classified("resnet_tiny", 3))
    tensors = {network.keys[key]: value for key, value in network.state_dict().items()}
    tensors["fc.weight"] = torch.arange(3.0)[:, None].expand(3, 32).clone()
    tensors["fc.bias"] = torch.arange(3.0)
    save_weights(
        tensors, WeightRecord("here", classes=ANIMALS, preprocessing=Preprocessing()), tmp_path / "a.safetensors"
    )
    return str(tmp_path / "a.safetensors")


def rows(network: Any) -> list[float]:
    assert (network.head.fc.weight == network.head.fc.bias[:, None]).all()
    return network.head.fc.bias.tolist()


@pytest.mark.parametrize("classes", [ANIMALS, ("cat", "ant", "bee"), ("bee", "ant", "cat")])
@pytest.mark.parametrize("keep", [False, True])
def test_the_same_names_in_any_order_keep_it(file: str, classified: Any, classes: tuple[str, ...], keep: bool) -> None:
    network = classified("resnet_tiny", 3)
    _, report = load_weights(network, file, keys=network.keys, classes=classes, keep_classifier=keep)
    assert rows(network) == [ANIMALS.index(name) for name in classes]
    moved = {"fc.weight", "fc.bias"} if classes != ANIMALS else set()
    assert set(report.adapted) == moved
    assert {"fc.weight", "fc.bias"} - moved <= set(report.loaded)
    assert "and the classifier" in str(report)


@pytest.mark.parametrize("classes", [("ant", "bee", "dog"), ("ant", "bee", "Cat"), None])
def test_the_same_number_of_classes_does_not_keep_it(
    file: str, classified: Any, classes: tuple[str, ...] | None
) -> None:
    network = classified("resnet_tiny", 3)
    before = network.head.fc.weight.clone()
    _, report = load_weights(network, file, keys=network.keys, classes=classes)
    assert torch.equal(network.head.fc.weight, before)
    assert set(report.skipped) == {"fc.weight", "fc.bias"}
    assert "names" in report.skipped["fc.weight"]


def test_on_request_it_is_kept_by_number(file: str, classified: Any) -> None:
    network = classified("resnet_tiny", 3)
    _, report = load_weights(network, file, keys=network.keys, classes=("x", "y", "z"), keep_classifier=True)
    assert rows(network) == [0, 1, 2]
    assert "kept on request" in str(report)


def test_another_number_is_skipped_or_on_request_an_error(file: str, classified: Any) -> None:
    network = classified("resnet_tiny", 2)
    _, report = load_weights(network, file, keys=network.keys, classes=("ant", "bee"))
    assert report.skipped["fc.weight"] == "the file has 3 classes, the network 2"
    with pytest.raises(
        WeightsError, match=r"a\.safetensors has 3 classes, the network 2: its classifier cannot be kept"
    ):
        load_weights(network, file, keys=network.keys, classes=("ant", "bee"), keep_classifier=True)


def test_a_classifier_of_other_layers_is_not_kept_in_part(file: str, classified: Any) -> None:
    """The last layer alone, after a random one, would seem loaded and be worthless."""
    network = classified("resnet_tiny", 3)
    network.head.hidden = torch.nn.Linear(32, 32)
    keys = network.keys | {"head.hidden.weight": "head.hidden.weight", "head.hidden.bias": "head.hidden.bias"}
    before = network.head.fc.weight.clone()
    _, report = load_weights(network, file, keys=keys, classes=ANIMALS)
    assert torch.equal(network.head.fc.weight, before)
    assert "another kind of head (head.hidden.weight)" in report.skipped["fc.weight"]
    assert {"head.hidden.weight", "head.hidden.bias"} <= set(report.missing)


def test_thresholds_of_a_head_may_differ(file: str, classified: Any) -> None:
    network = classified("resnet_tiny", 3)
    network.head.register_buffer("thresholds", torch.full((3,), 0.5))
    keys = network.keys | {"head.thresholds": "head.thresholds"}
    _, report = load_weights(network, file, keys=keys, classes=ANIMALS)
    assert rows(network) == [0, 1, 2]
    assert "head.thresholds" in report.missing


def test_thresholds_follow_their_classes(tmp_path: Path, classified: Any) -> None:
    network, other = classified("resnet_tiny", 3), classified("resnet_tiny", 3)
    for each in (network, other):
        each.head.register_buffer("thresholds", torch.zeros(3))
    network.head.thresholds.copy_(torch.tensor([0.1, 0.2, 0.3]))
    keys = network.keys | {"head.thresholds": "head.thresholds"}
    tensors = {keys[key]: value for key, value in network.state_dict().items()}
    save_weights(tensors, WeightRecord("here", classes=ANIMALS), tmp_path / "b.safetensors")
    load_weights(other, str(tmp_path / "b.safetensors"), keys=keys, classes=("cat", "ant", "bee"))
    torch.testing.assert_close(other.head.thresholds, torch.tensor([0.3, 0.1, 0.2]))


def test_a_file_without_a_classifier_is_an_error_on_request(tmp_path: Path, small: Any, classified: Any) -> None:
    torch.save(small, tmp_path / "x.pth")
    network = classified("resnet_tiny", 3)
    _, report = load_weights(network, str(tmp_path / "x.pth"), keys=network.keys, classes=ANIMALS)
    assert report.missing == ["fc.weight", "fc.bias"]
    with pytest.raises(WeightsError, match=r"x\.pth has no classifier"):
        load_weights(network, str(tmp_path / "x.pth"), keys=network.keys, keep_classifier=True)
