"""What a task has from its base, whatever its network and metrics are."""

from __future__ import annotations

import functools
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Trainer
from torch.utils.data import DataLoader

from resnet_tl.checkpoint import KEY
from resnet_tl.data.base import ImageData
from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.heads.fcos import FCOS
from resnet_tl.models.heads.two_stage import FasterRCNN
from resnet_tl.models.network import Backbone
from resnet_tl.models.pyramid import FPN
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.records import Batch
from resnet_tl.tasks.base import Task, total
from resnet_tl.tasks.classification import Classification
from resnet_tl.tasks.detection import Detection
from resnet_tl.tasks.segmentation import Segmentation
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.rates import Optimizer, Schedule

BATCHES = 3


def loader() -> DataLoader[Batch]:
    def batch(number: int) -> Batch:
        images = torch.full((2, 3, 16, 16), 40 * number, dtype=torch.uint8)
        sizes = torch.full((2, 2), 16)
        return Batch(images, torch.tensor([0, 1]), sizes, sizes, torch.arange(2 * number, 2 * number + 2))

    return DataLoader([batch(number) for number in range(BATCHES)], batch_size=None)  # type: ignore[arg-type]


class Metrics(torch.nn.Module):
    """Counts batches; its tables show the options that it was asked with."""

    headline = "batches"

    def __init__(self) -> None:
        super().__init__()
        self.batches = 0
        self.resets = 0

    def compute(self, scale: int) -> dict[str, float]:
        return {"batches": float(self.batches * scale)}

    def tables(self, scale: int) -> dict[str, Any]:
        return {"scale": scale}

    def interval(self) -> tuple[float, float]:
        return 0.0, 1.0

    def reset(self) -> None:
        self.batches, self.resets = 0, self.resets + 1


class Counting(Task):
    def __init__(self, **options: Any) -> None:
        parts: dict[str, Any] = {"tuning": Tuning(), "optimizer": Optimizer(lr=0.05), "schedule": Schedule(), **options}
        super().__init__(["a", "b"], backbone=Backbone("resnet_tiny"), head=LinearHead, **parts)
        self.metrics = Metrics()
        self.outputs: list[Any] = []

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        return total(self.network.head.loss(self.network(batch.images, batch.sizes), batch.targets))

    def on_validation_batch_end(self, outputs: Any, *_: Any) -> None:
        self.outputs.append(outputs)

    def _metric_options(self) -> dict[str, Any]:
        return {"scale": 10}

    def _evaluate(self, batch: Batch, split: str) -> dict[str, str]:
        self.metrics.batches += 1
        self.mean_loss.update(float(batch.indices[0]))
        return {"split": split}


def trainer(folder: Path, **options: Any) -> Trainer:
    return Trainer(
        max_epochs=2, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, num_sanity_val_steps=0, **options,
    )  # fmt: skip


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_evaluation_logs_its_metrics_and_the_mean_loss(split: str, tmp_path: Path) -> None:
    task, run = Counting(), trainer(tmp_path)
    (logged,) = getattr(run, "validate" if split == "val" else "test")(task, loader(), verbose=False)
    assert logged == {f"{split}/loss": 2.0, f"{split}/batches": 30.0}  # of the losses 0, 2 and 4
    assert task.tables == {"scale": 10}
    assert task.interval == (0.0, 1.0)
    assert task.metrics.resets == 1
    assert task.outputs == ([{"split": "val"}] * BATCHES if split == "val" else [])


def test_an_interval_is_not_computed_in_training(tmp_path: Path) -> None:
    task = Counting()
    trainer(tmp_path).fit(task, loader(), loader())
    assert task.interval is None
    assert task.metrics.resets == 2


def test_calibration_updates_statistics_without_a_loss() -> None:
    task = Counting().train()
    before = task.network.trunk.get_buffer("bn1.running_mean").clone()
    task.calibration_step(next(iter(loader())))
    assert not torch.equal(task.network.trunk.get_buffer("bn1.running_mean"), before)


def test_the_total_is_the_sum_of_the_terms() -> None:
    terms = {"class": torch.tensor(1.5, requires_grad=True), "box": torch.tensor(0.25)}
    assert total(terms) == 1.75
    assert total(terms).requires_grad


def test_the_schedule_of_the_recipe_reaches_the_optimizer(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    run.fit(Counting(schedule=Schedule("constant")), loader())
    assert {group["lr"] for group in run.optimizers[0].param_groups} == {0.05}


def test_no_batches_to_train_on_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="limit_train_batches is 0, which leaves nothing to train on; expected at"):
        trainer(tmp_path, limit_train_batches=0).fit(Counting(), loader())


def test_lightnings_way_to_load_names_ours_and_works_with_all_arguments(tmp_path: Path) -> None:
    task, run = Classification(["a", "b"], Backbone("resnet_tiny")), trainer(tmp_path)
    run.fit(task, loader())
    run.save_checkpoint(file := tmp_path / "a.ckpt")
    with pytest.raises(WeightsError, match=r"classes is not one of them; resnet_tl\.load\('.*a\.ckpt'\) makes"):
        Classification.load_from_checkpoint(file)
    arguments = {"classes": ["a", "b"], "backbone": Backbone("resnet_tiny")}
    loaded = Classification.load_from_checkpoint(file, weights_only=False, **arguments)
    assert torch.equal(loaded.classifier.fc.weight, task.classifier.fc.weight)


PLATEAU = Schedule("plateau", patience=0, monitor="val/loss")


def test_a_plateau_of_validation_steps_after_validations_alone(tmp_path: Path) -> None:
    fit = trainer(tmp_path, check_val_every_n_epoch=2)
    fit.fit(Counting(schedule=PLATEAU), loader(), loader())
    plateau: Any = fit.lr_scheduler_configs[0].scheduler
    assert plateau.last_epoch == 1


def test_ranks_agree_on_the_value_of_a_plateau(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def mean_of_ranks(value: Any, *, reduce_op: str) -> Any:
        return value + 1 if reduce_op == "mean" else value

    fit = trainer(tmp_path)
    monkeypatch.setattr(fit.strategy, "reduce", mean_of_ranks)
    fit.fit(Counting(schedule=PLATEAU), loader(), loader())
    plateau: Any = fit.lr_scheduler_configs[0].scheduler
    assert plateau.best == fit.callback_metrics["val/loss"] + 1


def test_freezing_random_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="freezes 'stem', whose weights are random"):
        trainer(tmp_path).fit(Counting(tuning=Tuning([Phase(["head"])])), loader())


def test_a_checkpoint_holds_what_the_task_is_built_from(tmp_path: Path) -> None:
    task, run = Counting(tuning=Tuning([Phase(layer_decay=0.5)])), trainer(tmp_path)
    run.fit(task, loader())
    run.save_checkpoint(file := tmp_path / "a.ckpt")
    bundle = torch.load(file, weights_only=False)[KEY]
    assert bundle["classes"] == ["a", "b"]
    init_args = task.spec()["init_args"]
    assert init_args["tuning"]["phases"][0]["layer_decay"] == 0.5
    assert init_args["backbone"]["name"] == "resnet_tiny"
    assert init_args["head"]["class_path"].endswith(".LinearHead")


@pytest.mark.parametrize("kind", ["classification", "several labels", "segmentation", "detection", "two stages"])
def test_an_evaluation_with_outputs_that_are_not_finite_scores_nothing(kind: str, tmp_path: Path) -> None:
    """Otherwise NaN counts as the first class, and such an epoch has a score."""
    folder = {"several labels": "classification", "two stages": "detection"}.get(kind, kind)
    root, backbone = str(shipped_root() / "data" / "samples" / folder), Backbone("resnet_tiny")
    data: ImageData[Any]
    task: Task
    if kind == "classification":
        data = ImageFolder(root, image_size=16, batch_size=50, num_workers=0)
        task = Classification(data.classes, backbone=backbone)
    elif kind == "several labels":
        lines = [f"{path},cat|dog" for path in sorted(Path(root).glob("train/cat/*.png"))[:10]]
        (tmp_path / "labels.csv").write_text("\n".join(["path,label", *lines]))
        data = ImageTable(str(tmp_path / "labels.csv"), image_size=16, num_workers=0)
        task = Classification(data.classes, backbone=backbone, head=functools.partial(LinearHead, multi_label=True))
    elif kind == "segmentation":
        data = MaskFolder(root, image_size=32, short=32, batch_size=4, num_workers=0)
        task = Segmentation(data.classes, backbone=backbone)
    else:
        data = CocoDetection(root, image_size=32, batch_size=4, num_workers=0)
        neck = functools.partial(FPN, channels=8, outputs=("p3", "p4", "p5"))
        head = FCOS if kind == "detection" else functools.partial(FasterRCNN, samples=8)
        task = Detection(data.classes, backbone=backbone, neck=neck, head=head)
    with torch.no_grad():
        for parameter in task.network.head.parameters():
            parameter.fill_(math.nan)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
                      use_distributed_sampler=False)  # fmt: skip
    with pytest.warns(UserWarning, match="outputs are NaN or infinite, so all metrics are NaN"):
        (metrics,) = trainer.validate(task, datamodule=data, verbose=False)
    assert len(metrics) > 2
    assert all(map(math.isnan, metrics.values()))
