from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.camvid import figures
from benchmarks.lite0_pyramid import Lite0Pyramid, convert
from benchmarks.solved_head import Lite0
from resnet_tl.weights.load import load_weights


def run_of(seed: int, miou: float, pole: float, fold: int | None = None) -> dict[str, Any]:
    return {
        "row": "semantic FPN, EfficientNet-Lite0",
        "options": {"seed": seed, "fold": fold},
        "miou": miou,
        "per_class": [{"class": "pole", "iou": pole}],
        "images": 100,
        "core_seconds": 120.0,
    }


def test_scores_and_classes_are_means_over_the_seeds_next_to_their_goals() -> None:
    found = {
        (each.table, each.column): each for each in figures({"runs": [run_of(1, 0.6, 0.1), run_of(2, 0.64, 0.14)]})
    }
    for place, mean, deviation, goal in [
        (("camvid", "mIoU"), 62, 2 * math.sqrt(2), 60),
        (("camvid_classes", "pole"), 12, 2 * math.sqrt(2), 10),
    ]:
        assert found[place].value == pytest.approx(mean)
        assert found[place].deviation == pytest.approx(deviation)
        assert found[place].goal == goal


def test_folds_have_tables_of_their_own() -> None:
    found = figures({"runs": [run_of(1, 0.6, 0.1), run_of(2, 0.5, 0.2, fold=0), run_of(3, 0.4, 0.4, fold=1)]})
    name = "semantic FPN, EfficientNet-Lite0"
    values = {(each.table, each.row, each.column): each.value for each in found}
    assert values["camvid", name, "mIoU"] == pytest.approx(60)
    assert values["camvid_folds", name, "mIoU, fold 0"] == pytest.approx(50)
    assert values["camvid_folds", name, "mIoU, fold 1"] == pytest.approx(40)
    assert values["camvid_folds_classes", f"{name}, fold 1", "pole"] == pytest.approx(40)


@pytest.mark.parametrize("size", [(64, 64), (90, 121)])
def test_lite0_has_the_maps_that_it_publishes(size: tuple[int, int]) -> None:
    trunk = Lite0Pyramid().eval()
    maps = trunk(torch.rand(1, 3, *size))
    for level in trunk.feature_info:
        cells = [math.ceil(side / level.stride) for side in size]
        assert list(maps[level.name].shape) == [1, level.channels, *cells]
    own = {id(parameter) for parameter in trunk.parameters()}
    staged = [id(each) for parts in trunk.stages().values() for part in parts for each in part.parameters()]
    assert sorted(staged) == sorted(own)


def test_lite0_computes_the_maps_of_the_file_it_was_converted_from(tmp_path: Path) -> None:
    whole = Lite0().eval()
    names = {key.replace("net.", "_"): value.half() for key, value in whole.state_dict().items()}
    torch.save({**names, "_fc.weight": torch.rand(1000, 1280), "_fc.bias": torch.rand(1000)}, tmp_path / "theirs.pth")
    convert(tmp_path / "theirs.pth", tmp_path / "ours.safetensors")
    ours = Lite0Pyramid().eval()
    load_weights(ours, str(tmp_path / "ours.safetensors"))
    whole.load(tmp_path / "theirs.pth")
    images = torch.rand(1, 3, 64, 64)
    deepest = whole.net.bn2(whole.net.conv_head(ours(images)["c5"]))
    torch.testing.assert_close(deepest, whole(images)["features"])
