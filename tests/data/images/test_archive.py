"""Zips read in place: the same bytes as from zipfile, in any process; faults in one sentence."""

from __future__ import annotations

import multiprocessing
import zipfile
from pathlib import Path

import pytest

from resnet_tl.data.images.archive import Archive, open_archive, split_path
from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.images.key_hash import hash64
from resnet_tl.errors import DataError

MEMBERS = {f"train/cat/{i:04d}.bin": bytes([i % 251]) * (i * 7 % 5000 + 1) for i in range(500)}
MEMBERS["a folder/\N{SNOWMAN} name.bin"] = b"unicode"


def pack(path: Path, compression: int = zipfile.ZIP_STORED) -> str:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("train/", b"")
        for name, data in MEMBERS.items():
            archive.writestr(name, data)
    return str(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_what_was_packed(compression: int, tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip", compression)
    assert {name: read_bytes(f"{path}/{name}") for name in MEMBERS} == MEMBERS


def test_an_archive_after_other_bytes_is_read(tmp_path: Path) -> None:
    """A zip may begin with anything, such as a program that unpacks it."""
    packed = Path(pack(tmp_path / "plain.zip"))
    packed.write_bytes(b"x" * 1000 + packed.read_bytes())
    assert Archive(str(packed)).read("train/cat/0003.bin") == MEMBERS["train/cat/0003.bin"]


def test_the_last_of_two_members_of_one_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("same", b"first")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("same", b"second")
    assert Archive(str(path)).read("same") == b"second"


def _read_all(path: str, queue: multiprocessing.Queue[bool]) -> None:
    queue.put(all(read_bytes(f"{path}/{name}") == data for _ in range(5) for name, data in MEMBERS.items()))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_processes_read_one_archive_at_the_same_time(start: str, tmp_path: Path) -> None:
    path = pack(tmp_path / "set.zip")
    read_bytes(f"{path}/train/cat/0000.bin")  # opened before the fork: the children share its file
    context = multiprocessing.get_context(start)
    queue = context.Queue()
    readers = [context.Process(target=_read_all, args=(path, queue)) for _ in range(3)]
    for reader in readers:
        reader.start()
    assert [queue.get(timeout=120) for _ in readers] == [True] * 3
    for reader in readers:
        reader.join()


def test_an_index_costs_28_bytes_a_member(tmp_path: Path) -> None:
    archive = Archive(pack(tmp_path / "set.zip"))
    arrays = (archive.names, archive.offsets, archive.lengths, archive.checksums)
    assert sum(array.nbytes for array in arrays) == 28 * len(MEMBERS)


def test_a_folder_may_be_named_like_an_archive(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").mkdir()
    (tmp_path / "photos.zip" / "a.bin").write_bytes(b"plain")
    path = f"{tmp_path}/photos.zip/a.bin"
    assert split_path(path) is None
    assert read_bytes(path) == b"plain"


def test_unreadable_members_are_errors(tmp_path: Path) -> None:
    path = Path(pack(tmp_path / "set.zip", zipfile.ZIP_DEFLATED))
    with pytest.raises(DataError, match=r"set.zip/train/dog/1.bin: .*set.zip has no such member"):
        read_bytes(f"{path}/train/dog/1.bin")
    offset = next(member.header_offset for member in zipfile.ZipFile(path).infolist() if "0400" in member.filename)
    damaged = bytearray(path.read_bytes())
    damaged[offset + 55 : offset + 60] = b"wrong"
    (tmp_path / "damaged.zip").write_bytes(damaged)
    with pytest.raises(DataError, match=r"0400.bin: damaged in .*damaged.zip"):
        read_bytes(f"{tmp_path}/damaged.zip/train/cat/0400.bin")
    (tmp_path / "cut.zip").write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=r"cut.zip: not a readable zip"):
        read_bytes(f"{tmp_path}/cut.zip/train/cat/0400.bin")


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "lzma.zip", zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match=r"not compressed by 'deflate'"):
        open_archive(path)


def test_hashes_are_the_same_everywhere() -> None:
    assert hash64("train/cat/1.jpg") == 14362890954943169896
