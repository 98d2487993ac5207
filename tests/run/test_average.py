"""The mean of runs: its weights, its statistics, its score, and what cannot be averaged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.errors import DataError, RecipeError, RunError, WeightsError
from resnet_tl.run.average import average
from resnet_tl.run.weighted_mean import mean
from resnet_tl.structures.decisions import Decisions
from tests.cli.conftest import RECIPE
from tests.run.averaged import changed, runs

__all__ = ["runs"]


def oppose(content: dict[str, Any]) -> None:
    """A head so far in the other direction that means with it are wrong as well."""
    for key, tensor in content["state_dict"].items():
        if key.startswith("network.head."):
            content["state_dict"][key] = tensor * -3


@given(st.lists(st.lists(st.floats(-1e3, 1e3, width=32), min_size=3, max_size=3), min_size=2, max_size=4), st.data())
def test_the_mean_is_weighted_by_shares_and_counts_are_those_of_the_first(
    values: list[list[float]], data: st.DataObject
) -> None:
    shares = data.draw(st.lists(st.floats(0.01, 10), min_size=len(values), max_size=len(values)))
    states = [{"w": torch.tensor(each), "n": torch.tensor(i)} for i, each in enumerate(values)]
    result = mean(states, shares)
    expected = [
        sum(s * v for s, v in zip(shares, column, strict=True)) / sum(shares) for column in zip(*values, strict=True)
    ]
    assert result["w"].tolist() == pytest.approx(expected, rel=1e-5, abs=1e-3)
    assert result["w"].dtype == torch.float32
    assert result["n"] == 0


def test_the_file_is_a_checkpoint_that_scores_as_printed(runs: list[Path], images: Path, tmp_path: Path) -> None:
    done = average(runs, tmp_path / "mean.ckpt", [1, 3])
    assert [each.share for each in done.ingredients] == [0.25, 0.75]
    for each in done.ingredients:
        assert each.score.value == pytest.approx(resnet_tl.evaluate(each.path)["metrics"]["val/acc"])
    result = resnet_tl.evaluate(done.path)
    assert result["metrics"]["val/acc"] == pytest.approx(done.score.value)
    assert result["interval"] == pytest.approx(done.score.interval)
    predictor = resnet_tl.load(str(done.path))
    assert len(list(predictor.predict(images / "val" / "red"))) == 4


def test_weights_are_means_and_statistics_are_estimated_again(runs: list[Path], tmp_path: Path) -> None:
    average(runs, tmp_path / "mean.ckpt")
    first, second, result = (checkpoint.read(path).state_dict for path in (*runs, tmp_path / "mean.ckpt"))
    for key, tensor in result.items():
        between = (first[key].double() + second[key].double()) / 2
        if "running_" in key:
            assert not torch.allclose(tensor.double(), between), key
        elif tensor.is_floating_point():
            assert torch.equal(tensor, between.float()), key
        else:
            assert tensor == 3, "batches of 4 of the 12 training images"


def test_decisions_of_the_runs_are_dropped(runs: list[Path], tmp_path: Path) -> None:
    run = changed(runs[0], tmp_path / "one.ckpt", lambda content: None)
    checkpoint.store_decisions(run, Decisions(temperature=[2.0]))
    done = average([run, runs[1]], tmp_path / "mean.ckpt")
    assert checkpoint.read(done.path).decisions == Decisions()
    assert done.notes[-1].startswith("what validation decided for the runs")


def test_greedy_keeps_what_does_not_score_lower(runs: list[Path], tmp_path: Path) -> None:
    bad = changed(runs[0], tmp_path / "bad.ckpt", oppose)
    done = average([bad, *runs], tmp_path / "mean.ckpt", greedy=True)
    scores = [each.score.value for each in done.ingredients]
    assert done.score.value >= max(scores)
    assert done.ingredients[0].share == 0
    assert resnet_tl.evaluate(done.path)["metrics"]["val/acc"] == pytest.approx(done.score.value)


def test_greedy_writes_the_best_alone_where_no_mean_is_as_good(runs: list[Path], tmp_path: Path) -> None:
    one = max(runs, key=lambda run: resnet_tl.evaluate(run)["metrics"]["val/acc"])
    done = average([changed(one, tmp_path / "bad.ckpt", oppose), one], tmp_path / "mean.ckpt", greedy=True)
    assert [each.share for each in done.ingredients] == [0, 1]
    assert any(note.endswith("alone, whose weights are written") for note in done.notes)
    best, written = checkpoint.read(one).state_dict, checkpoint.read(done.path).state_dict
    assert all(torch.equal(best[key], written[key]) for key in best)


def test_images_that_a_run_was_trained_on_are_reported_and_do_not_choose(images: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1, "tracking.report": False}
    folds = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "folds", folds=2, **options).path
    runs = [folds / "fold1", folds / "fold2"]
    with pytest.raises(DataError, match=r"fold2: trained on 10 of the 10 .* another fold's.* cannot choose by them"):
        average(runs, tmp_path / "mean.ckpt", greedy=True)
    done = average([folds], tmp_path / "mean.ckpt")
    assert [each.path for each in done.ingredients] == runs
    assert "fold2: trained on 10 of the 10" in done.notes[0]


def test_greedy_needs_validation_images(runs: list[Path], images: Path, tmp_path: Path) -> None:
    shutil.copytree(images / "val", tmp_path / "photos" / "test")
    moved = [("data.root", tmp_path / "photos")]
    with pytest.raises(DataError, match=r"photos has no validation images, by which --greedy chooses"):
        average(runs, tmp_path / "mean.ckpt", overrides=moved, greedy=True)


def another_class(content: dict[str, Any]) -> None:
    content["resnet_tl"]["classes"].append("yellow")
    for key in ("network.head.fc.weight", "network.head.fc.bias"):
        tensor = content["state_dict"][key]
        content["state_dict"][key] = torch.cat([tensor, tensor[:1]])


def test_what_is_not_alike_is_refused(runs: list[Path], tmp_path: Path) -> None:
    changes: dict[str, Callable[[dict[str, Any]], object]] = {
        "networks differ": lambda content: content["resnet_tl"]["recipe"]["model"]["init_args"]["head"][
            "init_args"
        ].update(multi_label=True),
        r"differ: blue only in .*best\.ckpt": lambda content: content["resnet_tl"].update(classes=["pink", "red"]),
        r"differ: yellow only in .*2\.ckpt": another_class,
        "classes differ in their order": lambda content: content["resnet_tl"]["classes"].reverse(),
        "preprocessing differ": lambda content: content["resnet_tl"]["preprocessing"].update(crop=0.5),
        "have the same weights": lambda content: None,
    }
    for number, (sentence, change) in enumerate(changes.items()):
        with pytest.raises(WeightsError, match=sentence):
            average([runs[0], changed(runs[0], tmp_path / f"{number}.ckpt", change)], tmp_path / "mean.ckpt")


def test_options_of_training_may_differ(runs: list[Path], tmp_path: Path) -> None:
    def relabel(content: dict[str, Any]) -> None:
        content["resnet_tl"]["recipe"]["model"]["init_args"]["head"]["init_args"]["label_smoothing"] = 0.1

    average([changed(runs[0], tmp_path / "one.ckpt", relabel), runs[1]], tmp_path / "mean.ckpt")


def test_what_cannot_be_averaged_is_a_sentence(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "mean.ckpt"
    with pytest.raises(RecipeError, match="needs two or more runs"):
        average(runs[:1], out)
    with pytest.raises(RecipeError, match="3 shares for 2 runs"):
        average(runs, out, [1, 1, 1])
    for shares in ([0.0, 0.0], [-0.5, 1.5]):
        with pytest.raises(RecipeError, match="expected shares of 0 or more with a positive sum"):
            average(runs, out, shares)
    with pytest.raises(RecipeError, match="name one of them"):
        average(runs, out, [1, 1], greedy=True)
    with pytest.raises(RecipeError, match=r"ends in \.ckpt"):
        average(runs, tmp_path / "mean.pt")
    (tmp_path / "model.onnx").touch()
    with pytest.raises(WeightsError, match="exported already"):
        average([*runs, tmp_path / "model.onnx"], out)
    with pytest.raises(RunError, match="exists already"):
        average(runs, Path(shutil.copy(checkpoint.locate(runs[0]), tmp_path / "there.ckpt")))
