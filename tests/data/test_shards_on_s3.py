"""Packing to, and training from, a server of the S3 protocol, which fails now and then."""

from __future__ import annotations

import http.client
import multiprocessing
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from resnet_tl.data import base
from resnet_tl.data.base import ImageData
from resnet_tl.data.images import remote
from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.images.shards import WINDOW
from resnet_tl.data.loading.place import Place
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.shards import Shards
from resnet_tl.errors import DataError, RunError
from tests.data.epochs import epoch_of, equal
from tests.data.packed_sets import OF_CLASSES, as_folder

pytest.importorskip("litdata")
pytest.importorskip("s3fs")
server = pytest.importorskip("moto.server")

HOP = ("connection", "transfer-encoding", "content-length")


class Faulty(BaseHTTPRequestHandler):
    """Passes requests on; every tenth is answered 500, and of some answers the connection is cut in the middle."""

    target: tuple[str, int]
    requests = count(1)
    refused: list[str]
    cut: list[str]
    cut_every = 0
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        number = next(self.requests)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if number % 10 == 0:
            self.refused.append(self.path)
            self.send_response(500)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(*self.target)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "expect"}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP:
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if self.cut_every and len(content) > 20_000 and number % self.cut_every == 0:
            self.cut.append(self.path)
            self.wfile.write(content[: len(content) // 2])
            self.close_connection = True
            return
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _pass_on

    def log_message(self, *values: Any) -> None:
        pass


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Faulty]]:
    """An empty bucket `photos` at the endpoint that the environment names."""
    import s3fs

    moto = server.ThreadedMotoServer("127.0.0.1", port=0)
    moto.start()
    target = moto.get_host_and_port()
    connection = http.client.HTTPConnection(*target)
    connection.request("POST", "/moto-api/reset")  # what earlier servers of this process have
    connection.getresponse()
    handler = type("Handler", (Faulty,), {"target": target, "requests": count(1), "refused": [], "cut": []})
    proxy = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=proxy.serve_forever, daemon=True).start()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{proxy.server_port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remote, "WAITS", (0.1,) * 5)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().makedirs("photos", exist_ok=True)
    yield handler
    proxy.shutdown()
    proxy.server_close()
    moto.stop()
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.slow
def test_a_set_is_packed_to_and_trained_from_a_server_that_fails_now_and_then(
    store: type[Faulty], tmp_path: Path
) -> None:
    folder = as_folder(tmp_path)
    size = sum(Path(sample.path).stat().st_size for sample in folder.listings["train"])
    manifest = pack(folder, "s3://photos/packed", shard_mb=size / 6 / 1e6)
    assert len(manifest.shards) >= 6
    store.cut_every = 2
    for workers in (0, 2):
        cache = str(tmp_path / f"cache{workers}")
        data = Shards("s3://photos/packed", cache_dir=cache, **OF_CLASSES | {"num_workers": workers})
        for loader in ("train_dataloader", "val_dataloader"):
            first, second = (epoch_of(getattr(each, loader)(), 1) for each in (folder, data))
            assert equal(first, second)
    assert len(store.refused) >= 5
    assert len(store.cut) >= 3


def epoch_of_rank(rank: int, cache: str) -> dict[str, list[tuple[str, str]]]:
    """The images of one of two ranks with two workers each: keys, and digests of the pixels."""
    base.place_of = lambda trainer: Place(2, rank)
    data = Shards("s3://photos/packed", cache_dir=cache, **OF_CLASSES | {"num_workers": 2})
    return {split: images_of(data, split) for split in ("train", "val")}


def images_of(data: ImageData, split: str) -> list[tuple[str, str]]:
    loader = data.train_dataloader() if split == "train" else data.val_dataloader()
    return [
        (data.listings[split].key(index), sha256(image.numpy().tobytes()).hexdigest())
        for batch in epoch_of(loader, 1)
        for index, image in zip(batch.indices.tolist(), batch.images, strict=True)
        if index >= 0
    ]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_ranks_with_two_workers_each_lose_no_image_and_see_none_twice(store: type[Faulty], tmp_path: Path) -> None:
    folder = as_folder(tmp_path)
    size = sum(Path(sample.path).stat().st_size for sample in folder.listings["train"])
    manifest = pack(folder, "s3://photos/packed", shard_mb=size / 14 / 1e6)
    assert sum(shard.name.startswith("train/") for shard in manifest.shards) > WINDOW
    store.refused.clear()
    store.cut_every = 3
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        ranks = list(pool.map(epoch_of_rank, (0, 1), [str(tmp_path / "cache")] * 2))
    for split in ("train", "val"):
        seen = Counter(image for rank in ranks for image in rank[split])
        assert set(seen.values()) == {1}
        assert {key for key, _ in seen} == set(folder.listings[split].keys())
        assert seen.keys() == set(images_of(folder, split))
    assert len(store.refused) >= 3
    assert len(store.cut) >= 3


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_a_cache_on_a_full_disk_names_the_shard(
    workers: int, store: type[Faulty], small_disk: Path, tmp_path: Path
) -> None:
    pack(as_folder(tmp_path), "s3://photos/packed")
    data = Shards("s3://photos/packed", cache_dir=str(small_disk), **OF_CLASSES | {"num_workers": workers})
    assert len(images_of(data, "train")) == len(data.listings["train"])
    with pytest.raises(RunError, match=rf"s3://photos/packed/val/chunk-0-0.bin: the disk of {small_disk}/.* no room"):
        images_of(data, "val")
    assert not list(small_disk.rglob("*.part"))


@pytest.mark.slow
def test_what_is_wrong_at_the_server_is_named(store: type[Faulty], tmp_path: Path) -> None:
    import s3fs

    pack(as_folder(tmp_path), "s3://photos/wrong")
    filesystem = s3fs.S3FileSystem()
    whole = filesystem.cat_file("photos/wrong/val/chunk-0-0.bin")

    def read(name: str) -> None:
        open_archive.cache_clear()
        list(Shards("s3://photos/wrong", cache_dir=str(tmp_path / name), **OF_CLASSES).val_dataloader())

    filesystem.pipe_file("photos/wrong/val/chunk-0-0.bin", whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(RunError, match=r"s3://photos/wrong/val/chunk-0-0.bin: is damaged: its SHA-256"):
        read("damaged")
    filesystem.rm_file("photos/wrong/val/chunk-0-0.bin")
    with pytest.raises(RunError, match=r"s3://photos/wrong/val/chunk-0-0.bin: does not exist"):
        read("missing")
    for written, why in ((b"", "there is no manifest.json"), (b"resnet_tl shards 1", "its pack is not finished")):
        filesystem.pipe_file("photos/elsewhere/pack.json", written)
        with pytest.raises(DataError, match=rf"^s3://photos/elsewhere is no packed set: {why}"):
            Shards("s3://photos/elsewhere", cache_dir=str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"^s3://paintings/elsewhere/manifest.json: its bucket does not exist$"):
        Shards("s3://paintings/elsewhere", cache_dir=str(tmp_path / "none"))
    with pytest.raises(RunError, match=r"^s3://paintings/packed/pack.json: its bucket does not exist$"):
        pack(as_folder(tmp_path), "s3://paintings/packed")
