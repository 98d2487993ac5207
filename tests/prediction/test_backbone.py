"""Weights of a backbone embed images with their own preprocessing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import resnet_tl
from resnet_tl.errors import WeightsError
from resnet_tl.prediction.backbone import backbone_predictor
from resnet_tl.prediction.embedding import embed


def test_features_are_those_of_the_trunk_with_these_weights() -> None:
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    predictor = backbone_predictor("builtin/resnet20_cifar10", "resnet20_cifar")
    (found,) = embed(predictor, image)
    trunk = resnet_tl.backbone("resnet20_cifar", weights="builtin/resnet20_cifar10").eval()
    mean, std = (torch.tensor(values) for values in (trunk.preprocessing.mean, trunk.preprocessing.std))
    normalised = ((torch.from_numpy(image) / 255 - mean) / std).permute(2, 0, 1)[None]
    with torch.no_grad():
        expected = trunk(normalised)["c4"].mean((2, 3))[0].numpy()
    np.testing.assert_allclose(found.features, expected, atol=1e-5)
    assert predictor.preprocessing == trunk.preprocessing


def test_weights_of_another_backbone_are_refused() -> None:
    with pytest.raises(WeightsError, match="resnet20_cifar"):
        backbone_predictor("builtin/resnet20_cifar10", "resnet18")
