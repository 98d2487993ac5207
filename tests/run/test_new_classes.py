"""`fit --from RUN` on images with more classes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch import nn

import resnet_tl
from resnet_tl.errors import WeightsError
from resnet_tl.metrics.per_class import old_and_new
from resnet_tl.run.new_classes import ClassMeans, imprint
from tests.cli.test_objects import RECIPE as OBJECTS
from tests.cli.test_objects import SAMPLES as BOXES
from tests.cli.test_segmentation import RECIPE as MASKS
from tests.cli.test_segmentation import SAMPLES as REGIONS

OLD, NEW = [0, 2], [1, 3]
NAMES = ["ant", "bee", "cow", "dog"]


def images_of(targets: list[int], several: bool, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features `[N, 6]` around a mean for each class, and targets."""
    draw = np.random.default_rng(seed)
    features = 3 * np.eye(6)[targets] + draw.uniform(0, 1, (len(targets), 6))
    labels = torch.tensor(targets)
    if several:
        labels = nn.functional.one_hot(labels, 4)
        labels[::3, 0] = 1
    return torch.from_numpy(features), labels


def old_layer() -> nn.Linear:
    torch.manual_seed(0)
    layer = nn.Linear(6, 4)
    with torch.no_grad():
        layer.weight[OLD] = torch.eye(6)[OLD] * 2
    return layer


def started(features: torch.Tensor, labels: torch.Tensor) -> tuple[nn.Linear, np.ndarray, str]:
    """The layer, and its logits `[N, 4]`, by numpy."""
    layer = old_layer()
    batches = zip(features.split(5), labels.split(5), strict=True)
    line = imprint(layer, ClassMeans.of(batches, 4), NEW, NAMES)
    weight, bias = layer.weight.detach().numpy(), layer.bias.detach().numpy()
    return layer, features.numpy() @ weight.T + bias, line


@pytest.mark.parametrize("several", [False, True])
def test_new_rows_have_logits_of_the_old_rows_size(several: bool) -> None:
    features, labels = images_of([0, 1, 2, 3] * 5 + [0, 2, 2, 3], several)
    layer, logits, line = started(features, labels)
    assert torch.equal(layer.weight[OLD], old_layer().weight[OLD])
    assert torch.equal(layer.bias[OLD], old_layer().bias[OLD])
    shown = (labels if several else nn.functional.one_hot(labels, 4)).numpy() > 0
    inside = [logits[shown[:, k], k].mean() for k in range(4)]
    outside = [logits[~shown[:, k], k].mean() for k in range(4)]
    for k in NEW:
        assert inside[k] == pytest.approx(np.mean([inside[old] for old in OLD]), abs=1e-4)
        assert outside[k] == pytest.approx(np.mean([outside[old] for old in OLD]), abs=1e-4)
    assert "bee (5 images), dog (6 images)" in line
    if not several:
        assert (logits.argmax(1) == labels.numpy()).all(), "each class has its own direction here"


def test_without_old_images_the_old_rows_answers_to_the_new_ones_are_the_measure() -> None:
    features, labels = images_of([1, 3] * 6, several=False)
    layer, logits, line = started(features, labels)
    assert torch.equal(layer.weight[OLD], old_layer().weight[OLD])
    means = [features[labels == k].numpy().mean(0) for k in NEW]
    old = np.stack(means) @ layer.weight[OLD].detach().numpy().T + layer.bias[OLD].detach().numpy()
    for k in NEW:
        assert logits[labels.numpy() == k, k].mean() == pytest.approx(old.max(1).mean(), abs=1e-4)
        assert logits[labels.numpy() != k, k].mean() == pytest.approx(old.mean(), abs=1e-4)
    assert "the highest and the mean" in line


def test_classes_without_images_keep_their_rows() -> None:
    layer, _, line = started(*images_of([0, 2] * 4, several=False))
    assert torch.equal(layer.weight, old_layer().weight)
    assert "start as usual" in line
    layer, _, line = started(*images_of([0, 2, 3] * 4, several=False))
    assert torch.equal(layer.weight[1], old_layer().weight[1])
    assert not torch.equal(layer.weight[3], old_layer().weight[3])


def test_means_over_old_and_new_classes_are_of_the_headlines_column() -> None:
    table: list[Any] = [{"class": name, "recall": value} for name, value in zip("abc", (0.5, 1.0, None), strict=True)]
    assert old_and_new([*table, {"class": "d", "recall": 0.25}], "acc", ["c", "d"]) == {
        "acc_old": 0.75, "acc_new": 0.25,
    }  # fmt: skip
    assert old_and_new([{"class": "a", "ap": 0.5, "recall": 1.0}], "map", ["b"]) == {"map_old": 0.5}
    assert old_and_new([{"class": "a", "iou": 0.5, "recall": 1.0}], "miou", ["a"]) == {"miou_new": 0.5}


@pytest.fixture(scope="module")
def more(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The images of blue and red, and of green."""
    root, draw = tmp_path_factory.mktemp("more") / "images", np.random.default_rng(1)
    shutil.copytree(images, root)
    for split, count in (("train", 6), ("val", 4)):
        (root / split / "green").mkdir()
        for number in range(count):
            image = draw.integers(0, 60, (20, 20, 3), np.uint8)
            image[..., 1] += 150
            cv2.imwrite(str(root / split / "green" / f"{number}.png"), image)
    return root


def state_of(run: str, name: str = "last") -> dict[str, torch.Tensor]:
    saved: dict[str, torch.Tensor] = torch.load(f"{run}/checkpoints/{name}.ckpt", weights_only=True)["state_dict"]
    return saved


FROM = "fit -c photos.yaml --data.root {} --from first --model.schedule.name constant"


def test_a_run_on_more_classes_starts_from_what_an_earlier_one_knows(
    resnet_tl: Callable[..., Any], here: Path, images: Path, more: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run first", images).code == 0
    line = FROM + " --run second --model.optimizer.lr 1.0e-9 --trainer.max_epochs 1"
    with caplog.at_level("INFO"):
        assert resnet_tl(line, more).code == 0
    log = (here / "second" / "log.txt").read_text()
    assert "rows of blue, red kept by name, those of green are new" in caplog.text
    assert "new classes start from their mean features: green (6 images)" in log
    assert "val/acc, mean of old classes" in log
    (first, second) = (json.loads((here / run / "summary.json").read_text())["final"] for run in ("first", "second"))
    assert first.keys() | {"val/acc_old", "val/acc_new"} == second.keys()
    # As many images of each class: the accuracy is the mean over the three classes.
    assert 2 * second["val/acc_old"] + second["val/acc_new"] == pytest.approx(3 * second["val/acc"])
    weight, before = (state_of(run, "best")["network.head.fc.weight"] for run in ("second", "first"))
    torch.testing.assert_close(weight[[0, 2]], before, atol=1e-5, rtol=0)  # blue, green, red
    recipe = (here / "second" / "recipe.yaml").read_text()
    assert "weights: first" in recipe
    assert "keep_classifier: known" in recipe


def test_a_stopped_run_resumes_exactly(resnet_tl: Callable[..., Any], here: Path, images: Path, more: Path) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run first --trainer.max_epochs 1", images).code == 0
    (here / "phases.yaml").write_text(
        "model: {init_args: {tuning: {ema: 0.9, phases: [{epochs: 1, train: [head]}, {}]}}}\n"
    )
    assert resnet_tl(f"{FROM} -c phases.yaml --run whole --trainer.max_epochs 3", more).code == 0
    assert resnet_tl(f"{FROM} -c phases.yaml --run part --trainer.max_epochs 2", more).code == 0
    assert resnet_tl("fit --resume part --trainer.max_epochs 3").code == 0
    whole, part = state_of("whole"), state_of("part")
    assert [key for key, value in whole.items() if not value.equal(part[key])] == []
    assert (here / "whole" / "metrics.csv").read_text() == (here / "part" / "metrics.csv").read_text()
    assert (here / "part" / "log.txt").read_text().count("new classes start") == 1


@pytest.fixture(scope="module")
def green(more: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of `more` green alone to train on, and all three to validate on."""
    root = tmp_path_factory.mktemp("green") / "images"
    shutil.copytree(more / "train" / "green", root / "train" / "green")
    shutil.copytree(more / "val", root / "val")
    return root


REPLAY = "fit -c photos.yaml --data.root {} --data.replay {} --data.replay_shots 3 --from first"


def test_replay_of_a_few_old_images(
    resnet_tl: Callable[..., Any], here: Path, images: Path, green: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run first --trainer.max_epochs 1", images).code == 0
    old = images / "train"
    (here / "phases.yaml").write_text(
        "model: {init_args: {tuning: {ema: 0.9, regularisers: [{class_path: LwF}], phases: [{epochs: 1, train: [head]}"
        ", {}]}}}\ndata: {init_args: {balanced: true}}\n"
    )
    line = f"{REPLAY} -c phases.yaml --model.schedule.name constant"
    assert resnet_tl(f"{line} --run whole --trainer.max_epochs 3", green, old).code == 0
    assert resnet_tl(f"{line} --run part --trainer.max_epochs 2", green, old).code == 0
    assert resnet_tl("fit --resume part --trainer.max_epochs 3").code == 0
    whole, part = state_of("whole"), state_of("part")
    assert [key for key, value in whole.items() if not value.equal(part[key])] == []
    assert (here / "whole" / "metrics.csv").read_text() == (here / "part" / "metrics.csv").read_text()
    rows = [row.split(",") for row in (here / "whole" / "split.csv").read_text().splitlines()[1:]]
    trained = [label for key, label, split in rows if split == "train"]
    assert {name: trained.count(name) for name in trained} == {"blue": 3, "red": 3, "green": 6}
    assert [key for key, _, split in rows if split == "val" and "replay" in key] == []
    summary = json.loads((here / "whole" / "summary.json").read_text())["best"]

    shutil.move(here / "first", here / "gone")
    caplog.clear()
    done = resnet_tl("validate whole")
    assert done.code == 0
    scores = dict(line.split()[:2] for line in done.out.splitlines() if line.startswith("val/acc"))
    for group in ("old", "new"):
        assert float(scores[f"val/acc_{group}"]) == pytest.approx(summary[f"val/acc_{group}"], abs=1e-4)


def test_replay_of_what_the_run_does_not_know_is_refused(
    resnet_tl: Callable[..., Any], here: Path, images: Path, green: Path, tmp_path: Path
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run first --trainer.max_epochs 1", images).code == 0
    shutil.copytree(images / "train", tmp_path / "old")
    shutil.copytree(images / "train" / "red", tmp_path / "old" / "rod", copy_function=shutil.copy)
    done = resnet_tl(REPLAY + " --run second", green, tmp_path / "old")
    assert done.code == 2
    assert (
        "data.replay has the class 'rod', which first does not know; expected some of blue, red, and new classes in "
        "data.root; did you mean 'red'?" in done.err
    )
    assert not (here / "second").exists()
    done = resnet_tl("fit -c photos.yaml --data.root {} --data.replay {} --run second", green, images / "train")
    assert done.code == 2
    assert "data.replay is for a run that keeps the classes which another one knows" in done.err


def test_rows_of_classes_without_training_images_stay(
    resnet_tl: Callable[..., Any], here: Path, images: Path, more: Path, green: Path, tmp_path: Path
) -> None:
    assert resnet_tl("fit -c photos.yaml --data.root {} --run first --trainer.max_epochs 1", images).code == 0
    shutil.copytree(green, tmp_path / "two")
    shutil.copytree(more / "train" / "green", tmp_path / "two" / "train" / "lime")
    line = f"{FROM} --run second --trainer.max_epochs 1 --model.optimizer.weight_decay 0 --model.optimizer.lr 0.5"
    done = resnet_tl(f"{line} --data.classes '[blue, green, lime, red]'", tmp_path / "two")
    assert done.code == 0
    assert (
        "no images to train on of blue, red: the loss of training is over the other classes"
        in (here / "second" / "log.txt").read_text()
    )
    second, first = state_of("second"), state_of("first")
    for name in ("weight", "bias"):
        assert torch.equal(second[f"network.head.fc.{name}"][[0, 3]], first[f"network.head.fc.{name}"])
    assert any(not torch.equal(second[key], value) for key, value in first.items() if ".conv" in key)


def test_mistakes_are_one_sentence(here: Path, images: Path, more: Path) -> None:
    base: dict[str, Any] = {"data.root": images, "trainer.max_epochs": 1, "model.backbone.keep_classifier": "known"}
    with pytest.raises(WeightsError, match="there are no weights at 'nowhere'"):
        resnet_tl.fit("photos.yaml", **base, **{"model.backbone.weights": "nowhere"})
    with pytest.raises(WeightsError, match="no class name is in both"):
        resnet_tl.fit("photos.yaml", **{
            **base, "model.backbone.name": "resnet20_cifar", "model.backbone.weights": "builtin/resnet20_cifar10",
        })  # fmt: skip


def test_detectors_and_masks_keep_the_known_classes_too(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name, recipe, samples, file, old in (
        ("map", OBJECTS, BOXES, "instances_*.json", '"bird"'),
        ("miou", MASKS, REGIONS, "classes.txt", "plant"),
    ):
        shutil.copytree(samples, here / name)
        short = {"data.root": here / name, "trainer.max_epochs": 1, "trainer.limit_train_batches": 1}
        short |= {"tracking.decisions": False, "trainer.callbacks": []}
        first = resnet_tl.fit(yaml.safe_load(recipe), run=f"{name}1", **short)
        for path in (here / name).glob(file):
            path.write_text(path.read_text().replace(old, old.replace(old.strip('"'), "stranger")))
        keep = {"model.backbone.weights": str(first.path), "model.backbone.keep_classifier": "known"}
        with caplog.at_level("INFO"):
            second = resnet_tl.fit(yaml.safe_load(recipe), run=f"{name}2", **short, **keep)
        assert "those of stranger are new" in caplog.text
        caplog.clear()
        assert second.final.keys() - first.final.keys() == {f"val/{name}_old", f"val/{name}_new"}


@pytest.mark.slow
@pytest.mark.parametrize("replay", [False, True])
def test_two_ranks_start_as_one(
    process: Callable[..., BaseProcess], here: Path, images: Path, more: Path, green: Path, replay: bool
) -> None:
    resnet_tl.fit("photos.yaml", run="first", **{"data.root": images})
    exact = "--model.backbone.norm frozen --trainer.precision 64-true"
    short = "--trainer.max_epochs 1 --trainer.limit_train_batches 4"  # the fifth batch is smaller
    two = "--trainer.accelerator cpu --trainer.devices 2 --trainer.strategy ddp --data.batch_size 2"
    data = f"{green} --data.replay {images}/train --data.replay_shots 5" if replay else more
    for run, devices in (("one", ""), ("two", two)):
        started = process(f"{FROM.format(data)} {exact} {short} {devices} --run {run}", here)
        started.join(300)
        assert started.exitcode == 0
    one, other = state_of("one"), state_of("two")
    assert max(float((value - other[key]).abs().max()) for key, value in one.items()) <= 1e-9
    logs = [(here / run / "log.txt").read_text() for run in ("one", "two")]
    lines = [line.partition("  ")[2] for log in logs for line in log.splitlines() if "new classes start" in line]
    assert len(lines) == 2
    assert len(set(lines)) == 1
