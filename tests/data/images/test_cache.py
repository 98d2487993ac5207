"""The cache of resized images: the images themselves, when it is rebuilt, and what never happens to it."""

from __future__ import annotations

import errno
import logging
import multiprocessing
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.images import cache as image_cache
from resnet_tl.data.images.cache import CacheFormat, ImageCache, open_cache
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.resize import resize_short
from resnet_tl.data.images.transforms import evaluation_transform, training_transform
from resnet_tl.data.listings.listing import Listing
from resnet_tl.errors import DataError, RunError
from resnet_tl.structures.records import Draw

Smooth = Callable[..., np.ndarray]
KEYS = [f"class/{i}.png" for i in range(9)]


@pytest.fixture
def photos(tmp_path: Path, smooth: Smooth) -> Path:
    """Images larger and smaller than 32 pixels, one of 16 bits, and one that cannot be decoded (8)."""
    root = tmp_path / "photos"
    (root / "class").mkdir(parents=True)
    for i, key in enumerate(KEYS[:7]):
        Image.fromarray(smooth(20 + 9 * i, 40 + 5 * i, seed=i)).save(root / key)
    Image.fromarray(smooth(50, 60, channels=1, dtype=np.uint16)[..., 0]).save(root / KEYS[7])
    (root / KEYS[8]).write_bytes(b"<html>")
    return root


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "cache"


def listing_of(root: Path) -> Listing:
    return Listing.of(str(root), KEYS, [0] * len(KEYS))


@pytest.fixture
def logged() -> Iterator[Callable[..., list[str]]]:
    """Collects what is logged from then on, after `check` of each line."""
    logger, handlers = logging.getLogger("resnet_tl"), []

    def collect(check: Callable[[], None] = lambda: None) -> list[str]:
        lines: list[str] = []

        class Collector(logging.Handler):
            def emit(self, record: logging.LogRecord) -> None:
                check()
                lines.append(record.getMessage())

        handlers.append(Collector())
        logger.addHandler(handlers[-1])
        return lines

    level = logger.level
    logger.setLevel(logging.INFO)
    yield collect
    logger.setLevel(level)
    for handler in handlers:
        logger.removeHandler(handler)


def cache_of(root: Path, folder: Path, cache_format: CacheFormat = CacheFormat(32)) -> ImageCache:
    cache = open_cache([listing_of(root)], cache_format, folder)
    assert cache is not None
    return cache


def test_images_are_stored_with_their_short_side_resized(photos: Path, folder: Path) -> None:
    cache = cache_of(photos, folder)
    for key in KEYS[:8]:
        found = cache.get(key)
        assert found is not None
        whole = decode(str(photos / key))
        expected = resize_short(whole, 32) if min(whole.shape[:2]) > 32 else whole
        np.testing.assert_array_equal(found[0], expected)
        assert found[0].dtype == expected.dtype
        assert found[1] == whole.shape[:2]
    assert cache.get(KEYS[8]) is None
    assert len(cache) == 9


@pytest.mark.parametrize("cache_format", [CacheFormat(32, "bicubic"), CacheFormat(32, channels=1), CacheFormat(16)])
def test_each_format_has_a_cache_of_its_own(cache_format: CacheFormat, photos: Path, folder: Path) -> None:
    assert cache_of(photos, folder).path != cache_of(photos, folder, cache_format).path
    found = cache_of(photos, folder, cache_format).get(KEYS[6])
    assert found is not None
    expected = resize_short(
        decode(str(photos / KEYS[6]), cache_format.channels), cache_format.short, cache_format.interpolation
    )
    np.testing.assert_array_equal(found[0], expected)


def test_evaluation_sees_the_same_bytes(photos: Path, folder: Path) -> None:
    direct, through = (
        ClassificationDataset(listing_of(photos), evaluation_transform(32), cache=cache)
        for cache in (None, cache_of(photos, folder, CacheFormat(36)))
    )
    for index in range(8):
        first, second = direct[Draw(0, index)], through[Draw(0, index)]
        assert first[1:] == second[1:]
        np.testing.assert_array_equal(first.views, second.views)


def test_training_sees_the_same_part(photos: Path, folder: Path) -> None:
    cache = cache_of(photos, folder, CacheFormat(36))
    direct, through = (
        ClassificationDataset(listing_of(photos), training_transform("light", 24), cache=each) for each in (None, cache)
    )
    for index in range(8):
        first, second = (dataset[Draw(1, index)].views.astype(float) for dataset in (direct, through))
        assert np.abs(first - second).mean() < 0.05 * first.max()  # 0.2 between different parts


def test_an_image_that_cannot_be_decoded_is_an_error_when_it_is_requested(photos: Path, folder: Path) -> None:
    dataset = ClassificationDataset(listing_of(photos), evaluation_transform(32), cache=cache_of(photos, folder))
    with pytest.raises(DataError, match=r"8\.png: not an image"):
        dataset[Draw(0, 8)]


def test_it_is_written_once_and_its_size_logged_before(
    photos: Path, folder: Path, logged: Callable[[Callable[[], None]], list[str]]
) -> None:
    lines = logged(lambda: not_written(folder))
    cache = cache_of(photos, folder)
    written = cache.path.stat()
    assert cache_of(photos, folder).path.stat().st_mtime_ns == written.st_mtime_ns
    assert lines == [f"Writing 9 resized images, about 0 MB, to {cache.path}"]


def not_written(folder: Path) -> None:
    assert not list(folder.glob("*.images"))


def test_the_logged_size_is_about_right(
    photos: Path, folder: Path, smooth: Smooth, logged: Callable[[], list[str]]
) -> None:
    lines = logged()
    for i, key in enumerate(KEYS):
        Image.fromarray(smooth(700 + i, 900)).save(photos / key, compress_level=0)
    path = cache_of(photos, folder, CacheFormat(600)).path
    about = float(lines[0].split("about ")[1].split(" MB")[0])
    assert abs(about - path.stat().st_size / 1e6) <= 1


def test_its_name_depends_on_content_not_on_dates_or_places(photos: Path, folder: Path, tmp_path: Path) -> None:
    first = cache_of(photos, folder).path
    for key in KEYS:
        os.utime(photos / key, (1, 1))
    assert cache_of(photos, folder).path == first
    shutil.copytree(photos, tmp_path / "elsewhere")
    assert cache_of(tmp_path / "elsewhere", folder).path == first


def test_a_changed_file_means_another_cache(photos: Path, folder: Path, smooth: Smooth) -> None:
    before = cache_of(photos, folder)
    stamp = (photos / KEYS[3]).stat()
    Image.fromarray(255 - smooth(47, 55, seed=3)).save(photos / KEYS[3])
    os.utime(photos / KEYS[3], ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    after = cache_of(photos, folder)
    assert after.path != before.path
    assert after.get(KEYS[3])[0].tobytes() != before.get(KEYS[3])[0].tobytes()  # type: ignore[index]


def test_splits_and_folds_of_a_set_share_one_cache(photos: Path, folder: Path) -> None:
    listing = listing_of(photos)
    parts = [listing.select(np.array(rows)) for rows in ([8, 1, 3, 5, 7], [0, 2, 4, 6])]
    shared = open_cache(parts, CacheFormat(32), folder)
    assert shared is not None
    assert shared.path == cache_of(photos, folder).path


def test_it_is_pickled_as_its_path(photos: Path, folder: Path) -> None:
    cache = cache_of(photos, folder)
    assert len(pickle.dumps(cache)) < 500
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache)).get(KEYS[2])[0], cache.get(KEYS[2])[0])  # type: ignore[index]


# Faults


def _write(photos: Path, folder: Path, start: Any, queue: Any) -> None:
    start.wait()
    queue.put(cache_of(photos, folder).get(KEYS[5])[0].tobytes())  # type: ignore[index]


def test_two_processes_may_write_it_at_the_same_time(photos: Path, folder: Path) -> None:
    context = multiprocessing.get_context("fork")
    start, queue = context.Barrier(2), context.Queue()
    writers = [context.Process(target=_write, args=(photos, folder, start, queue)) for _ in range(2)]
    for writer in writers:
        writer.start()
    first, second = queue.get(timeout=60), queue.get(timeout=60)
    for writer in writers:
        writer.join()
    assert first == second == cache_of(photos, folder).get(KEYS[5])[0].tobytes()  # type: ignore[index]
    assert len(list(folder.glob("*.images"))) == 1
    assert not list(folder.glob(".*"))


def test_an_interrupted_write_leaves_nothing(photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(part: Path, path: Path) -> None:
        assert part.exists()
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", broken)
    with pytest.raises(KeyboardInterrupt):
        cache_of(photos, folder)
    assert os.listdir(folder) == []


def test_a_full_disk_is_one_warning_and_no_cache(photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.warns(UserWarning, match="No space left on device.*decoded in every epoch") as caught:
        assert open_cache([listing_of(photos)], CacheFormat(32), folder) is None
    assert len(caught) == 1
    assert os.listdir(folder) == []


def test_too_little_room_is_noticed_before_writing(photos: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(1000))
    with pytest.warns(UserWarning, match=r"about 0 MB are needed"):
        assert open_cache([listing_of(photos)], CacheFormat(32), folder) is None


def test_a_path_that_is_not_a_folder_is_a_warning(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.warns(UserWarning, match="Not a directory"):
        assert open_cache([listing_of(photos)], CacheFormat(32), tmp_path / "file" / "cache") is None


def test_a_damaged_cache_is_an_error(photos: Path, folder: Path) -> None:
    path = cache_of(photos, folder).path
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match="damaged, or not an image cache; delete it"):
        cache_of(photos, folder)


def test_a_damaged_image_ends_the_run_and_is_not_skipped(photos: Path, folder: Path) -> None:
    path = cache_of(photos, folder).path
    with open(path, "r+b") as file:
        file.seek(100)
        byte = file.read(1)[0]
        file.seek(100)
        file.write(bytes([byte ^ 1]))
    dataset = ClassificationDataset(
        listing_of(photos), evaluation_transform(32), cache=ImageCache(path), on_error="skip"
    )
    with pytest.raises(RunError, match=rf"{path}: damaged: class/0\.png does not match its checksum; delete it, and"):
        dataset[Draw(0, 0)]
    assert dataset[Draw(0, 1)].row == 1


def test_most_of_a_row_is_its_image() -> None:
    assert 8 + image_cache.ROW.itemsize <= 48
