"""Unlabelled images beside labelled ones, from folders to batches."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.data.classification import ImageFolder
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.structures.records import Batch
from tests.data.epochs import epoch_of, equal, folder


@pytest.fixture
def pool(class_photos: Path, tmp_path: Path) -> Path:
    """Seven images, two folders deep."""
    for number, path in enumerate(sorted(class_photos.glob("*/*.png"))[:7]):
        (tmp_path / "pool" / "a" / "b").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "pool" / "a" / ("b" if number % 2 else "") / f"{number}.png")
    return tmp_path / "pool"


def data(photos: Path, pool: Path, **options: Any) -> ImageFolder:
    return folder(photos, unlabelled=str(pool), augment="strong", **options)


def test_they_are_beside_each_batch_and_leave_its_own_images_as_they_are(class_photos: Path, pool: Path) -> None:
    ours = data(class_photos, pool, unlabelled_share=0.5)
    batches, plain = (
        epoch_of(ours.train_dataloader()),
        epoch_of(folder(class_photos, augment="strong").train_dataloader()),
    )
    assert ours.notes[-1] == f"{pool}: 7 unlabelled images"
    for batch, other in zip(batches, plain, strict=True):
        assert batch.unlabelled is not None
        assert batch.unlabelled.images.shape == (2, 3, 16, 16)
        assert batch.unlabelled.share == 0.5
        assert torch.equal(batch.images, other.images)  # type: ignore[arg-type]
        assert torch.equal(batch.targets, other.targets)
    assert all(batch.unlabelled is None for batch in epoch_of(ours.val_dataloader()))
    assert all(batch.unlabelled is None for batch in ours.fixed_images("train").batches(0))


@pytest.mark.parametrize(("workers", "start"), [(2, "fork"), pytest.param(1, "spawn", marks=pytest.mark.slow)])
def test_they_are_the_same_for_any_workers(class_photos: Path, pool: Path, workers: int, start: str) -> None:
    here = epoch_of(data(class_photos, pool).train_dataloader(), 2)
    there = data(class_photos, pool, num_workers=workers, multiprocessing=start)
    assert equal(epoch_of(there.train_dataloader(), 2), here)


def test_an_epoch_continues_from_its_middle(class_photos: Path, pool: Path) -> None:
    whole = epoch_of(data(class_photos, pool).train_dataloader(), 1)
    resumed: Any = data(class_photos, pool).train_dataloader()
    resumed.load_state_dict({"epoch": 1, "batches": 2})
    assert equal(list(resumed), whole[2:])


def test_another_size_is_theirs_too(class_photos: Path, pool: Path) -> None:
    ours = data(class_photos, pool)
    loader = ours.train_dataloader()
    ours.use_image_size(8)
    (first, *_) = epoch_of(loader)
    assert first.unlabelled is not None
    assert first.unlabelled.images.shape[2:] == first.images.shape[2:] == (8, 8)  # type: ignore[union-attr]


def test_a_batch_to_measure_memory_with_has_them(class_photos: Path, pool: Path) -> None:
    batch: Batch = data(class_photos, pool).training_batch()
    assert batch.unlabelled is not None
    moved = batch.to("cpu")
    assert moved.unlabelled is not None
    assert torch.equal(moved.unlabelled.images, batch.unlabelled.images)


def test_images_to_evaluate_on_are_skipped(class_photos: Path) -> None:
    ours = data(class_photos, class_photos)
    validated = set(ours.listings["val"].keys())
    assert ours.unlabelled is not None
    assert set(ours.unlabelled.keys()) == set(ours.listings["train"].keys())
    assert ours.notes[-1].endswith(f"unlabelled images; {len(validated)} to evaluate on are skipped")


def test_images_to_evaluate_on_are_skipped_behind_links(class_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "folders").mkdir()
    (tmp_path / "folders/all").symlink_to(class_photos, target_is_directory=True)
    for image in class_photos.glob("*/*.png"):
        (tmp_path / "files" / image.parent.name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "files" / image.parent.name / image.name).symlink_to(image)
    for linked in ("folders", "files"):
        ours = data(class_photos, tmp_path / linked)
        assert ours.unlabelled is not None
        assert {sample.key.removeprefix("all/") for sample in ours.unlabelled} == set(ours.listings["train"].keys())


def test_a_resumed_run_knows_them(class_photos: Path, pool: Path) -> None:
    files = data(class_photos, pool).split_files()
    assert len(files["unlabelled"].paths) == 7
    assert all(Path(path).is_file() for path in files["unlabelled"].paths.values())


def test_one_that_cannot_be_read_ends_the_run_by_name_or_is_replaced(class_photos: Path, pool: Path) -> None:
    (pool / "broken.jpg").write_bytes(b"no image")
    loader = data(class_photos, pool).train_dataloader()
    with pytest.raises(DataError, match=r"broken\.jpg"):
        [epoch_of(loader, epoch) for epoch in range(3)]
    ours = data(class_photos, pool, on_error="skip")
    for epoch in range(3):
        epoch_of(ours.train_dataloader(), epoch)
    assert len(ours.skipped()) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"augment_on": "device"}, "data.augment_on: device cannot be used with data.unlabelled"),
        ({"unlabelled_share": 0}, "data.unlabelled_share must be"),
    ],
)
def test_options_that_do_not_fit(class_photos: Path, pool: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        data(class_photos, pool, **options)


def test_a_share_of_no_images_is_refused(class_photos: Path) -> None:
    with pytest.raises(
        RecipeError, match=r"^data\.unlabelled_share is 0\.5, but there is no data\.unlabelled; expected"
    ):
        ImageFolder(str(class_photos), unlabelled_share=0.5)


def test_a_folder_without_images_is_named(class_photos: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"data\.unlabelled: .*empty holds no images"):
        data(class_photos, tmp_path / "empty")
    with pytest.raises(DataError, match="does not exist"):
        data(class_photos, tmp_path / "absent")
