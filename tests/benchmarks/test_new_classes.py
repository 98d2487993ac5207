from __future__ import annotations

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.new_classes import BEFORE, NEW, OLD, figures, images, measure, ways


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


def test_a_seed_draws_the_training_images_and_the_sets_share_them(cifar10: Path, tmp_path: Path) -> None:
    drawn = []
    for place, seed in (("a", 1), ("b", 1), ("c", 2)):
        images(cifar10, tmp_path / place, seed, old=3, new=2)
        drawn.append({str(path.relative_to(tmp_path / place)) for path in (tmp_path / place / "train").rglob("*.png")})
    assert drawn[0] == drawn[1] != drawn[2]
    counts = {
        root: {path.name: len(list(path.iterdir())) for path in (tmp_path / "a" / root / "train").iterdir()}
        for root in ("six", "four", "ten")
    }
    six, four = dict.fromkeys(OLD, 3), dict.fromkeys(NEW, 2)
    assert counts == {"six": six, "four": four, "ten": {**six, **four}}
    assert len(list((tmp_path / "a" / "four" / "val").glob("*/*"))) == 60


def test_accuracies_have_spreads_and_seconds_a_median() -> None:
    row = {"old classes": [60.0, 70.0], "core s": [3.0, 5.0]}
    accuracy, seconds = figures({"rows": {"joint": row}})
    assert (accuracy.row, accuracy.column, accuracy.value, accuracy.unit) == ("joint", "old classes", 65, "%")
    assert (seconds.value, seconds.unit) == (4, "s")


@pytest.mark.slow
def test_every_way_is_measured(cifar10: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("benchmarks.new_classes.FIRST", {"trainer.max_epochs": 1})
    short = {"trainer.max_epochs": 1, "model.schedule.warmup_epochs": 0}
    monkeypatch.setattr("benchmarks.new_classes.SECOND", short)
    found = dict(measure(cifar10, 1, old=4, new=4))
    assert list(found) == [BEFORE, *ways(tmp_path)]
    for name, row in found.items():
        assert all(0 <= row[column] <= 100 for column in ("old classes", "new classes", "all") if column in row), name
    assert found["fine-tune"].keys() == {"old classes", "new classes", "all", "core s"}
