from __future__ import annotations

from benchmarks.predict_files import figures


def test_figures_are_a_rate_and_how_many_times_the_peers() -> None:
    seconds = {"ours": [2.0, 2.0], "torchvision": [3.0, 3.0], "timm": [4.0, 4.0]}
    cells = figures({"settings": {"variant": "resnet18", "count": 100}, "seconds": seconds})
    assert [(each.row, each.column, each.value) for each in cells] == [
        ("ResNet-18", "images a second", 50),
        ("ResNet-18", "against torchvision's", 1.5),
        ("ResNet-18", "against timm's", 2),
    ]
