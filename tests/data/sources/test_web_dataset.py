"""Tars of WebDataset: what they hold, where they lie, and the images and classes that come of them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.shards import Shards, WebDataset
from resnet_tl.data.sources.web_dataset import expanded
from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.run.data import open_data
from tests.data.epochs import epoch_of, equal

OPTIONS: dict[str, Any] = {"image_size": 24, "batch_size": 4, "num_workers": 0, "seed": 3, "augment": "strong"}


def encoded(number: int) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (40, 30), (number * 7 % 256, 90, 200 - number)).save(content, "PNG")
    return content.getvalue()


def write_tar(path: Path, members: Mapping[str, bytes], mode: str = "w") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as tar:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))


def write(root: Path, tars: int = 2, each: int = 6, split: str = "train") -> list[bytes]:
    """Writes `SPLIT-000000.tar` and so on, in each the samples `0000` and so on, of classes 0, 1 and 2."""
    contents = []
    for number in range(tars):
        members = {}
        for sample in range(each):
            contents.append(encoded(number * each + sample))
            members |= {f"{sample:04}.png": contents[-1], f"{sample:04}.cls": str(sample % 3).encode()}
        write_tar(root / f"{split}-{number:06}.tar", members)
    return contents


def opened(root: Path | str, cache: Path, **options: Any) -> WebDataset:
    return WebDataset(str(root), cache_dir=str(cache), **OPTIONS, **options)


def test_images_classes_and_splits_are_those_of_the_tars(tmp_path: Path) -> None:
    contents = write(tmp_path / "tars")
    (validated,) = write(tmp_path / "tars", 1, 1, "imagenet1k-validation")
    data = opened(tmp_path / "tars", tmp_path / "cache")
    assert data.classes == ["0", "1", "2"]
    train, val = (data.listings[split] for split in ("train", "val"))
    assert [read_bytes(sample.path) for sample in train] == contents
    assert train.targets.tolist() == [0, 1, 2] * 4
    assert train.keys()[6:8] == ["train-000001.tar/0000.png", "train-000001.tar/0001.png"]
    assert [read_bytes(sample.path) for sample in val] == [validated]
    pattern = opened(tmp_path / "tars/{train-000001,imagenet*}.tar", tmp_path / "cache")
    assert {split: len(listing) for split, listing in pattern.listings.items()} == {"train": 6, "val": 1}


def test_they_are_indexed_once_and_again_when_one_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "tars")
    opened(tmp_path / "tars", tmp_path / "cache")
    with monkeypatch.context() as patched:
        patched.setattr(tarfile, "open", lambda *_: pytest.fail("a tar was read again"))
        opened(tmp_path / "tars", tmp_path / "cache")
    tar = tmp_path / "tars/train-000001.tar"
    write_tar(tar, {"a/b.c/new.one.jpg": b"", "a/b.c/new.jpeg": encoded(1), "a/b.c/new.cls": b"1"})
    os.utime(tar, ns=(1, 1))
    assert (
        opened(tmp_path / "tars", tmp_path / "cache").listings["train"].keys()[-1] == "train-000001.tar/a/b.c/new.jpeg"
    )


def test_several_processes_read_them_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "tars")
    read, both, opening = tarfile.open, threading.Barrier(2), []

    def slow(path: Any, mode: str) -> tarfile.TarFile:
        opening.append(path)
        time.sleep(0.1)
        return read(path, mode)

    def images(_: int) -> int:
        both.wait(10)
        return len(opened(tmp_path / "tars", tmp_path / "cache", val_fraction=1.0).listings["val"])

    monkeypatch.setattr(tarfile, "open", slow)
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(images, range(2))) == [12, 12]
    assert len(opening) == 2


@pytest.mark.parametrize(
    ("label", "ending", "content"),
    [("txt", "txt", b" oak \n"), ("json.species", "json", b'{"species": "oak"}'), ("cls", "cls", b"oak")],
)
def test_classes_may_be_names(tmp_path: Path, label: str, ending: str, content: bytes) -> None:
    others = content.replace(b"oak", b"elm")
    members = {"1.png": encoded(1), f"1.{ending}": content, "2.png": encoded(2), f"2.{ending}": others}
    write_tar(tmp_path / "train.tar", members)
    write_tar(tmp_path / "val.tar", members)
    data = opened(tmp_path, tmp_path / "cache", label=label)
    assert data.classes == ["elm", "oak"]
    assert data.listings["train"].targets.tolist() == [1, 0]


def test_numbers_have_the_names_of_a_file(tmp_path: Path) -> None:
    write(tmp_path / "tars")
    names = tmp_path / "names.txt"
    names.write_text("elm\noak\nash\nfir\n")
    data = opened(tmp_path / "tars", tmp_path / "cache", class_names=str(names))
    assert data.classes == ["elm", "oak", "ash", "fir"]
    assert data.class_counts().tolist()[3] == 0
    for text, message in (("elm\noak\n", "has a class 2; data.class_names has 2"), ("elm\nelm\nash\n", "'elm' twice")):
        names.write_text(text)
        with pytest.raises(DataError, match=message):
            opened(tmp_path / "tars", tmp_path / "cache", class_names=str(names))


def test_braces_are_those_of_a_shell() -> None:
    assert expanded("a-{08..10}.tar") == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert expanded("{x,y}/{0..1}") == ["x/0", "x/1", "y/0", "y/1"]
    assert expanded("a{b}") == ["a{b}"]


def test_packed_they_give_the_same_epochs(tmp_path: Path) -> None:
    pytest.importorskip("litdata")
    write(tmp_path / "tars")
    write(tmp_path / "tars", 1, 6, "val")
    data = opened(tmp_path / "tars", tmp_path / "cache")
    assert type(open_data([], [], str(tmp_path / "tars"))) is WebDataset
    pack(data, str(tmp_path / "packed"))
    packed = Shards(str(tmp_path / "packed"), **OPTIONS)
    for loader in ("train_dataloader", "val_dataloader"):
        assert equal(*(epoch_of(getattr(each, loader)(), 1) for each in (data, packed)))


def test_at_an_address_they_are_downloaded_into_the_cache(tmp_path: Path) -> None:
    import fsspec

    contents = write(tmp_path / "tars")
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "tars"), "/bucket/tars", recursive=True)
    data = opened("memory://bucket/tars/train-{000000..000001}.tar", tmp_path / "cache", val_fraction=0.5)
    samples = {sample.key: sample for split in data.listings.values() for sample in split}
    assert [read_bytes(samples[key].path) for key in sorted(samples)] == contents
    (downloaded, *_) = sorted((tmp_path / "cache").rglob("*.tar"))
    downloaded.unlink()
    open_archive.cache_clear()
    assert len(list(data.train_dataloader())) + len(list(data.val_dataloader())) == 4
    assert downloaded.exists()
    with pytest.raises(RecipeError, match=r"cache_gb is 1e-06; expected 0\.0"):
        opened("memory://bucket/tars", tmp_path / "cache", cache_gb=1e-6)
    store.rm("/bucket", recursive=True)


def test_what_is_wrong_is_one_sentence(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with pytest.raises(DataError, match=r"has no tars; expected a folder of .tar files"):
        opened(tmp_path, cache)
    write(tmp_path / "tars")
    with pytest.raises(RunError, match=r"train-000002.tar: does not exist"):
        opened(tmp_path / "tars/train-{000000..000002}.tar", cache)
    with pytest.raises(DataError, match=r"train-000000.tar/0000: has no .txt with its class .* but png, cls"):
        opened(tmp_path / "tars", cache, label="txt")
    tar = tmp_path / "tars/train-000001.tar"
    whole = tar.read_bytes()
    tar.write_bytes(gzip.compress(whole))
    with pytest.raises(DataError, match=r"train-000001.tar: is no tar that can be read in place"):
        opened(tmp_path / "tars", cache)
    tar.write_bytes(whole[:2000])
    with pytest.raises(DataError, match=r"train-000001.tar: is no tar that can be read in place"):
        opened(tmp_path / "tars", cache)
    tar.write_bytes(whole)
    data = opened(tmp_path / "tars", cache)
    tar.write_bytes(whole.replace(b"IDAT", b"IDAX"))
    with pytest.raises(RunError, match=r"train-000001.tar: the shard is damaged: train-000001.tar/000"):
        list(data.train_dataloader())


@pytest.mark.parametrize("padding", [512, 1024, 100 * 512], ids=["one block", "two blocks", "records"])
def test_a_tar_may_have_any_zeros_at_its_end(tmp_path: Path, padding: int) -> None:
    contents = write(tmp_path / "tars", 1)
    tar = tmp_path / "tars/train-000000.tar"
    members = tar.read_bytes().rstrip(b"\0")
    tar.write_bytes(members + bytes(-len(members) % 512 + padding))
    listings = opened(tmp_path / "tars", tmp_path / "cache").listings
    assert sum(map(len, listings.values())) == len(contents)


def test_the_rest_of_a_damaged_tar_is_not_skipped(tmp_path: Path) -> None:
    write(tmp_path / "tars", 1)
    tar = tmp_path / "tars/train-000000.tar"
    whole = tar.read_bytes()
    at = whole.index(b"0003.png")
    for header in (b"\xff" * 100 + whole[at + 100 :], bytes(512) + whole[at + 512 :], bytes(1024) + whole[at + 1024 :]):
        tar.write_bytes(whole[:at] + header)
        with pytest.raises(DataError, match=rf"train-000000.tar: is damaged at byte {at:,}, where"):
            opened(tmp_path / "tars", tmp_path / "cache")
    tar.write_bytes(whole[: at + 124] + b"77777777777\0" + whole[at + 136 :])
    with pytest.raises(DataError, match=rf"is damaged at byte {at:,}"):
        opened(tmp_path / "tars", tmp_path / "cache")
    for cut in (at, at + 100):
        tar.write_bytes(whole[:cut])
        with pytest.raises(DataError, match=rf"ends at byte {at:,} without the zeros that end a tar"):
            opened(tmp_path / "tars", tmp_path / "cache")
