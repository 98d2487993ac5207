"""What all data modules share: reproducible batches, splits, notes, broken images, and Lightning."""

from __future__ import annotations

import gc
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import ref

import lightning as L
import pytest
import torch

from resnet_tl.data.classification import ClassificationData
from resnet_tl.data.listings.splits import split_sizes
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.structures.records import Batch
from tests.data.epochs import epoch_of, equal, folder


@pytest.mark.parametrize(("start", "numbers"), [("fork", (1, 2)), pytest.param("spawn", (2,), marks=pytest.mark.slow)])
def test_images_are_the_same_for_any_workers_and_differ_between_epochs(
    class_photos: Path, start: str, numbers: tuple[int, ...]
) -> None:
    def two_epochs(workers: int) -> list[list[Batch]]:
        loader = folder(class_photos, augment="strong", num_workers=workers, multiprocessing=start).train_dataloader()
        return [epoch_of(loader, 0), epoch_of(loader, 1)]

    alone = two_epochs(0)
    assert not equal(alone[0], alone[1])
    for workers in numbers:
        with_workers = two_epochs(workers)
        assert equal(alone[0], with_workers[0])
        assert equal(alone[1], with_workers[1])


def test_iterating_does_not_advance_the_global_generator(class_photos: Path) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data = folder(class_photos)
    epoch_of(data.train_dataloader())
    epoch_of(data.val_dataloader())
    assert torch.equal(before, torch.get_rng_state())


def test_seeds_split_and_folds(class_photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def validated(**options: Any) -> list[str]:
        return folder(class_photos, **options).listings["val"].keys()

    assert validated() == validated()
    assert validated(seed=1) != validated()
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert validated(seed=None) == validated(seed=1)
    folds = [validated(folds=5, fold=fold) for fold in range(5)]
    assert sorted(chain(*folds)) == [f"{p.parent.name}/{p.name}" for p in sorted(class_photos.glob("*/*"))]


def test_the_written_split_lists_every_image(class_photos: Path, tmp_path: Path) -> None:
    data = folder(class_photos)
    data.write_split(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "key,class,split"
    assert len(lines) == 26
    assert sum(line.endswith(",val") for line in lines) == len(data.listings["val"]) == 5
    assert split_sizes(tmp_path / "split.csv") == {"train": 20, "val": 5}


def test_a_test_split_is_also_validated_on_but_not_trained_on(class_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test").symlink_to(class_photos)
    data = folder(tmp_path / "set")
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert sum(len(batch) for batch in loader) == 25
    assert data.notes[-1] == f"{tmp_path}/set: 25 test; no val split: test is used"
    with pytest.raises(DataError, match="has no images in a split train; it has test only"):
        data.train_dataloader()


def test_notes_give_the_sizes_of_splits(class_photos: Path) -> None:
    for options, sizes in (({}, "20 train, 5 val"), ({"val_fraction": 1.0}, "25 val")):
        note = f"{class_photos}: {sizes} (split here); no test split: val is used"
        assert folder(class_photos, **options).notes == [note]


def test_notes_name_the_classes_missing_in_a_split(class_photos: Path, tmp_path: Path) -> None:
    for split, names in {"train": ["cat", "dog", "emu"], "val": ["dog"]}.items():
        for name in names:
            shutil.copytree(class_photos / name, tmp_path / split / name)
    assert folder(tmp_path).notes[1:] == [f"{tmp_path}: no image in val shows cat, emu"]


def test_a_class_that_no_split_shows_is_noted_once(class_photos: Path) -> None:
    data = folder(
        class_photos, classes=["gnu", *sorted(path.name for path in class_photos.iterdir())], val_fraction=1.0
    )
    assert data.absent == [0]
    assert data.notes[1:] == [
        f"{class_photos}: no image shows gnu (1 of {len(data.classes)} classes); means exclude it"
    ]


def with_broken_image(class_photos: Path, copy: Path) -> None:
    """The same images, one of them broken."""
    shutil.copytree(class_photos, copy, dirs_exist_ok=True)
    (copy / "cat" / "3.png").write_bytes(b"no image")


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_or_skipped(class_photos: Path, tmp_path: Path, workers: int) -> None:
    with_broken_image(class_photos, tmp_path)
    with pytest.raises(DataError) as caught:
        epoch_of(folder(tmp_path, num_workers=workers, val_fraction=1.0).val_dataloader())
    assert f"{tmp_path}/cat/3.png" in str(caught.value).strip().splitlines()[-1]
    batches = epoch_of(folder(tmp_path, num_workers=workers, val_fraction=1.0, on_error="skip").val_dataloader())
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert sorted(index for index in indices if index >= 0) == [i for i in range(25) if i != 5]


def test_skipped_images_are_listed(class_photos: Path, tmp_path: Path) -> None:
    with_broken_image(class_photos, tmp_path)
    data = folder(tmp_path, num_workers=1, on_error="skip", val_fraction=0.01)
    assert data.skipped() == []
    batches = epoch_of(data.train_dataloader())
    assert sum(len(batch) for batch in batches) == len(data.listings["train"])
    assert [sentence.split(": ")[0] for sentence in data.skipped()] == [f"{tmp_path}/cat/3.png"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "data.image_size must be int in"),
        ({"batch_size": 0}, "data.batch_size must be int in"),
        ({"num_workers": -1}, "data.num_workers must be int in"),
        ({"val_fraction": 0.0}, r"data.val_fraction must be float in \(0, 1\], got 0.0"),
        ({"folds": 5, "fold": 5}, "data.folds is 5 and data.fold 5"),
    ],
)
def test_wrong_options_are_refused(class_photos: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        folder(class_photos, **options)


class Records(L.LightningModule):
    """Trains one number and records its batches."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int], int]] = []

    def training_step(self, batch: Batch) -> torch.Tensor:
        self.seen.append((self.current_epoch, batch.indices.tolist(), int(batch.images.sum())))
        return self.weight * batch.images.float().mean()

    def validation_step(self, batch: Batch) -> None:
        assert (batch.indices >= 0).all()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def fit(data: ClassificationData, epochs: int, folder: Path, resume: Path | None = None) -> Records:
    trainer = L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, enable_progress_bar=False, use_distributed_sampler=False,
        default_root_dir=folder, enable_model_summary=False,
    )  # fmt: skip
    model = Records()
    trainer.fit(model, data, ckpt_path=resume, weights_only=False)
    trainer.save_checkpoint(folder / "end.ckpt")
    return model


@pytest.mark.parametrize(
    ("workers", "options"),
    [
        (0, {}),
        pytest.param(2, {}, marks=pytest.mark.slow),
        (2, {"augment_on": "device", "erase": 0.5}),
        (2, {"augment": "trivial", "erase": 0.5, "repeats": 3, "shots": 9}),
    ],
)
def test_lightning_sets_the_epoch_and_a_resumed_run_continues_its_order(
    class_photos: Path, tmp_path: Path, workers: int, options: dict[str, Any]
) -> None:
    def photos() -> ClassificationData:
        return folder(class_photos, num_workers=workers, **{"augment": "strong", **options})

    whole = fit(photos(), 3, tmp_path)
    assert [epoch for epoch, _, _ in whole.seen] == [0] * 5 + [1] * 5 + [2] * 5
    assert len({tuple(indices) for _, indices, _ in whole.seen}) > 10
    fit(photos(), 2, tmp_path)
    resumed = fit(photos(), 3, tmp_path, resume=tmp_path / "end.ckpt")
    assert resumed.seen == whole.seen[10:]


def test_overfit_batches_would_replace_the_samplers(class_photos: Path, tmp_path: Path) -> None:
    trainer = L.Trainer(overfit_batches=1, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    with pytest.raises(RecipeError, match=r"trainer.overfit_batches is 1, which replaces the samplers"):
        trainer.fit(Records(), folder(class_photos))


def test_lightning_must_not_shard_again(class_photos: Path) -> None:
    data = folder(class_photos)
    data.trainer = L.Trainer(accelerator="cpu", devices=2, strategy="ddp", logger=False, barebones=True)
    with pytest.raises(RecipeError, match=r"use_distributed_sampler=False"):
        data.val_dataloader()


def test_construction_decodes_nothing(tmp_path: Path) -> None:
    for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg", "dog/2.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"no image")
    assert folder(tmp_path).class_counts().tolist() == [1, 1]


def test_importing_opens_no_connection() -> None:
    script = (
        "import socket\n"
        "def refuse(*args, **options): raise SystemExit('connected')\n"
        "socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse\n"
        "import resnet_tl.data.base"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=300)


def test_a_loader_is_gone_with_its_last_reference(class_photos: Path) -> None:
    """In a cycle with its data it would wait for the garbage collector, which takes parts of it in any order: workers
    then miss that they are to end."""
    data = folder(class_photos, num_workers=0)
    loaders = [data.train_dataloader(), data.val_dataloader()]
    gc.disable()
    try:
        alive = [ref(loader) for loader in loaders]
        del loaders
        assert [loader() for loader in alive] == [None, None]
    finally:
        gc.enable()
