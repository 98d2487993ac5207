"""Images with classes: the same in any process and order; files that cannot be decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch.utils.data import DataLoader

from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.dataset import Item
from resnet_tl.data.images.listed_transforms import ListedTransforms
from resnet_tl.data.images.transforms import evaluation_transform, training_transform
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.loading.collate import collate
from resnet_tl.errors import DataError
from resnet_tl.structures.records import Batch, Draw
from tests.data.epochs import equal

Smooth = Callable[..., np.ndarray]
KEYS = [f"{i}.jpg" for i in range(12)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory, smooth: Smooth) -> str:
    root = tmp_path_factory.mktemp("photos")
    for i, key in enumerate(KEYS):
        Image.fromarray(smooth(90 + i, 120, seed=i)).save(root / key, quality=90)
    return str(root)


@pytest.fixture
def faulty(photos: str, tmp_path: Path) -> str:
    """The same set with 2.jpg, 3.jpg and 11.jpg truncated."""
    for key in KEYS:
        data = (Path(photos) / key).read_bytes()
        (tmp_path / key).write_bytes(data[: len(data) // 2] if key in ("2.jpg", "3.jpg", "11.jpg") else data)
    return str(tmp_path)


def listing_of(root: str, keys: list[str] = KEYS) -> Listing:
    return Listing.of(root, keys, [i % 3 for i in range(len(keys))])


def draws(epoch: int = 0) -> Iterator[Draw]:
    return (Draw(epoch, index) for index in range(len(KEYS)))


def batches(dataset: ClassificationDataset, workers: int = 0, start: str | None = None, epoch: int = 0) -> list[Batch]:
    loader = DataLoader(
        dataset,
        batch_size=4,
        sampler=list(draws(epoch)),  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        multiprocessing_context=start,
    )
    return list(loader)


@pytest.mark.parametrize(
    ("workers", "start"), [(1, "fork"), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_images_are_the_same_for_any_workers(workers: int, start: str, photos: str) -> None:
    dataset = ClassificationDataset(listing_of(photos), training_transform("strong", 32), seed=7)
    assert equal(batches(dataset), batches(dataset, workers, start))


@settings(deadline=None, max_examples=25)
@given(st.permutations(range(len(KEYS))), st.integers(0, 5), st.integers(0, 3))
def test_order_changes_no_image(photos: str, order: list[int], epoch: int, repeat: int) -> None:
    first, second = (
        ClassificationDataset(listing_of(photos), training_transform("light", 24), seed=1) for _ in range(2)
    )
    for index in order:
        first[Draw(epoch, index, repeat)]
    last = Draw(epoch, order[0], repeat)
    np.testing.assert_array_equal(first[last].views, second[last].views)


def test_an_image_depends_on_its_key_and_not_its_index(photos: str) -> None:
    """A fold or a split lists the same images at other indices."""
    whole = ClassificationDataset(listing_of(photos), training_transform("light", 24), seed=1)
    part = ClassificationDataset(listing_of(photos).select(np.array([7, 3])), training_transform("light", 24), seed=1)
    np.testing.assert_array_equal(part[Draw(2, 0)].views, whole[Draw(2, 7)].views)


def test_seed_epoch_and_repeat_change_the_image(photos: str) -> None:
    first, second = (
        ClassificationDataset(listing_of(photos), training_transform("light", 24), seed=seed) for seed in (1, 2)
    )
    views = [first[Draw(0, 0)], first[Draw(1, 0)], first[Draw(0, 0, 1)], second[Draw(0, 0)]]
    assert len({item.views.tobytes() for item in views}) == 4


def test_an_item_has_its_target_size_and_row(photos: str) -> None:
    item = ClassificationDataset(listing_of(photos), evaluation_transform(24))[Draw(0, 5)]
    assert item[1:] == (2, (95, 120), 5, None)
    assert (item.views.shape, item.views.dtype) == ((1, 24, 24, 3), np.uint8)


def test_labels_become_multi_hot(photos: str) -> None:
    listing = Listing.of(photos, KEYS[:3], [(0, 3), (), (1,)])
    dataset = ClassificationDataset(listing, evaluation_transform(24), multi_label_classes=4)
    targets = np.stack([dataset[Draw(0, i)].target for i in (0, 1, 2, -1)])
    assert targets.dtype == np.float32
    assert targets.tolist() == [[1, 0, 0, 1], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    "transform",
    [evaluation_transform(24), evaluation_transform(24, crops=10, scales=(24, 30)), training_transform("strong", 24)],
)
def test_a_filler_is_black_and_has_the_shape_of_the_others(transform: object, photos: str) -> None:
    dataset = ClassificationDataset(listing_of(photos), transform, channels=1)  # type: ignore[arg-type]
    filler, other = dataset[Draw(0, -1)], dataset[Draw(0, 0)]
    assert filler.views.shape == other.views.shape
    assert (filler.target, filler.row) == (0, -1)


def test_reduced_decoding_shows_the_same_part_and_keeps_the_files_size(tmp_path: Path, smooth: Smooth) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    Image.fromarray(smooth(601, 803)).save(tmp_path / "0.jpg", quality=95, exif=exif)
    listing = listing_of(str(tmp_path), KEYS[:1])
    for transform in (training_transform("light", 32), evaluation_transform(32)):
        whole, reduced = (ClassificationDataset(listing, transform, reduce=reduce) for reduce in (False, True))
        for epoch in range(5):
            first, second = whole[Draw(epoch, 0)], reduced[Draw(epoch, 0)]
            assert first.original_size == second.original_size == (803, 601)
            assert (first.views != second.views).any()
            assert np.abs(first.views.astype(int) - second.views).mean() < 7  # 54 between different parts


# Files that cannot be decoded


def test_a_damaged_image_is_an_error_that_names_it(faulty: str) -> None:
    dataset = ClassificationDataset(listing_of(faulty), evaluation_transform(24))
    with pytest.raises(DataError, match=r"/2.jpg: a damaged image"):
        batches(dataset)
    with pytest.raises(DataError, match=r"/2.jpg: a damaged image"):
        batches(dataset, workers=1, start="fork")


@pytest.mark.parametrize(
    ("workers", "start"), [(0, None), (2, "fork"), pytest.param(2, "spawn", marks=pytest.mark.slow)]
)
def test_in_training_the_next_image_takes_its_place(workers: int, start: str | None, faulty: str) -> None:
    dataset = ClassificationDataset(listing_of(faulty), training_transform("light", 24), on_error="replace")
    rows = torch.cat([batch.indices for batch in batches(dataset, workers, start)])
    assert rows.tolist() == [0, 1, 4, 4, 4, 5, 6, 7, 8, 9, 10, 0]
    failures = dataset.failures()
    assert [sentence.split(": ")[0] for sentence in failures] == [f"{faulty}/{i}.jpg" for i in (2, 3, 11)]
    assert all("damaged" in sentence for sentence in failures)


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork")])
def test_in_evaluation_a_filler_takes_its_place(workers: int, start: str | None, faulty: str) -> None:
    dataset = ClassificationDataset(listing_of(faulty), evaluation_transform(24), on_error="skip")
    found = batches(dataset, workers, start)
    rows = torch.cat([batch.indices for batch in found])
    assert rows.tolist() == [0, 1, -1, -1, 4, 5, 6, 7, 8, 9, 10, -1]
    assert torch.cat([batch.images for batch in found])[rows < 0].count_nonzero() == 0
    assert len(dataset.failures()) == 3


def test_a_set_without_a_decodable_image_is_an_error(tmp_path: Path) -> None:
    for key in KEYS:
        (tmp_path / key).write_bytes(b"<html>")
    dataset = ClassificationDataset(listing_of(str(tmp_path)), training_transform("light", 24), on_error="replace")
    with pytest.raises(DataError, match=r"none of the 12 images can be decoded; the first: .*/0.jpg: not an image"):
        dataset[Draw(0, 4)]


def test_listed_transforms_must_end_in_one_size(photos: str) -> None:
    dataset = ClassificationDataset(listing_of(photos), ListedTransforms([{"class_path": "HorizontalFlip"}]))
    with pytest.raises(DataError, match="different shapes in one batch"):
        batches(dataset)


def test_16_bit_images_stay_16_bit(tmp_path: Path, smooth: Smooth) -> None:
    np.save(tmp_path / "a.npy", smooth(40, 40, channels=5, dtype=np.uint16))
    item: Item = ClassificationDataset(
        Listing.of(str(tmp_path), ["a.npy"], [0]), training_transform("strong", 24), channels=5
    )[Draw(0, 0)]
    assert (item.views.dtype, item.views.shape) == (np.uint16, (1, 24, 24, 5))
