"""Old images that are trained on with those of new classes."""

from __future__ import annotations

import pickle
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.data.classification import ImageTable
from resnet_tl.data.listings.replayed import MARK, ReplayListing
from resnet_tl.errors import DataError, RecipeError
from tests.data.epochs import epoch_of, equal, folder


@pytest.fixture
def new(class_photos: Path, tmp_path: Path) -> Path:
    """`{train,val}/...`: images of emu to train on, of cat and emu to validate on."""
    for place, name, files in (("train", "emu", (0, 1, 2)), ("val", "emu", (3, 4)), ("val", "cat", (10, 11))):
        (tmp_path / "new" / place / name).mkdir(parents=True)
        for number in files:
            shutil.copy(class_photos / name / f"{number}.png", tmp_path / "new" / place / name)
    return tmp_path / "new"


@pytest.fixture
def old(class_photos: Path, tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        shutil.copytree(class_photos / name, tmp_path / "old" / name)
    for number in (10, 11):
        (tmp_path / "old" / "cat" / f"{number}.png").unlink()
    return tmp_path / "old"


def trained(data: Any) -> Counter[str]:
    return Counter(data.classes[int(sample.target)] for sample in data.listings["train"])


def test_old_images_join_the_training_images_alone(new: Path, old: Path) -> None:
    data = folder(new, replay=str(old))
    assert data.classes == ["cat", "dog", "emu"]
    assert trained(data) == {"cat": 10, "dog": 8, "emu": 3}
    assert data.class_counts().tolist() == [10, 8, 3]
    assert [sample.key for sample in data.listings["val"]] == [
        "val/cat/10.png", "val/cat/11.png", "val/emu/3.png", "val/emu/4.png",
    ]  # fmt: skip
    assert data.absent == [], "dog has images to train on"
    assert data.replayed == ["cat", "dog"]
    assert f"{old}: data.replay trains on its 18 images, too" in data.notes
    listing = data.listings["train"]
    places = {sample.key: sample.path for sample in listing}
    assert places["train/emu/0.png"] == str(new / "train/emu/0.png")
    assert places[f"{MARK}dog/0.png"] == str(old / "dog/0.png")
    seen = torch.cat([batch.indices for batch in epoch_of(data.train_dataloader())]).tolist()
    assert len(seen) == 20, "a last batch of one is dropped"
    assert {type(each) for each in (listing, listing.select(torch.tensor([20, 0]).numpy()))} == {ReplayListing}
    assert [sample.path for sample in pickle.loads(pickle.dumps(listing))] == [sample.path for sample in listing]


def test_keys_do_not_depend_on_the_place_of_either_folder(new: Path, old: Path, tmp_path: Path) -> None:
    before = folder(new, replay=str(old), augment="strong")
    shutil.copytree(new, tmp_path / "elsewhere")
    archive = shutil.make_archive(str(tmp_path / "archive"), "zip", old)
    after = folder(tmp_path / "elsewhere", replay=archive, augment="strong")
    assert after.split_files()["train"].labels == before.split_files()["train"].labels
    assert equal(epoch_of(after.train_dataloader()), epoch_of(before.train_dataloader()))


def test_shots_are_drawn_by_the_seed_and_nested(new: Path, old: Path) -> None:
    def keys(shots: int, seed: int = 0) -> set[str]:
        data = folder(new, replay=str(old), replay_shots=shots, seed=seed)
        assert trained(data) == {"cat": shots, "dog": shots, "emu": 3}
        return {sample.key for sample in data.listings["train"]}

    assert keys(2) < keys(4)
    assert keys(4) != keys(4, seed=1)
    data = folder(new, replay=str(old), replay_shots=9)
    assert f"{old}: data.replay_shots: 9 trains on 17 of 18 images; there are fewer of dog (8)" in data.notes


def test_shots_of_the_new_images_are_not_of_the_old_ones(new: Path, old: Path) -> None:
    assert trained(folder(new, replay=str(old), shots=1)) == {"cat": 10, "dog": 8, "emu": 1}


def test_balanced_draws_old_and_new_classes_equally_often(new: Path, old: Path) -> None:
    data = folder(new, replay=str(old), replay_shots=2, balanced=True, batch_size=7)
    drawn = Counter[int]()
    for epoch in range(6):
        for batch in epoch_of(data.train_dataloader(), epoch):
            drawn.update(batch.targets.tolist())
    assert max(drawn.values()) - min(drawn.values()) <= 6


def test_the_image_cache_holds_both(new: Path, old: Path, tmp_path: Path) -> None:
    plain = epoch_of(folder(new, replay=str(old), augment="none").train_dataloader())
    cached = folder(new, replay=str(old), augment="none", cache="resized", cache_dir=str(tmp_path / "cache"))
    batches = epoch_of(cached.train_dataloader())
    assert [batch.targets.tolist() for batch in batches] == [batch.targets.tolist() for batch in plain]
    for listing in (cached.listings["train"], cached.listings["val"]):
        assert cached._cache is not None
        assert all(cached._cache.get(sample.key) is not None for sample in listing)


def test_the_training_images_of_a_folder_with_splits_are_replayed(
    new: Path, class_photos: Path, tmp_path: Path
) -> None:
    for split, name, number in (("train", "dog", 0), ("train", "dog", 1), ("val", "dog", 2)):
        (tmp_path / "run" / split / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(class_photos / name / f"{number}.png", tmp_path / "run" / split / name)
    shutil.rmtree(new / "val" / "cat")
    data = folder(new, replay=str(tmp_path / "run"))
    assert data.classes == ["dog", "emu"]
    assert trained(data) == {"dog": 2, "emu": 3}


def test_a_table_replays_a_folder_too(new: Path, old: Path) -> None:
    table = new / "set.csv"
    lines = [f"{path.relative_to(new)},{path.parent.name},{path.parts[-3]}" for path in sorted(new.rglob("*.png"))]
    table.write_text("\n".join(["path,label,split", *lines]))
    options: dict[str, Any] = {"image_size": 16, "num_workers": 0, "seed": 0, "replay": str(old)}
    data = ImageTable(str(table), **options)
    assert trained(data) == {"cat": 10, "dog": 8, "emu": 3}
    with pytest.raises(DataError, match=r"data\.replay is .*, whose images have one class each, but those of"):
        ImageTable(str(table), multi_label=True, **options)


def test_classes_can_be_named_in_another_order(new: Path, old: Path) -> None:
    data = folder(new, replay=str(old), classes=["emu", "dog", "fox", "cat"])
    assert trained(data) == {"cat": 10, "dog": 8, "emu": 3}
    assert data.absent == [2]


def test_mistakes_are_one_sentence(new: Path, old: Path, class_photos: Path) -> None:
    with pytest.raises(DataError, match=r"has the classes 'dog', which data\.classes does not name"):
        folder(new, replay=str(old), classes=["cat", "emu"])
    with pytest.raises(DataError, match=r"cat/10\.png in .* is an image of .*, too; expected a folder of other images"):
        folder(new, replay=str(new / "val"))
    (old / "cat" / "linked").symlink_to(new / "val" / "cat", target_is_directory=True)
    with pytest.raises(DataError, match=r"val/cat/10\.png in .*old is an image of .*, too"):
        folder(new, replay=str(old), classes=["cat", "dog", "emu"])
    (old / "cat" / "linked").unlink()
    with pytest.raises(DataError, match="nowhere does not exist"):
        folder(new, replay=str(new / "nowhere"))
    with pytest.raises(
        RecipeError, match=r"data\.replay_shots is 3, but there is no data\.replay; expected its folder"
    ):
        folder(class_photos, replay_shots=3)
