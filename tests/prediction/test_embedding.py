"""Features are those inside the network, whatever batch an image is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from resnet_tl.errors import DataError, RecipeError, WeightsError
from resnet_tl.models.ensemble import ensemble
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build
from resnet_tl.models.resnet import ResNet
from resnet_tl.prediction.base import Predictor
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.embedding import embed

Make = Callable[..., Predictor[Any]]


def images(count: int = 5) -> list[np.ndarray]:
    """Noise of two sizes, in turn."""
    draw = np.random.default_rng(0)
    return [draw.integers(0, 256, (48, 56 if n % 2 else 40, 3), np.uint8) for n in range(count)]


def hooked(module: nn.Module, predictor: Predictor[Any], *, inputs: bool = False) -> np.ndarray:
    """What the module outputs, or takes, while images are predicted one by one; maps are averaged."""
    seen: list[torch.Tensor] = []
    handle = module.register_forward_hook(lambda _, taken, output: seen.append(taken[0] if inputs else output))
    predictor.predict(images(), batch_size=1)
    handle.remove()
    return torch.cat([each.mean((2, 3)) if each.ndim == 4 else each for each in seen]).numpy()


def test_the_default_of_a_classifier_is_what_its_classifier_layer_takes(predictor: Make) -> None:
    classifier = predictor("classification")
    assert isinstance(classifier.network.head, LinearHead)
    features = np.stack([each.features for each in embed(classifier, images())])
    np.testing.assert_allclose(features, hooked(classifier.network.head.fc, classifier, inputs=True), atol=1e-6)
    assert isinstance(classifier, ClassPredictor)
    observed = np.stack([row for _, row, _ in classifier.observe(images())])
    np.testing.assert_array_equal(features, observed)


@pytest.mark.parametrize("task", ["classification", "segmentation", "detection"])
@pytest.mark.parametrize(("level", "stage"), [("c3", "layer2"), ("c5", "layer4"), (None, "layer4")])
def test_each_level_of_each_task_is_averaged(predictor: Make, task: str, level: str | None, stage: str) -> None:
    one = predictor(task)
    assert isinstance(one.network.trunk, ResNet)
    found = embed(one, images(), level=level)
    expected = hooked(one.network.trunk.get_submodule(stage), one)
    np.testing.assert_allclose(np.stack([each.features for each in found]), expected, atol=1e-6)


def test_several_levels_are_one_after_another(predictor: Make) -> None:
    one = predictor("detection")
    both = np.stack([each.features for each in embed(one, images(), level=["c5", "c3"])])
    alone = [np.stack([each.features for each in embed(one, images(), level=level)]) for level in ("c5", "c3")]
    np.testing.assert_allclose(both, np.hstack(alone), atol=1e-6)
    with pytest.raises(RecipeError, match="'c9' is not in this network"):
        embed(one, images(), level=["c5", "c9"])


def test_batches_of_two_sizes_keep_the_order(predictor: Make) -> None:
    alone = list(embed(predictor("segmentation"), images(), level="c2"))
    found = list(embed(predictor("segmentation", batch_size=4), images(), level="c2"))
    assert [each.index for each in found] == [0, 1, 2, 3, 4]
    for one, other in zip(alone, found, strict=True):
        np.testing.assert_allclose(one.features, other.features, atol=1e-5)


def test_normalised_features_have_length_one_and_the_same_direction(predictor: Make) -> None:
    one = predictor("classification")
    for raw, unit in zip(embed(one, images()), embed(one, images(), normalise=True), strict=True):
        assert np.linalg.norm(unit.features) == pytest.approx(1)
        np.testing.assert_allclose(unit.features * np.linalg.norm(raw.features), raw.features, rtol=1e-5)


class Plain(nn.Module):
    """A custom trunk that cannot be cut."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        inner = build(Backbone("resnet_tiny"), None, LinearHead, ["a"]).trunk
        self.inner, self.in_channels = inner, in_channels
        self.feature_info, self.preprocessing = inner.feature_info, inner.preprocessing

    def stages(self) -> dict[str, list[nn.Module]]:
        return {"all": [self]}

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.inner(x)


def test_a_custom_trunk_has_levels_too() -> None:
    trunk = Plain(3)
    one = ClassPredictor(Network(trunk, None, LinearHead(trunk.feature_info, ["a", "b"])), ["a", "b"])
    (found,) = embed(one, images(1), level="c2")
    assert found.features.shape == (trunk.feature_info[1].channels,)


def test_mistakes_are_found_before_images_are_read(predictor: Make, network: Callable[..., Network]) -> None:
    one = predictor("classification")
    with pytest.raises(RecipeError, match="level: 'c9' is not in this network; expected one of c1, c2, c3, c4, c5"):
        embed(one, "photos", level="c9")
    with pytest.raises(DataError, match="photos"):
        embed(one, "photos")
    with pytest.raises(RecipeError, match="every: 0; expected 1 or more"):
        embed(one, images(), every=0)
    folds = ClassPredictor(ensemble([network("classification"), network("classification")]), ["a", "b", "c"])
    with pytest.raises(WeightsError, match="not of folds together; name one of them, as FOLDER/fold1"):
        embed(folds, images())


def test_features_that_are_not_finite_name_their_image(predictor: Make) -> None:
    one = predictor("classification")
    for parameter in one.network.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(WeightsError, match="image 0 are NaN or infinite"):
        list(embed(one, images(1)))
