from __future__ import annotations

from benchmarks.growth import Setting, figures, step


def test_a_step_is_timed() -> None:
    seconds, memory = step(Setting("depth", 20, "resnet20_cifar", 2, 32), rounds=2, threads=1)
    assert len(seconds) == 2
    assert 0 < min(seconds) < 10
    assert memory > 50


def test_growth_is_relative_to_images_pixels_or_layers() -> None:
    steps = [
        {"series": "side", "size": 64, "seconds": [1.0], "mib": 100.0},
        {"series": "side", "size": 128, "seconds": [9.0, 8.0], "mib": 400.4},
        {"series": "batch", "size": 2, "seconds": [1.0], "mib": 100.0},
        {"series": "batch", "size": 4, "seconds": [1.0], "mib": 150.0},
    ]
    cells = {(each.row, each.column): each.value for each in figures({"steps": steps})}
    assert cells["ResNet-50, batch 4, 128 px", "seconds"] == 8
    assert cells["ResNet-50, batch 4, 128 px", "of proportional growth"] == 2
    assert cells["ResNet-50, batch 4, 128 px", "memory"] == 400
    assert cells["ResNet-50, 128 px, batch 4", "of proportional growth"] == 0.5
