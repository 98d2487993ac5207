"""Shards at an address: downloaded once, within a limit, tried again, and what ends with a sentence."""

from __future__ import annotations

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from fsspec.implementations.local import LocalFileSystem

from resnet_tl.data.images import remote
from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.images.shards import ShardFiles
from resnet_tl.data.shards import Shards
from resnet_tl.errors import RecipeError, RunError
from tests.data.epochs import epoch_of, equal
from tests.data.packed_sets import OF_CLASSES, as_folder, packed_photos

pytest.importorskip("litdata")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "WAITS", (0.0,) * 5)


def at_address(packed: Path, cache: Path, **options: Any) -> Shards:
    """A folder by its address, which is read as one of a store is."""
    return Shards(f"file://{packed}", cache_dir=str(cache), **{**OF_CLASSES, **options})


def cached(cache: Path) -> list[Path]:
    return sorted(cache.rglob("*.bin"))


def test_each_shard_is_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, cache, got = packed_photos(tmp_path, shards=4), tmp_path / "cache", []
    get = LocalFileSystem.get_file

    def counted(self: Any, source: str, *more: Any, **options: Any) -> None:
        got.append(source)
        get(self, source, *more, **options)

    monkeypatch.setattr(LocalFileSystem, "get_file", counted)
    for _ in range(2):
        data = at_address(packed, cache)
        assert equal(epoch_of(data.train_dataloader(), 1), epoch_of(as_folder(tmp_path).train_dataloader(), 1))
    assert len(got) == len(set(got)) == len(cached(cache)) == 4
    assert not list(cache.rglob("*.part"))


def test_who_downloads_does_so_until_all_it_was_asked_for_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = at_address(packed_photos(tmp_path, shards=4), tmp_path / "cache")
    files = open_archive(data.listings["train"].root)
    assert isinstance(files, ShardFiles)
    get, sleep, by = LocalFileSystem.get_file, time.sleep, []
    begun, waited = threading.Event(), threading.Event()

    def watched(self: Any, *words: Any, **options: Any) -> None:
        by.append(threading.current_thread().name)
        begun.set()
        waited.wait(10)
        get(self, *words, **options)

    def slept(seconds: float) -> None:
        waited.set()
        sleep(seconds)

    monkeypatch.setattr(LocalFileSystem, "get_file", watched)
    monkeypatch.setattr(time, "sleep", slept)
    ahead = threading.Thread(target=files.fetch, args=([0, 1, 2],), name="ahead")
    ahead.start()
    assert begun.wait(10)
    waits = threading.Thread(target=files.fetch, args=([2, 1],), name="waits")
    waits.start()
    for thread in (ahead, waits):
        thread.join(10)
    files.fetch([3])
    assert by == ["ahead"] * 3 + ["MainThread"]
    assert len(cached(tmp_path / "cache")) == 4


@pytest.mark.slow
def test_several_processes_share_the_cache(tmp_path: Path) -> None:
    packed, cache = packed_photos(tmp_path, shards=4), tmp_path / "cache"
    data = at_address(packed, cache, num_workers=2)
    assert equal(epoch_of(data.train_dataloader(), 1), epoch_of(as_folder(tmp_path).train_dataloader(), 1))
    assert len(cached(cache)) == 4


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("resnet_tl.data.shards", "resnet_tl.data.images.shards", "resnet_tl.data.sources.shards"):
        monkeypatch.setattr(f"{module}.WINDOW", 1)
    for module in ("resnet_tl.data.images.shards", "resnet_tl.data.sources.shards"):
        monkeypatch.setattr(f"{module}.OPEN", 3)


def test_the_least_recently_opened_make_room(
    tmp_path: Path, small_windows: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed, cache = packed_photos(tmp_path, shards=9), tmp_path / "cache"
    largest = max(path.stat().st_size for path in packed.rglob("*.bin"))
    limit = 3.2 * largest
    held = []
    replace = os.replace

    def watched(source: Any, target: Any) -> None:
        replace(source, target)
        held.append(sum(path.stat().st_size for path in cached(cache)))

    monkeypatch.setattr(os, "replace", watched)
    data = at_address(packed, cache, cache_gb=limit / 1e9)
    indices = [batch.indices for batch in epoch_of(data.train_dataloader(), 0)]
    assert sorted(i for each in indices for i in each.tolist()) == list(range(len(data.listings["train"])))
    assert max(held) <= limit
    assert len(cached(cache)) <= 3
    with pytest.raises(RecipeError, match=r"data.cache_gb is 1e-05; expected 0.\d+ or more: an epoch mixes 1 shards"):
        at_address(packed, cache, cache_gb=1e-5)


def test_what_fails_for_a_moment_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed, failed = packed_photos(tmp_path, shards=3), set()
    get, cat = LocalFileSystem.get_file, LocalFileSystem.cat_file

    def cut(self: Any, source: str, target: str, **options: Any) -> None:
        get(self, source, target, **options)
        if source not in failed:
            failed.add(source)
            os.truncate(target, 100)

    def refused(self: Any, path: str, *more: Any, **options: Any) -> bytes:
        if path not in failed:
            failed.add(path)
            raise ConnectionResetError("reset by peer")
        return cat(self, path, *more, **options)

    monkeypatch.setattr(LocalFileSystem, "get_file", cut)
    monkeypatch.setattr(LocalFileSystem, "cat_file", refused)
    data = at_address(packed, tmp_path / "cache")
    assert equal(epoch_of(data.train_dataloader(), 1), epoch_of(as_folder(tmp_path).train_dataloader(), 1))
    assert len(failed) == 6


def test_what_does_not_pass_ends_with_the_name_of_the_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = packed_photos(tmp_path)
    shard = packed / "val/chunk-0-0.bin"
    whole = shard.read_bytes()

    def read(name: str) -> None:
        open_archive.cache_clear()
        list(at_address(packed, tmp_path / name).val_dataloader())

    turned = bytearray(whole)
    turned[-1] ^= 1
    shard.write_bytes(turned)
    with pytest.raises(RunError, match=r"packed/val/chunk-0-0.bin: is damaged: its SHA-256 is not the one in manifest"):
        read("damaged")
    shard.write_bytes(whole[:-1])
    with pytest.raises(RunError, match=r"chunk-0-0.bin: failed 6 times, the last time with: [\d,]+ of [\d,]+ bytes"):
        read("cut")
    shard.unlink()
    with pytest.raises(RunError, match=r"packed/val/chunk-0-0.bin: does not exist"):
        read("missing")
    shard.write_bytes(whole)

    def full(self: Any, source: str, target: str, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "get_file", full)
    with pytest.raises(RunError, match=r"packed/val/chunk-0-0.bin: the disk of .*/full/shards/\w+ has no room for its"):
        read("full")
    assert not list(tmp_path.rglob("*.part"))


def test_a_shard_that_is_damaged_in_the_cache_is_named(tmp_path: Path) -> None:
    packed, cache = packed_photos(tmp_path), tmp_path / "cache"
    list(at_address(packed, cache).val_dataloader())
    shard = cached(cache)[0]
    content = bytearray(shard.read_bytes())
    content[len(content) // 2] ^= 4
    shard.write_bytes(content)
    with pytest.raises(RunError, match=r"chunk-0-0.bin: the shard is damaged: .*; delete it: it is downloaded"):
        list(at_address(packed, cache).val_dataloader())


def test_unknown_addresses_and_missing_packages() -> None:
    with pytest.raises(RecipeError, match="expected an address as s3://bucket/folder"):
        Shards("s4://bucket/photos")
    with pytest.raises(RunError, match=r"gs://bucket/photos/manifest.json: a package is missing .*gcsfs"):
        Shards("gs://bucket/photos")
