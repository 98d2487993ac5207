"""Data modules: batches that depend on nothing but seed, epoch and image; splits; what they say of themselves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import lightning as L
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from resnet_tl.data.classification import ClassificationData, ImageFolder, ImageTable
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.structures.records import Batch


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 12, 8 and 5 images, each of one brightness, so that a batch tells which images it holds."""
    root = tmp_path_factory.mktemp("photos")
    shade = 0
    for name, count in {"cat": 12, "dog": 8, "emu": 5}.items():
        (root / name).mkdir()
        for i in range(count):
            shade += 9
            image = np.full((40 + i, 50, 3), shade, np.uint8)
            image[:, : 5 + i] //= 2
            cv2.imwrite(str(root / name / f"{i}.png"), image)
    return root


def folder(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(str(root), **{"image_size": 16, "batch_size": 4, "num_workers": 0, "seed": 0, **options})


def epoch_of(loader: DataLoader[Batch], epoch: int = 0) -> list[Batch]:
    if isinstance(loader.sampler, TrainSampler):
        loader.sampler.set_epoch(epoch)
    return list(loader)


def same(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(
        torch.equal(vars(one)[name], vars(other)[name])
        for one, other in zip(first, second, strict=True)
        for name in vars(one)
    )


def test_a_folder_becomes_batches(photos: Path) -> None:
    data = folder(photos)
    assert (data.classes, data.multi_label, data.channels) == (["cat", "dog", "emu"], False, 3)
    assert data.class_counts().tolist() == [10, 6, 4]
    batches = epoch_of(data.train_dataloader())
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4]
    assert batches[0].images.shape == (4, 3, 16, 16)
    assert batches[0].images.dtype == torch.uint8
    listing = data.listings["train"]
    for batch in batches:
        assert batch.targets.tolist() == [listing[i].target for i in batch.indices.tolist()]
    validated = torch.cat([batch.indices for batch in epoch_of(data.val_dataloader())])
    assert validated.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(("start", "numbers"), [("fork", (1, 2)), ("spawn", (2,))])
def test_any_number_of_workers_gives_the_same_images_anew_in_each_epoch(
    photos: Path, start: str, numbers: tuple[int, ...]
) -> None:
    def two_epochs(workers: int) -> list[list[Batch]]:
        loader = folder(photos, augment="strong", num_workers=workers, multiprocessing=start).train_dataloader()
        return [epoch_of(loader, 0), epoch_of(loader, 1)]

    alone = two_epochs(0)
    assert not same(alone[0], alone[1])
    for workers in numbers:
        with_workers = two_epochs(workers)
        assert same(alone[0], with_workers[0])
        assert same(alone[1], with_workers[1])


def test_iterating_draws_nothing_from_the_global_generator(photos: Path) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    data = folder(photos)
    epoch_of(data.train_dataloader())
    epoch_of(data.val_dataloader())
    assert torch.equal(before, torch.get_rng_state())


def test_balanced_draws_each_class_equally_often(photos: Path) -> None:
    data = folder(photos, balanced=True, augment="strong")
    batches = epoch_of(data.train_dataloader())
    counts = torch.bincount(torch.cat([batch.targets for batch in batches]))
    assert counts.max() - counts.min() <= 1
    drawn: dict[int, list[bytes]] = {}
    for batch in batches:
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            drawn.setdefault(index, []).append(image.numpy().tobytes())
    assert any(len(views) > 1 for views in drawn.values())
    assert all(len(set(views)) == len(views) for views in drawn.values())


def test_balanced_multi_label_draws_rare_classes_more_often(photos: Path) -> None:
    names = [f"{path.parent.name}/{path.name}" for path in sorted(photos.glob("*/*.png"))]
    rare = {names[0]: "rare|common", names[1]: "rare"}
    table = photos / "set.csv"
    table.write_text("path,label\n" + "".join(f"{name},{rare.get(name, 'common')}\n" for name in names))
    options: dict[str, Any] = {"image_size": 16, "batch_size": 4, "num_workers": 0, "seed": 0, "val_fraction": 0.1}
    data = ImageTable(str(table), balanced=True, **options)
    targets = torch.cat([batch.targets for batch in epoch_of(data.train_dataloader())])
    table.unlink()
    assert data.multi_label
    assert targets.shape[1] == 2
    assert targets.dtype == torch.float32
    assert targets[:, data.classes.index("rare")].mean() > 0.3


def test_seeds_split_and_folds(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def validated(**options: Any) -> list[str]:
        return folder(photos, **options).listings["val"].keys()

    assert validated() == validated()
    assert validated(seed=1) != validated()
    monkeypatch.setenv("PL_GLOBAL_SEED", "1")
    assert validated(seed=None) == validated(seed=1)
    folds = [validated(folds=5, fold=fold) for fold in range(5)]
    assert sorted(chain(*folds)) == [f"{p.parent.name}/{p.name}" for p in sorted(photos.glob("*/*"))]


def test_the_written_split_holds_every_image(photos: Path, tmp_path: Path) -> None:
    data = folder(photos)
    data.write_split(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[0] == "key,class,split"
    assert len(lines) == 26
    assert sum(line.endswith(",val") for line in lines) == len(data.listings["val"]) == 5


def test_a_test_split_alone_serves_validation_and_test_but_not_training(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "test").symlink_to(photos)
    data = folder(tmp_path / "set")
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert sum(len(batch) for batch in loader) == 25
    assert data.notes[-1] == f"{tmp_path}/set: 25 test; no val split: test is used"
    with pytest.raises(DataError, match="has no images in a split train; it has test only"):
        data.train_dataloader()


def test_notes_tell_the_sizes(photos: Path) -> None:
    assert folder(photos).notes == [f"{photos}: 20 train, 5 val (split here); no test split: val is used"]
    assert folder(photos, val_fraction=1.0).notes == [f"{photos}: 25 val (split here); no test split: val is used"]


def test_notes_tell_which_classes_a_split_lacks(photos: Path, tmp_path: Path) -> None:
    for split, names in {"train": ["cat", "dog", "emu"], "val": ["dog"]}.items():
        for name in names:
            shutil.copytree(photos / name, tmp_path / split / name)
    assert folder(tmp_path).notes[1:] == [f"{tmp_path}: no image in val shows cat, emu"]


@pytest.mark.parametrize("channels", [1, 3])
def test_views_and_channels(photos: Path, channels: int) -> None:
    data = folder(photos, channels=channels, crops=10, scales=(16, 20))
    assert next(iter(data.test_dataloader())).images.shape == (4 * 20, channels, 16, 16)


def test_own_transforms_take_the_presets_place(photos: Path) -> None:
    steps = [{"class_path": "Resize", "init_args": {"height": 12, "width": 20}}]
    data = folder(photos, train_transforms=steps, eval_transforms=steps)
    assert next(iter(data.train_dataloader())).images.shape == (4, 3, 12, 20)
    assert next(iter(data.val_dataloader())).images.shape == (4, 3, 12, 20)


def spoil(photos: Path, copy: Path) -> None:
    """The same images, but one."""
    shutil.copytree(photos, copy, dirs_exist_ok=True)
    (copy / "cat" / "3.png").write_bytes(b"no image")


@pytest.mark.parametrize("workers", [0, 1])
def test_the_cache_is_written_once_and_shows_evaluation_the_same(
    photos: Path, tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    plain = epoch_of(folder(photos).val_dataloader())
    copy = tmp_path / "photos"
    shutil.copytree(photos, copy)
    data = folder(copy, cache="resized", cache_dir=str(tmp_path / "cache"), num_workers=workers)
    assert not (tmp_path / "cache").exists()
    with caplog.at_level("INFO", logger="resnet_tl"):
        assert same(epoch_of(data.val_dataloader()), plain)
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1
    assert caplog.messages[0].startswith("Writing 25 resized images")
    first, second = epoch_of(data.train_dataloader(), 0), epoch_of(data.train_dataloader(), 1)
    assert not same(first, second)
    folder(copy, cache="resized", cache_dir=str(tmp_path / "cache")).prepare_data()
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named_or_skipped(photos: Path, tmp_path: Path, workers: int) -> None:
    spoil(photos, tmp_path)
    with pytest.raises(DataError) as caught:
        epoch_of(folder(tmp_path, num_workers=workers, val_fraction=1.0).val_dataloader())
    assert f"{tmp_path}/cat/3.png" in str(caught.value).strip().splitlines()[-1]
    batches = epoch_of(folder(tmp_path, num_workers=workers, val_fraction=1.0, on_error="skip").val_dataloader())
    indices = torch.cat([batch.indices for batch in batches]).tolist()
    assert sorted(index for index in indices if index >= 0) == [i for i in range(25) if i != 5]


def test_skipped_images_are_told(photos: Path, tmp_path: Path) -> None:
    spoil(photos, tmp_path)
    data = folder(tmp_path, num_workers=1, on_error="skip", val_fraction=0.01)
    assert data.skipped() == []
    batches = epoch_of(data.train_dataloader())
    assert sum(len(batch) for batch in batches) == len(data.listings["train"])
    assert [sentence.split(": ")[0] for sentence in data.skipped()] == [f"{tmp_path}/cat/3.png"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"image_size": 0}, "data.image_size must be int in"),
        ({"batch_size": 0}, "data.batch_size must be int in"),
        ({"num_workers": -1}, "data.num_workers must be int in"),
        ({"val_fraction": 0.0}, r"data.val_fraction must be float in \(0, 1\], got 0.0"),
        ({"folds": 5, "fold": 5}, "data.folds is 5 and data.fold 5"),
    ],
)
def test_wrong_options_are_refused(photos: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(RecipeError, match=says):
        folder(photos, **options)


class Records(L.LightningModule):
    """Trains one number and keeps what it was shown."""

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


@pytest.mark.parametrize("workers", [0, 2])
def test_lightning_sets_the_epoch_and_a_resumed_run_goes_on_in_its_order(
    photos: Path, tmp_path: Path, workers: int
) -> None:
    whole = fit(folder(photos, num_workers=workers), 3, tmp_path)
    assert [epoch for epoch, _, _ in whole.seen] == [0] * 5 + [1] * 5 + [2] * 5
    assert len({tuple(indices) for _, indices, _ in whole.seen}) == 15
    fit(folder(photos, num_workers=workers), 2, tmp_path)
    resumed = fit(folder(photos, num_workers=workers), 3, tmp_path, resume=tmp_path / "end.ckpt")
    assert resumed.seen == whole.seen[10:]


def test_overfit_batches_would_replace_the_samplers(photos: Path, tmp_path: Path) -> None:
    trainer = L.Trainer(overfit_batches=1, accelerator="cpu", logger=False, default_root_dir=tmp_path)
    with pytest.raises(RecipeError, match=r"trainer.overfit_batches is 1, which replaces the samplers"):
        trainer.fit(Records(), folder(photos))


def test_lightning_must_not_shard_what_is_sharded(photos: Path) -> None:
    data = folder(photos)
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
