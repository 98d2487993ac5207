"""When an image cannot be read, the error names all such images of all splits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from resnet_tl.data.loading import unreadable
from resnet_tl.errors import DataError
from tests.data.epochs import epoch_of, folder


@pytest.fixture
def broken(class_photos: Path, tmp_path: Path) -> Path:
    """Three broken images in two splits."""
    for split in ("train", "val"):
        shutil.copytree(class_photos, tmp_path / split)
    for key in ("train/cat/1.png", "train/dog/2.png", "val/dog/0.png"):
        (tmp_path / key).write_bytes(b"no image")
    return tmp_path


@pytest.mark.parametrize("workers", [0, 1])
def test_all_are_named_with_what_helps(broken: Path, workers: int) -> None:
    data = folder(broken, num_workers=workers)
    with pytest.raises(DataError) as caught:
        epoch_of(data.train_dataloader())
    first, *faults = str(caught.value).splitlines()
    assert first == f"{broken} has 3 faults; repair or remove such images, or skip them by data.on_error skip:"
    keys = ("train/cat/1.png", "train/dog/2.png", "val/dog/0.png")
    assert [fault.strip().partition(": ")[0] for fault in faults] == [f"{broken}/{key}" for key in keys]


def test_a_single_one_is_one_sentence(broken: Path) -> None:
    shutil.rmtree(broken / "train")
    with pytest.raises(DataError) as caught:
        epoch_of(folder(broken, num_workers=0).val_dataloader())
    assert str(caught.value).startswith(f"{broken}/val/dog/0.png: ")
    assert str(caught.value).endswith("; repair or remove such images, or skip them by data.on_error skip")


def test_the_search_ends_in_time_and_says_so(broken: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unreadable, "SECONDS", 0)
    monkeypatch.setattr(unreadable, "CHUNK", 8)
    data = folder(broken, num_workers=0)
    datasets = [data._dataset(listing, False, "error") for listing in data.listings.values()]
    first = DataError("the first")
    assert unreadable.all_unreadable("set", datasets, first) is first
    times = iter([0.0, -1.0, 1.0])
    monkeypatch.setattr(unreadable.time, "monotonic", lambda: next(times, 1.0))
    message = str(unreadable.all_unreadable("set", datasets, first))
    assert message.endswith("(8 of 50 images were read; `resnet-tl data check` reads all)")
