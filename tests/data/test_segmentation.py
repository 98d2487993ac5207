"""Data modules of images with masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from resnet_tl.data.segmentation import CocoSegmentation, MaskFolder
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.structures.records import IGNORE, Preprocessing

ROOT = Path(__file__).parents[2] / "data" / "samples"
SAMPLES = ROOT / "detection"


def masks(**options: Any) -> MaskFolder:
    return MaskFolder(str(ROOT / "segmentation"), **{"image_size": 64, "batch_size": 4, "num_workers": 0, **options})


def test_coco_samples_as_batches() -> None:
    data = CocoSegmentation(str(SAMPLES), image_size=64, batch_size=4, num_workers=0)
    batch = next(iter(data.train_dataloader()))
    assert batch.images.shape == (4, 3, 64, 64)
    assert batch.targets.shape == (4, 64, 64)
    classes = set(np.unique(batch.targets.numpy()).tolist())
    assert classes - {0, IGNORE}
    assert classes <= {*range(len(data.classes)), IGNORE}
    assert len(data.colours) == len(data.pixels) == len(data.classes)
    with pytest.raises(DataError, match="cat"):
        CocoSegmentation(str(SAMPLES), classes=["background", "cat"])


def test_coco128_is_painted(shared_data: Path) -> None:
    data = CocoSegmentation(str(shared_data / "coco128"), keep_empty_classes=True, num_workers=0)
    assert len(data.classes) == 81
    assert data.pixels.argmax() == 0
    assert data.classes[data.pixels[1:].argmax() + 1] == "person"


def test_training_sees_crops_and_evaluation_whole_images() -> None:
    data = masks()
    batch = next(iter(data.train_dataloader()))
    assert (batch.images.shape, batch.targets.shape) == ((4, 3, 64, 64), (4, 64, 64))
    whole = next(iter(data.val_dataloader()))
    assert (whole.images.shape, whole.targets.shape) == ((4, 3, 96, 96), (4, 96, 96))
    assert whole.targets.unique().tolist()[-1] == IGNORE
    assert next(iter(masks(short=48).val_dataloader())).images.shape == (4, 3, 48, 48)
    assert masks(short=48).evaluation_preprocessing(Preprocessing()).size == 48


def test_pixels_of_the_training_masks_are_the_class_counts() -> None:
    data = masks()
    counts = np.zeros(256, np.int64)
    listing = data.listings["train"]
    for index in range(len(listing)):
        counts += np.bincount(listing.mask(index).ravel(), minlength=256)
    assert data.class_counts().tolist() == counts[: len(data.classes)].tolist()


def test_few_shots_are_images_that_show_each_class() -> None:
    """The masks are read: a listing of files does not know their classes."""
    data = masks(shots=2)
    few, whole = data.listings["train"], masks().listings["train"]
    shown = [np.unique(few.mask(index)) for index in range(len(few))]
    for number in range(len(data.classes)):
        assert sum(number in each for each in shown) >= 2
    assert len(few) < len(whole)
    assert f"data.shots: 2 trains on {len(few)} of {len(whole)} images" in data.notes[-1]
    assert data.class_counts().sum() == sum((few.mask(index) != 255).sum() for index in range(len(few)))
    assert data.listings["val"].keys() == masks().listings["val"].keys()


def test_without_augmentation_every_epoch_shows_the_same() -> None:
    assert masks().augments() == "random cropping"
    data = masks(augment="none")
    assert data.augments() is None
    first, second = (list(data.fixed_images("train").batches(view)) for view in range(2))
    assert all((a.images == b.images).all() for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, r"data.image_size must be int in \[1, 16384\] or .*, got 0"),
        ({"scale": (2.0, 0.5)}, r"data.scale is \[2.0, 0.5\]; expected the smaller factor first"),
        ({"balanced": 1.5}, r"data.balanced must be float in \[0, 1\], got 1.5"),
        ({"short": -1}, r"data.short must be int in \[0, 16384\], got -1"),
        ({"augment": "medum"}, "data.augment must be one of .*, got 'medum'; did you mean 'medium'"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        masks(**options)


def test_a_checkpoints_classes_give_the_order_and_must_include_the_sets() -> None:
    own = masks()
    other = masks(classes=["tram", *own.classes[::-1]])
    assert other.classes == ["tram", *own.classes[::-1]]
    assert other.class_counts().tolist() == [0, *own.class_counts()[::-1]]
    count = len(own.classes)
    expected = own.listings["train"].mask(0)
    assert (other.listings["train"].mask(0) == np.where(expected == IGNORE, IGNORE, count - expected)).all()
    with pytest.raises(DataError, match=rf"classes \('{own.classes[0]}'"):
        masks(classes=own.classes[1:])
