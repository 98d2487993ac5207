from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.new_classes import NEW, OLD, figures, new_images, old_images, recalls, second, trained, ways


@pytest.fixture(scope="module")
def cifar10(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Zips of six images of each class, a colour each."""
    folder, draw = tmp_path_factory.mktemp("cifar10"), np.random.default_rng(0)
    for split in ("train", "test"):
        with zipfile.ZipFile(folder / f"{split}.zip", "w") as file:
            for number, name in enumerate((*OLD, *NEW)):
                for index in range(6):
                    image = draw.integers(0, 40, (32, 32, 3), np.uint8) + np.uint8(20 * number)
                    file.writestr(f"{split}/{name}/{index:04}.png", cv2.imencode(".png", image)[1].tobytes())
    return folder


def images(folder: Path) -> set[str]:
    return {f"{path.parent.name}/{path.name}" for path in folder.glob("*/*.png")}


def test_a_seed_draws_the_new_images_and_the_old_ones_are_the_same(cifar10: Path, tmp_path: Path) -> None:
    old_images(cifar10, tmp_path, 3)
    for seed in (1, 2):
        new_images(cifar10, tmp_path, seed, 2)
    six, first, other = (images(tmp_path / root / "train") for root in ("six", "1/four", "2/four"))
    assert (len(six), len(first)) == (18, 8)
    assert first != other
    assert images(tmp_path / "1" / "ten" / "train") == six | first
    assert len(images(tmp_path / "1" / "four" / "val")) == 60
    assert len(images(tmp_path / "six" / "val")) == 36


def test_accuracies_have_spreads_and_seconds_a_median() -> None:
    row = {"old classes": [60.0, 70.0], "core s": [3.0, 5.0]}
    accuracy, seconds = figures({"rows": {"joint": row}})
    assert (accuracy.row, accuracy.column, accuracy.value, accuracy.unit) == ("joint", "old classes", 65, "%")
    assert (seconds.value, seconds.unit) == (4, "s")


@pytest.mark.slow
def test_every_way_is_measured_once(cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    short = {"trainer.max_epochs": 1, "model.schedule.warmup_epochs": 0}
    monkeypatch.setattr("benchmarks.new_classes.SECOND", short)
    old_images(cifar10, tmp_path, 4)
    new_images(cifar10, tmp_path, 1, 4)
    first, _ = trained(tmp_path / "six", tmp_path / "runs" / "first", 0, short)
    assert len(recalls(first, OLD)) == 6
    found = dict(second(tmp_path, first, 1))
    assert list(found) == list(ways(tmp_path))
    for name, row in found.items():
        assert all(0 <= row[column] <= 100 for column in ("old classes", "new classes", "all")), name
    assert dict(second(tmp_path, first, 1)) == found, "runs that are finished are not repeated"
