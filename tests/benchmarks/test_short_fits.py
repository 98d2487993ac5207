from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.short_fits import Extras, Fits, OutOfTime, accuracy_of, digest, taught
from resnet_tl.recipe.shipped import shipped_root


class Fitter:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, overrides: Any, extras: Extras) -> float:
        self.calls += 1
        return float(overrides["seed_everything"]) / 10


def test_a_finished_fit_is_not_trained_again(tmp_path: Path) -> None:
    path, fitter = tmp_path / "some" / "fits.jsonl", Fitter()
    labels = {"method": "plain", "seed": 3}
    assert Fits(path, run=fitter).accuracy(labels, {"seed_everything": 3}) == 0.3
    again = Fits(path, minutes=0, run=fitter)
    assert again.accuracy(labels, {"seed_everything": 3}) == 0.3
    assert fitter.calls == 1
    for other in ({"seed_everything": 4}, {"seed_everything": 3, "data.augment": "light"}):
        with pytest.raises(OutOfTime):
            again.accuracy(labels, other)
    (record,) = [json.loads(line) for line in path.read_text().splitlines()]
    assert (record["method"], record["accuracy"]) == ("plain", 0.3)


def test_a_fit_is_the_same_where_its_files_have_moved() -> None:
    assert digest({"data.root": "/a/images/train"}) == digest({"data.root": "/b/c/images/train"})
    assert digest({"data.root": "/a/images/train"}) != digest({"data.root": "/a/images/val"})
    ways = [Extras(), Extras(mix=0.5), Extras(teachers=1), Extras(teachers=2)]
    assert len({digest({"data.root": "x"}, extras) for extras in ways}) == len(ways)


def test_a_fit_is_validated_once_and_so_are_its_mix_and_one_with_teachers() -> None:
    overrides = {
        "data.root": str(shipped_root() / "data/samples/classification"),
        "data.image_size": 32,
        "data.shots": 2,
        "data.augment": "none",
        "model.backbone.name": "resnet20_cifar",
        "model.backbone.weights": "builtin/resnet20_cifar10",
        "model.tuning.phases": [{"epochs": 1, "train": ["head"]}, {"train": "all"}],
        "trainer.max_epochs": 2,
        "seed_everything": 1,
    }
    end, mixed = accuracy_of(overrides), accuracy_of(overrides, Extras(mix=0.5))
    assert 0.1 < end <= 1
    assert 0.1 < mixed <= 1
    assert accuracy_of(overrides) == end
    assert 0.1 < accuracy_of(overrides, Extras(teachers=1)) <= 1


def test_teachers_have_seeds_of_their_own_and_the_same_images(tmp_path: Path) -> None:
    seen = []

    def fit(name: str, more: Any) -> Any:
        seen.append((name, more))
        return SimpleNamespace(path=tmp_path / name)

    more = taught({"seed_everything": 3, "data.root": str(tmp_path)}, 2, fit)
    assert seen == [(f"teacher{seed}", {"seed_everything": seed, "data.seed": 3}) for seed in (103, 203)]
    assert more["model.tuning.teacher"]["network"] == [str(tmp_path / name) for name, _ in seen]
    assert more["data.unlabelled"] == str(tmp_path)
    (tmp_path / "train").mkdir()
    again = taught({"seed_everything": 3, "data.root": str(tmp_path)}, 2, fit)
    assert again == {**more, "data.unlabelled": str(tmp_path / "train")}
