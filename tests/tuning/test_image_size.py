"""Phases with images of another size: what training sees, also from caches, and after a resume."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning import Callback, LightningModule, Trainer
from torch import Tensor
from watching import Watch

from resnet_tl.data.classification import ImageFolder
from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.errors import RecipeError
from resnet_tl.models.network import Backbone
from resnet_tl.tasks.classification import Classification
from resnet_tl.tuning.image_size import check_images, use_image_size
from resnet_tl.tuning.plan import Phase, Plan, ResolvedPhase, Tuning
from resnet_tl.tuning.plan_table import table
from resnet_tl.tuning.rates import Optimizer

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
GROWING = [Phase(epochs=1, image_size=16), Phase(epochs=1, image_size=24), Phase()]


class Stop(Callback):
    """Ends the run after `epochs`."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epochs


def fit(
    folder: Path,
    phases: Any,
    epochs: int,
    *,
    resume: Path | None = None,
    stop: int = 0,
    callbacks: Sequence[Callback] = (),
    cache: Any = "auto",
    **options: Any,
) -> Any:
    images = ImageFolder(
        str(SAMPLES / "classification"),
        **{"image_size": 32, "crop": 1.0, "batch_size": 40, "num_workers": 0, "seed": 3, "cache_dir": str(folder)}
        | options,
    )  # fmt: skip
    torch.manual_seed(0)
    task = Classification(
        images.classes,
        Backbone("resnet_tiny"),
        tuning=Tuning(phases, allow_untrained=True, cache=cache),
        optimizer=Optimizer(lr=0.05),
    )
    watch = Watch()
    trainer = Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, default_root_dir=folder, num_sanity_val_steps=0, limit_val_batches=1,
        callbacks=[watch, Stop(stop), *callbacks], use_distributed_sampler=False,
    )  # fmt: skip
    trainer.fit(task, images, ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(folder / "end.ckpt")
    return task, watch


def sides(watch: Watch) -> list[int]:
    return [batch.images.shape[-1] for batch in watch.batches if isinstance(batch.images, Tensor)]


@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.slow), 2])
def test_every_phase_has_its_size_and_validation_that_of_the_data(tmp_path: Path, workers: int) -> None:
    _, watch = fit(tmp_path, GROWING, 3, num_workers=workers)
    assert sides(watch) == [16] * 5 + [24] * 5 + [32] * 5
    assert {batch.images.shape[-1] for batch in watch.validated} == {32}


@pytest.mark.parametrize("epochs", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_resumed_run_has_the_sizes_and_weights_of_the_unbroken_one(tmp_path: Path, epochs: int) -> None:
    phases = [Phase(epochs=2, image_size=16), Phase()]
    whole, _ = fit(tmp_path, phases, 3)
    fit(tmp_path, phases, 3, stop=epochs)
    resumed, watch = fit(tmp_path, phases, 3, resume=tmp_path / "end.ckpt")
    assert sides(watch) == [16] * 5 * (2 - epochs) + [32] * 5
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_cached_features_are_of_the_phases_size(tmp_path: Path) -> None:
    phases = [Phase(["head"], epochs=2, image_size=16), Phase(["head"], epochs=2)]
    weights: list[Any] = []
    for cache in ("cached", "again"):
        task, watch = fit(tmp_path, phases, 4, augment="none")
        assert watch.kinds == [True] * 20, cache
        weights.append(task.state_dict())
    files = list(tmp_path.glob("**/*.features"))
    assert len(files) == 3, "training at two sizes, validation at one"
    assert [batch.images.input_size[0] for batch in watch.batches[::5]] == [16, 16, 32, 32]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"image_size": 12}, r"tuning.phases\[0\].image_size is 16, but data.image_size 12; expected at most that"),
        (None, r"tuning.phases\[0\].image_size is 16, but MaskFolder has one size for the whole run; omit it"),
    ],
)
def test_sizes_that_the_data_cannot_give_are_refused(data: dict[str, Any] | None, message: str) -> None:
    images = (
        MaskFolder(str(SAMPLES / "segmentation"))
        if data is None
        else ImageFolder(str(SAMPLES / "classification"), **data)
    )
    plan = Plan((ResolvedPhase(0, 1, {"head": 1.0}, {}, GROWING[0]),))
    with pytest.raises(RecipeError, match=message):
        check_images(plan, images)


def test_objects_have_the_phases_size_and_its_limit() -> None:
    images = CocoDetection(
        str(SAMPLES / "detection"), image_size=64, max_size=96, batch_size=4, num_workers=0, scale=(1.0, 1.0)
    )
    loader = images.train_dataloader()
    found = {}
    for size in (32, None):
        use_image_size(images, size)
        sizes = torch.cat([batch.sizes for batch in loader])
        found[size] = {tuple(each) for each in sizes.tolist()}
    assert found == {32: {(32, 40)}, None: {(64, 80)}}


def test_the_plan_shows_sizes() -> None:
    plan = Plan(tuple(ResolvedPhase(i, i + 1, {"head": 1.0}, {}, phase) for i, phase in enumerate(GROWING)))
    rows = table(plan, {"head": []}, "train").splitlines()
    assert rows[-1].split() == ["image", "size", "16", "pixels", "24", "pixels", "data's"]


def as_evaluated(photos: str) -> Tensor:
    images = ImageFolder(photos, image_size=32, crop=1.0, batch_size=40, num_workers=0, seed=3)
    return torch.cat([batch.images for batch in images.evaluation_batches(images.listings["train"])])


@pytest.mark.parametrize("cache", [pytest.param("off", marks=pytest.mark.slow), "auto"])
def test_fixres_trains_head_and_last_norm_on_images_as_evaluation_sees_them(tmp_path: Path, cache: Any) -> None:
    whole: list[Any] = []

    class Keep(Callback):
        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            whole.append({key: value.clone() for key, value in pl_module.state_dict().items()})

    task, watch = fit(tmp_path, "fixres", 20, augment="light", callbacks=[Keep()], cache=cache)
    images = [batch.images for batch in watch.batches if isinstance(batch.images, Tensor)]
    assert {image.shape[-1] for image in images[: 18 * 5]} == {25}, "176 / 224 of 32"
    if cache == "off":
        seen = torch.cat(images[-5:])
        order = torch.cat([batch.indices for batch in watch.batches[-5:]])
        assert torch.equal(seen, as_evaluated(str(SAMPLES / "classification"))[order])
    else:
        assert watch.kinds == [False] * 18 * 5 + [True] * 2 * 5
    before = whole[18]
    moved = {key for key, value in task.state_dict().items() if not torch.equal(value, before[key])}
    *_, last = (name for name, part in task.named_modules() if isinstance(part, torch.nn.BatchNorm2d))
    assert moved == {
        *(f"{last}.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")),
        "network.head.fc.weight", "network.head.fc.bias",
    }  # fmt: skip


def test_a_run_resumes_within_the_phase_without_augmentation(tmp_path: Path) -> None:
    phases = [Phase(epochs=1, image_size=0.5), Phase(["last_norm", "head"], augment=False)]
    whole, _ = fit(tmp_path, phases, 3)
    fit(tmp_path, phases, 3, stop=2)
    resumed, watch = fit(tmp_path, phases, 3, resume=tmp_path / "end.ckpt")
    assert len(watch.batches) == 5
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("phase", "options", "message"),
    [
        (Phase(augment=False, image_size=16), {}, "augment is false: its images have the size of evaluation; omit its"),
        (Phase(augment=False), {"crops": 10}, r"data\.crops evaluates several views of an image, but tuning\.phases"),
        (
            Phase(augment=False),
            {"augment_on": "device"},
            r"data\.augment_on: device cannot be used with tuning\.phases",
        ),
        (Phase(augment=False), None, "augment is false, but MaskFolder always augments training images; omit it"),
    ],
)
def test_images_as_evaluated_that_the_data_cannot_give_are_refused(
    phase: Phase, options: dict[str, Any] | None, message: str
) -> None:
    images = (
        MaskFolder(str(SAMPLES / "segmentation"))
        if options is None
        else ImageFolder(str(SAMPLES / "classification"), **options)
    )
    with pytest.raises(RecipeError, match=message):
        check_images(Plan((ResolvedPhase(0, 1, {"head": 1.0}, {}, phase),)), images)


def test_the_plan_shows_shares_and_images_as_evaluated() -> None:
    phases = [Phase(image_size=0.75), Phase(augment=False)]
    plan = Plan(tuple(ResolvedPhase(i, i + 1, {"head": 1.0}, {}, phase) for i, phase in enumerate(phases)))
    sizes, images = table(plan, {"head": []}, "train").splitlines()[-2:]
    assert sizes.split() == ["image", "size", "75%", "of", "data's", "data's"]
    assert images.split() == ["images", "augmented", "as", "evaluated"]
