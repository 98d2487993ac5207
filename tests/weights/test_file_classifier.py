"""The classifier of a weight file, whatever its classes."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.network import Backbone, build, public_keys
from resnet_tl.tasks.classification import Classification
from resnet_tl.weights.file_classifier import file_classifier

NAME = "builtin/resnet20_cifar10"


def classifier(name: str, channels: int = 64) -> nn.Linear:
    network = build(Backbone("resnet20_cifar"), None, LinearHead, list("ab"))
    return file_classifier(network, name, channels, sha256=None, keys=public_keys(network))


def test_it_is_the_one_that_a_network_of_its_classes_loads() -> None:
    backbone = Backbone("resnet20_cifar", weights=NAME, keep_classifier=True)
    whole = Classification([str(number) for number in range(10)], backbone)
    found = classifier(NAME)
    assert torch.equal(found.weight, whole.classifier.fc.weight)
    assert torch.equal(found.bias, whole.classifier.fc.bias)
    task = Classification(list("ab"), Backbone("resnet20_cifar", weights=NAME))
    assert torch.equal(task.old_classifier("LwF").weight, found.weight)


def state(head: Any = LinearHead) -> dict[str, torch.Tensor]:
    return build(Backbone("resnet20_cifar"), None, head, list("abc")).state_dict()


def test_our_own_files_have_one(tmp_path: Path) -> None:
    saved = state()
    torch.save(saved, tmp_path / "own.pt")
    assert torch.equal(classifier(str(tmp_path / "own.pt")).weight, saved["head.fc.weight"])


@pytest.mark.parametrize("kind", ["trunk", "hidden layer", "channels"])
def test_files_without_a_linear_classifier_of_these_features_are_refused(kind: str, tmp_path: Path) -> None:
    saved = state(partial(MLPHead, hidden=64) if kind == "hidden layer" else LinearHead)
    if kind == "trunk":
        saved = {key: value for key, value in saved.items() if not key.startswith("head.")}
    torch.save(saved, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt has no linear classifier of pooled features"):
        classifier(str(tmp_path / "other.pt"), 32 if kind == "channels" else 64)


def test_a_head_with_a_layer_of_its_own_cannot_read_it() -> None:
    task = Classification(list("ab"), Backbone("resnet20_cifar", weights=NAME), head=MLPHead)
    with pytest.raises(RecipeError, match=r"LwF reads pooled features .* but MLPHead has a layer before its own"):
        task.old_classifier("LwF")
