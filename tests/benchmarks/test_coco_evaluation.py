from __future__ import annotations

import pytest

from benchmarks.coco_evaluation import WAYS, draw, figures


def test_all_ways_evaluate_the_same_objects() -> None:
    drawn = draw(60)
    scores = {name: way(drawn) for name, way in WAYS.items()}
    assert 0.02 < scores["resnet_tl"] < 0.9
    # torchmetrics computes areas and widths from float32 corners
    assert list(scores.values()) == pytest.approx([scores["resnet_tl"]] * len(WAYS), abs=2e-3)
    assert scores["pycocotools itself"] == pytest.approx(scores["resnet_tl"], abs=1e-6)


def test_figures_are_seconds_and_the_distance_from_ours() -> None:
    results = {"seconds": {"resnet_tl": [2.0], "other": [4.0, 3.0]}, "map": {"resnet_tl": 0.5, "other": 0.25}}
    assert [(each.row, each.column, each.value) for each in figures(results)] == [
        ("resnet_tl", "seconds", 2.0),
        ("resnet_tl", "mAP, apart from ours", 0.0),
        ("other", "seconds", 3.0),
        ("other", "mAP, apart from ours", 0.25),
    ]
