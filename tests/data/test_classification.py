"""Data modules of images with classes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.data.classification import ImageTable
from resnet_tl.data.listings.splits import split_sizes
from resnet_tl.errors import RecipeError
from resnet_tl.structures.records import Preprocessing
from tests.data.epochs import epoch_of, equal, folder


def test_a_folder_becomes_batches(class_photos: Path) -> None:
    data = folder(class_photos)
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


def test_balanced_draws_each_class_equally_often(class_photos: Path) -> None:
    data = folder(class_photos, balanced=True, augment="strong")
    batches = epoch_of(data.train_dataloader())
    counts = torch.bincount(torch.cat([batch.targets for batch in batches]))
    assert counts.max() - counts.min() <= 1
    drawn: dict[int, list[bytes]] = {}
    for batch in batches:
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            drawn.setdefault(index, []).append(image.numpy().tobytes())
    assert any(len(views) > 1 for views in drawn.values())
    assert all(len(set(views)) == len(views) for views in drawn.values())


def test_balanced_multi_label_draws_rare_classes_more_often(class_photos: Path) -> None:
    names = [f"{path.parent.name}/{path.name}" for path in sorted(class_photos.glob("*/*.png"))]
    rare = {names[0]: "rare|common", names[1]: "rare"}
    table = class_photos / "set.csv"
    table.write_text("path,label\n" + "".join(f"{name},{rare.get(name, 'common')}\n" for name in names))
    options: dict[str, Any] = {"image_size": 16, "batch_size": 4, "num_workers": 0, "seed": 0, "val_fraction": 0.1}
    data = ImageTable(str(table), balanced=True, **options)
    targets = torch.cat([batch.targets for batch in epoch_of(data.train_dataloader())])
    table.unlink()
    assert data.multi_label
    assert targets.shape[1] == 2
    assert targets.dtype == torch.float32
    assert targets[:, data.classes.index("rare")].mean() > 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_views_and_channels(class_photos: Path, channels: int) -> None:
    data = folder(class_photos, channels=channels, crops=10, scales=(16, 20))
    assert next(iter(data.test_dataloader())).images.shape == (4 * 20, channels, 16, 16)


def test_listed_transforms_replace_the_presets(class_photos: Path) -> None:
    steps = [{"class_path": "Resize", "init_args": {"height": 12, "width": 20}}]
    data = folder(class_photos, train_transforms=steps, eval_transforms=steps)
    assert next(iter(data.train_dataloader())).images.shape == (4, 3, 12, 20)
    assert next(iter(data.val_dataloader())).images.shape == (4, 3, 12, 20)


@pytest.mark.parametrize("workers", [0, 1])
def test_the_cache_is_written_once_and_evaluation_sees_the_equal(
    class_photos: Path, tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    plain = epoch_of(folder(class_photos).val_dataloader())
    copy = tmp_path / "photos"
    shutil.copytree(class_photos, copy)
    data = folder(copy, cache="resized", cache_dir=str(tmp_path / "cache"), num_workers=workers)
    assert not (tmp_path / "cache").exists()
    with caplog.at_level("INFO", logger="resnet_tl"):
        assert equal(epoch_of(data.val_dataloader()), plain)
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1
    assert caplog.messages[0].startswith("Writing 25 resized images")
    first, second = epoch_of(data.train_dataloader(), 0), epoch_of(data.train_dataloader(), 1)
    assert not equal(first, second)
    folder(copy, cache="resized", cache_dir=str(tmp_path / "cache")).prepare_data()
    assert len(list((tmp_path / "cache").glob("*.images"))) == 1


def test_evaluation_preprocessing_is_what_the_module_does(class_photos: Path) -> None:
    data = folder(class_photos, crop=0.9, interpolation="bicubic")
    expected = Preprocessing((0.1,), (0.2,), 16, "bicubic", 0.9)
    assert data.evaluation_preprocessing(Preprocessing((0.1,), (0.2,))) == expected


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"augment": "none"}, None),
        ({"augment": "light"}, "data.augment: light"),
        ({"augment": "none", "train_transforms": []}, "data.train_transforms"),
    ],
)
def test_augments_names_the_setting_that_changes_images(
    class_photos: Path, options: dict[str, Any], setting: str | None
) -> None:
    assert folder(class_photos, **options).augments() == setting


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": "none"}, "data.erase needs random images, but data.augment is none; remove one of them"),
        ({"train_transforms": []}, "data.train_transforms replace data.erase; list Erasing in them"),
    ],
)
def test_erasing_needs_a_preset(class_photos: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        folder(class_photos, erase=0.5, **options)


@pytest.mark.parametrize("views", [{"crops": 10}, {"scales": (16,)}])
def test_views_need_the_evaluation_of_the_preset(class_photos: Path, views: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=rf"^data\.eval_transforms replace data\.{next(iter(views))}; remove one"):
        folder(class_photos, eval_transforms=[], **views)


def test_few_shots_leave_validation_alone_and_are_written(class_photos: Path, tmp_path: Path) -> None:
    """Of 10, 6 and 4 images to train on."""
    whole, few = folder(class_photos), folder(class_photos, shots=5)
    assert few.class_counts().tolist() == [5, 5, 4]
    assert few.notes[-1].endswith("data.shots: 5 trains on 14 of 20 images; there are fewer of emu (4)")
    assert few.listings["val"].keys() == whole.listings["val"].keys()
    assert set(few.listings["train"].keys()) < set(whole.listings["train"].keys())
    assert folder(class_photos, shots=5, seed=1).listings["train"].keys() != few.listings["train"].keys()
    few.write_split(tmp_path / "split.csv")
    assert split_sizes(tmp_path / "split.csv") == {"train": 14, "val": 5}


def test_repeats_are_one_image_drawn_differently(class_photos: Path) -> None:
    data = folder(class_photos, batch_size=6, repeats=3)
    [batch, *_] = epoch_of(data.train_dataloader())
    assert batch.indices.tolist() == [index for index in batch.indices[::3].tolist() for _ in range(3)]
    assert batch.indices[0] != batch.indices[3]
    assert len({image.numpy().tobytes() for image in batch.images[:3]}) == 3
    assert sum(len(each) for each in epoch_of(data.train_dataloader())) == 20


def test_fixed_images_are_those_of_the_loaders_in_listing_order(class_photos: Path) -> None:
    data = folder(class_photos, augment="light")
    fixed = data.fixed_images("train")
    assert len(fixed) == len(data.listings["train"])
    first, second = list(fixed.batches(0)), list(fixed.batches(1))
    assert torch.cat([batch.indices for batch in first]).tolist() == list(range(20))
    drawn = {
        index: image
        for batch in epoch_of(data.train_dataloader(), 1)
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True)
    }
    for batch in second:
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True):
            assert torch.equal(drawn[index], image), "the n-th view is that of the n-th epoch"
    assert fixed.key() != data.fixed_images("val").key()
    for other in ({"augment": "strong"}, {"augment": "light", "erase": 0.2}):
        assert fixed.key() != folder(class_photos, **other).fixed_images("train").key()
