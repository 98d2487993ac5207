from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.low_data import FIRST, Study, figures, interval, of_percentage
from benchmarks.low_data_methods import COMBINATIONS, COMBINED, METHODS, PLAIN, REGULARISERS, Variant, combined
from benchmarks.low_data_sets import SETS, extract
from benchmarks.short_fits import QUICK, RECIPE, Extras, Fits
from resnet_tl.run.build import compose
from resnet_tl.structures.records import Preprocessing

PREPARED = {"data.root": "images", "model.backbone.name": "resnet20_cifar", "model.backbone.weights": None}


def study(tmp_path: Path, accuracy: Any) -> Study:
    return Study("cifar10", SETS["cifar10"], PREPARED, Fits(tmp_path / "fits.jsonl", run=accuracy))


@pytest.mark.parametrize("method", list(METHODS))
def test_each_variant_is_a_recipe(method: str) -> None:
    for variant in METHODS[method].values():
        data = SETS["cifar10"].data(PREPARED, 10, choosing=True)
        compose([RECIPE], {**QUICK, **PLAIN, **data, **variant.overrides}.items())


def test_values_are_chosen_by_other_seeds_on_training_images_alone(tmp_path: Path) -> None:
    seen = []

    def accuracy(overrides: Any, extras: Extras) -> float:
        choosing, rate = overrides["data.root"] == "images/train", overrides["model.optimizer.lr"]
        seen.append((choosing, overrides["seed_everything"], rate))
        strength = overrides.get(REGULARISERS, [{"init_args": {"strength": 0}}])[0]["init_args"]["strength"]
        return 0.8 - abs(rate - 0.03) - abs(strength - 0.01)

    found = study(tmp_path, accuracy)
    assert found.rate == 0.03
    rows = list(of_percentage(found, 25, [FIRST, "L2SP"], [1, 2]))
    assert [(row["method"], row["variant"]) for row in rows] == [(FIRST, ""), ("L2SP", "0.01")]
    assert {seed for choosing, seed, _ in seen if choosing} == {11, 12}
    assert [(seed, rate) for choosing, seed, rate in seen if not choosing] == [(1, 0.03), (2, 0.03)] * 2


def test_a_combination_is_of_the_chosen_variants(tmp_path: Path) -> None:
    found = study(tmp_path, lambda overrides, extras: float(overrides["model.tuning.ema"] == 0.98))
    label, variant = found.chosen(COMBINED)
    assert "averaged weights (ema)" in COMBINATIONS[label]
    assert variant.overrides["model.tuning.ema"] == 0.98


def test_regularisers_and_rates_come_together() -> None:
    first = Variant({REGULARISERS: [{"class_path": "BSS"}], "data.augment": "medium"}, rate=2, longer=3)
    second = Variant({REGULARISERS: [{"class_path": "L2SP"}], "data.augment": "rand"}, rate=5, extras=Extras(mix=0.5))
    both = combined([first, second])
    assert both.overrides == {
        REGULARISERS: [{"class_path": "BSS"}, {"class_path": "L2SP"}],
        "data.augment": "rand",
    }
    assert (both.rate, both.longer, both.extras.mix) == (10, 3, 0.5)


def test_gains_are_paired_by_seed() -> None:
    row = {"set": "cifar10", "percent": 10, "variant": "", "rate": 0.1, "seeds": [1, 2, 3]}
    plain = {**row, "method": FIRST, "accuracies": [0.5, 0.6, 0.7]}
    other = {**row, "method": COMBINED, "accuracies": [0.51, 0.61, 0.71]}
    found = {(figure.table, figure.row): figure for figure in figures({"runs": [plain, other]})}
    assert found["low_data", COMBINED].value == pytest.approx(61)
    gain = found["low_data_gain", COMBINED]
    assert gain.value == pytest.approx(1)
    assert gain.low == pytest.approx(1)
    assert gain.high == pytest.approx(1)
    assert gain.missed
    assert ("low_data_gain", FIRST) not in found


def test_the_interval_is_students() -> None:
    low, high = interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (low, high) == (pytest.approx(3 - 1.9632, abs=1e-3), pytest.approx(3 + 1.9632, abs=1e-3))
    assert interval([1.0]) == (None, None)


def test_the_first_images_of_each_class_are_extracted_once(tmp_path: Path) -> None:
    archive = tmp_path / "train.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for name in ("cat", "dog", "frog"):
            for number in range(4):
                zipped.writestr(f"train/{name}/{number}.webp", b"x")
    for _ in range(2):
        extract(archive, ["cat", "frog"], 3, tmp_path / "set" / "train")
    found = sorted(str(path.relative_to(tmp_path / "set/train")) for path in tmp_path.glob("set/train/*/*"))
    assert found == [f"{name}/{number}.webp" for name in ("cat", "frog") for number in range(3)]


def test_lite0_has_stages_that_cover_its_parameters() -> None:
    pytest.importorskip("timm")
    from benchmarks.solved_head import Lite0

    trunk = Lite0()
    inside = [parameter for modules in trunk.stages().values() for part in modules for parameter in part.parameters()]
    assert sorted(map(id, inside)) == sorted(map(id, trunk.parameters()))
    assert trunk.preprocessing == Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3, size=224)
