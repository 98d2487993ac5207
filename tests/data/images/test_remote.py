"""Files at addresses are whole."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pytest

from resnet_tl.data.images import remote
from resnet_tl.data.images.remote import read_url, write_url
from resnet_tl.errors import RunError


@pytest.mark.parametrize("store", ["memory://whole", "file://"])
def test_a_file_is_written_from_bytes_and_from_this_machine(tmp_path: Path, store: str) -> None:
    url, file = f"{store}{tmp_path}/new/folder/a.bin", tmp_path / "here.bin"
    write_url(url, b"first")
    assert read_url(url) == b"first"
    file.write_bytes(b"second")
    write_url(url, file)
    assert read_url(url) == b"second"
    filesystem, path = remote.open_filesystem(url)
    assert [Path(each).name for each in filesystem.ls(str(Path(path).parent), detail=False)] == ["a.bin"]


def test_a_disk_that_fails_within_a_file_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: object, path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:2])
        raise OSError("gone")

    url = f"file://{tmp_path}/a.bin"
    write_url(url, b"first")
    monkeypatch.setattr(remote, "WAITS", ())
    monkeypatch.setattr(type(fsspec.filesystem("file")), "pipe_file", fails)
    with pytest.raises(RunError, match="failed 1 times, the last time with: gone"):
        write_url(url, b"second")
    assert (tmp_path / "a.bin").read_bytes() == b"first"


def test_a_store_without_credentials_is_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    unknown = pytest.importorskip("botocore.exceptions").NoCredentialsError
    asked = []

    def ask() -> None:
        asked.append(len(asked))
        raise unknown

    monkeypatch.setattr(remote, "WAITS", (0, 60))
    with pytest.raises(RunError, match=r"s3://bucket/x: there are no credentials for it; set AWS_ACCESS_KEY_ID and"):
        remote.retried("s3://bucket/x", ask)
    assert asked == [0, 1]
