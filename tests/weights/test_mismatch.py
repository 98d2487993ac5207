"""Weights of another network are refused, with the percentage that fits and the variant that fits best."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from torch import Tensor

from resnet_tl.errors import WeightsError
from resnet_tl.models.resnet import resnet
from resnet_tl.weights.load import load_weights

from .conftest import equal, randomised, saved, some_variants


def test_another_network_is_refused_with_its_percentage_and_the_closest_variant(shared_data: Path) -> None:
    file = shared_data / "weights" / "efficientnet_lite0_in1k_fp16.pth"
    trunk = randomised(resnet("resnet18"))
    before = {key: value.clone() for key, value in trunk.state_dict().items()}
    with pytest.raises(WeightsError, match=r"efficientnet_lite0_in1k_fp16\.pth fills 0 % of resnet18 .*best: resnet"):
        load_weights(trunk, str(file), candidates=some_variants)
    assert equal(trunk.state_dict(), before)


@pytest.mark.parametrize(
    ("file", "network", "words"),
    [
        ("resnet34", "resnet50", r"fills \d\d % of resnet50 \(.* is \[.*\], not \[.*\].*it fits resnet34 to 100 %"),
        ("resnet34", "resnet18", r"fills all of resnet18 but holds 48 more tensors .*it fits resnet34 to 100 %"),
        ("resnet18", "resnet34", r"fills 5\d % of resnet34 \(without layer1\.2\..*it fits resnet18 to 100 %"),
        (
            "wide_resnet50_2",
            "resnet50",
            r"fills \d\d % of resnet50 \(layer1.0.conv1.weight is \[128, 64, 1, 1\], not \[64",
        ),
    ],
)
def test_a_related_network_is_refused(tmp_path: Path, file: str, network: str, words: str) -> None:
    with torch.device("meta"):
        theirs = getattr(torchvision.models, file)()
    content = {key: torch.zeros(value.shape, dtype=torch.int8) for key, value in theirs.state_dict().items()}
    with pytest.raises(WeightsError, match=words) as refusal:
        load_weights(resnet(network), saved(content, tmp_path / f"{file}.pth"), candidates=some_variants)
    assert "\n" not in str(refusal.value)


def test_a_missing_tensor_is_refused_and_named(tmp_path: Path, small: dict[str, Tensor]) -> None:
    del small["layer2.0.bn1.weight"]
    with pytest.raises(
        WeightsError, match=r"fills 9\d % of resnet_tiny \(without layer2.0.bn1.weight\); no other variant"
    ):
        load_weights(resnet("resnet_tiny"), saved(small, tmp_path / "x.pth"), candidates=some_variants)


def test_without_candidates_no_variant_is_suggested(tmp_path: Path, small: dict[str, Tensor]) -> None:
    small["layer2.0.bn1.weight"] = torch.ones(7)
    with pytest.raises(WeightsError, match=r"of the network \(layer2.0.bn1.weight is \[7\], not \[16\]\)$"):
        load_weights(resnet("resnet_tiny"), saved(small, tmp_path / "x.pth"))
