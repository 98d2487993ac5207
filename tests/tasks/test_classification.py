"""The classification task end to end on our own samples."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer

from resnet_tl import checkpoint
from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.errors import RecipeError
from resnet_tl.models.heads.classification import LinearHead, MLPHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule

SAMPLES = Path(__file__).parents[2] / "data" / "samples" / "classification"
TINY = Backbone("resnet_tiny")


def data(**options: Any) -> ImageFolder:
    return ImageFolder(
        SAMPLES, **{"image_size": 32, "crop": 1.0, "batch_size": 40, "num_workers": 0, "seed": 3, **options}
    )


def trainer(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        **{
            "max_epochs": 1,
            "accelerator": "cpu",
            "logger": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "enable_checkpointing": False,
            "default_root_dir": folder,
            "limit_val_batches": 2,
            "num_sanity_val_steps": 0,
            **options,
        }
    )


def fit(
    folder: Path, images: ImageFolder | None = None, epochs: int = 1, **options: Any
) -> tuple[Classification, Trainer]:
    images = images or data()
    torch.manual_seed(0)
    task = Classification(images.classes, backbone=TINY, optimizer=Optimizer(lr=0.05), **options)
    run = trainer(folder, max_epochs=epochs)
    run.fit(task, images)
    return task, run


def test_three_lines_train_evaluate_and_log(tmp_path: Path) -> None:
    _, run = fit(tmp_path)
    logged = {name: float(value) for name, value in run.callback_metrics.items()}
    assert {"train/loss", "val/loss", "val/acc", "val/top5", "val/f1", "val/ece"} <= set(logged)
    assert 0 <= logged["val/acc"] <= logged["val/top5"] <= 1
    assert all(value == value for value in logged.values())


def test_learning_lowers_the_loss(tmp_path: Path) -> None:
    images = data(augment="none")
    before = _train_loss(Classification(images.classes, backbone=TINY), images)
    task, _ = fit(tmp_path, images, epochs=8)
    assert _train_loss(task, images) < before - 0.1


def _train_loss(task: Classification, images: ImageFolder) -> float:
    task.eval()
    with torch.no_grad():
        losses = [task.network.head.loss(task.network(b.images), b.targets)["loss"] for b in images.train_dataloader()]
    return float(torch.stack(losses).mean())


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_the_same_weights_for_any_number_of_workers(workers: int, tmp_path: Path) -> None:
    options: dict[str, Any] = {"mixup": 0.2, "head": functools.partial(LinearHead, dropout=0.3)}
    alone, _ = fit(tmp_path, data(augment="strong"), **options)
    helped, _ = fit(tmp_path, data(augment="strong", num_workers=workers), **options)
    assert all(
        torch.equal(a, b) for a, b in zip(alone.state_dict().values(), helped.state_dict().values(), strict=True)
    )


def test_a_checkpoint_is_enough_to_predict_and_safe_to_read(tmp_path: Path) -> None:
    task, run = fit(tmp_path, head=functools.partial(MLPHead, hidden=8, pool="gem"))
    run.save_checkpoint(tmp_path / "last.ckpt")
    saved = checkpoint.read(tmp_path / "last.ckpt")
    init_args = saved.recipe["model"]["init_args"]
    assert init_args["head"] == {
        "class_path": "resnet_tl.models.heads.classification.MLPHead",
        "init_args": {"hidden": 8, "pool": "gem"},
    }
    network = build(
        Backbone(**init_args["backbone"]), None, functools.partial(MLPHead, hidden=8, pool="gem"), saved.classes
    )
    network.load_state_dict(saved.state_dict)
    images = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(network.eval()(images), task.network.eval()(images))
    assert (saved.preprocessing.size, saved.preprocessing.crop) == (32, 1.0)


def test_the_spec_of_a_task_from_python_has_all_options() -> None:
    init_args = Classification(["a", "b"], Backbone(name="resnet_tiny"), mixup=0.2, cutmix=1.0).spec()["init_args"]
    assert (init_args["mixup"], init_args["cutmix"], init_args["backbone"]["name"]) == (0.2, 1.0, "resnet_tiny")
    assert init_args.keys() == {"backbone", "head", "tuning", "optimizer", "schedule", "mixup", "cutmix"}


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_a_share_below_what_torch_can_draw_is_refused(name: str) -> None:
    options: dict[str, Any] = {name: 1e-300}
    with pytest.raises(RecipeError, match=rf"^model.{name} must be 0 or float in \[0.01, 100\], got 1e-300$"):
        Classification(["a", "b"], TINY, **options)
    shares = torch.distributions.Beta(0.01, 0.01).sample((10_000,))
    assert ((shares > 0.01) & (shares < 0.99)).float().mean() == pytest.approx(0.0448, abs=0.01)


def test_views_are_averaged(tmp_path: Path) -> None:
    images = data(crops=10, image_size=24, batch_size=8)
    task = Classification(images.classes, backbone=TINY)
    (logged,) = trainer(tmp_path).validate(task, images, verbose=False)
    assert 0 <= logged["val/acc"] <= 1
    batch = next(iter(images.val_dataloader()))
    assert len(batch.images) == 10 * len(batch)


def test_frozen_stages_do_not_change_and_the_head_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    images = data()
    tuning = Tuning([Phase(["head"])], allow_untrained=True)
    task = Classification(images.classes, backbone=TINY, tuning=tuning, optimizer=Optimizer(lr=0.1))
    before = {key: value.clone() for key, value in task.network.state_dict().items()}
    trainer(tmp_path).fit(task, images)
    for key, value in task.network.state_dict().items():
        assert torch.equal(before[key], value) == (not key.startswith("head.fc"))


def test_freezing_random_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        fit(tmp_path, tuning=Tuning([Phase(["head"])]))


def test_channels_that_differ_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="in_channels is 3; they must be equal"):
        fit(tmp_path, data(channels=1))


def test_a_multi_label_head_on_single_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="multi_label: false"):
        fit(tmp_path, head=functools.partial(LinearHead, multi_label=True))


@pytest.mark.parametrize("name", ["resnet20_cifar"])
def test_published_weights_are_scored_without_training(name: str, shared_data: Path, tmp_path: Path) -> None:
    weights = shared_data / "weights" / "resnet20-12fca82f.th"
    images = ImageFolder(shared_data / "cifar10" / "test.zip", image_size=32, crop=1.0, batch_size=100, num_workers=0)
    task = Classification(images.classes, backbone=Backbone(name, str(weights), keep_classifier=True))
    (logged,) = trainer(tmp_path, limit_val_batches=10).validate(task, images, verbose=False)
    assert logged["val/acc"] > 0.85
    assert set(task.loaded_stages) == set(task.stages())


def test_a_schedule_of_the_recipe_reaches_the_optimizer(tmp_path: Path) -> None:
    _, run = fit(tmp_path, schedule=Schedule("constant"))
    assert {group["lr"] for group in run.optimizers[0].param_groups} == {0.05}


@pytest.mark.parametrize("ema", [None, 0.5])
def test_multi_label_thresholds_are_chosen_on_validation_and_saved(ema: float | None, tmp_path: Path) -> None:
    table = tmp_path / "images.csv"
    listed = {name: sorted((SAMPLES / "train" / name).iterdir()) for name in LABELS}
    rows = [f"{path},{LABELS[name]}" for name, paths in listed.items() for path in paths]
    table.write_text("path,label\n" + "\n".join(rows) + "\n")
    images = ImageTable(table, image_size=32, crop=1.0, batch_size=30, num_workers=0, seed=3)
    head = functools.partial(LinearHead, multi_label=True, thresholds="auto")
    task = Classification(images.classes, backbone=TINY, head=head, tuning=Tuning(ema=ema))
    run = trainer(tmp_path)
    run.fit(task, images)
    assert {"val/map", "val/f1"} <= set(run.callback_metrics)
    chosen = task.network.head.thresholds
    assert not torch.equal(chosen, torch.full_like(chosen, 0.5))
    run.save_checkpoint(tmp_path / "last.ckpt")
    assert torch.equal(checkpoint.read(tmp_path / "last.ckpt").state_dict["head.thresholds"], chosen)


LABELS = {"cat": "animal|pet", "dog": "animal|pet", "deer": "animal", "car": "machine", "truck": ""}
