from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.soups import KINDS, corrupted, figures, image_sets


def image(side: int = 224) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    return np.stack([x, y, np.sin(9 * x * y) ** 2], -1).astype(np.float32) * 0.8 + 0.1


@pytest.mark.parametrize("kind", list(KINDS))
def test_severities_1_3_and_5_change_an_image_more_and_more(kind: str) -> None:
    changes = [float(np.abs(corrupted(image(), kind, severity, 0) - image()).mean()) for severity in range(1, 6)]
    assert changes[::2] == sorted(changes[::2])
    assert changes[0] > 1e-4
    assert np.array_equal(corrupted(image(), kind, 3, 7), corrupted(image(), kind, 3, 7))


def test_noise_has_the_published_scale() -> None:
    grey = np.full((200, 200, 3), 0.5, np.float32)
    assert corrupted(grey, "gaussian_noise", 1, 0).std() == pytest.approx(0.08, rel=0.02)
    assert corrupted(grey, "shot_noise", 1, 0).std() == pytest.approx((0.5 / 60) ** 0.5, rel=0.02)
    assert (corrupted(grey, "impulse_noise", 5, 0) != 0.5).mean() == pytest.approx(0.27, abs=0.01)


def test_each_column_has_all_images_in_one_size(tmp_path: Path) -> None:
    for name in ("ant", "bee"):
        (tmp_path / "images" / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "images" / name / "one.jpg"), (image()[:40] * 255).astype(np.uint8))
    sets = dict(image_sets(tmp_path / "images", tmp_path / "sets", ["contrast"], [1, 5], 32))
    assert list(sets) == ["clean", "contrast 1", "contrast 5"]
    spreads = []
    for root in sets.values():
        files = sorted(root.glob("test/*/*.png"))
        assert [path.parent.name for path in files] == ["ant", "bee"]
        read = cv2.imread(str(files[0]))
        assert read is not None
        assert read.shape == (32, 32, 3)
        spreads.append(read.std())
    assert spreads[0] > spreads[1] > spreads[2]


def test_corruptions_are_averaged_run_by_run() -> None:
    rows = {"best mix": {"clean": [90.0, 92.0], "jpeg 1": [80.0, 84.0], "jpeg 5": [60.0, 62.0]}}
    clean, mean = figures({"rows": rows})
    assert (clean.row, clean.column, clean.value) == ("best mix", "clean", 91)
    assert (mean.column, mean.value, mean.low, mean.high) == ("corrupted", 71.5, 70, 73)
