"""Members of a zip, read in place by many processes at the same time; and how a path leads into one, or into shards."""

from __future__ import annotations

import functools
import os
import weakref
import zipfile
import zlib

import numpy as np

from resnet_tl.data.images.key_hash import hash64
from resnet_tl.data.images.limits import BYTES, check_bytes
from resnet_tl.data.images.shards import ShardFiles
from resnet_tl.errors import DataError

LOCAL_HEADER = 30
"""Bytes before a member's name (APPNOTE.TXT 4.3.7); the last four are the lengths of name and extra field."""


def split_path(path: str) -> tuple[str, str] | None:
    """`photos.zip/train/cat/1.jpg` -> (`photos.zip`, `train/cat/1.jpg`), and the same for the index of a packed set,
    `packed/files.shards/train/cat/1.jpg`; None for a path that leads into neither."""
    for ending in (".zip", ".shards"):
        archive, separator, member = path.partition(f"{ending}/")
        if separator and _is_file(archive + ending):
            return archive + ending, member
    return None


@functools.lru_cache(maxsize=64)
def open_archive(path: str) -> Archive | ShardFiles:
    """Returns one object per file and process; one opened before a fork also works in the children."""
    return ShardFiles(path) if path.endswith(".shards") else Archive(path)


class Archive:
    """The directory of a zip in flat arrays (28 bytes a member), and its content by positioned reads.

    Positioned reads share no file position, so forked workers can use the parent's file descriptor; flat arrays hold no
    Python objects, so reading them copies none of the parent's memory pages.

    Raises:
        DataError: not a zip, or a member is neither stored nor deflated.
    """

    def __init__(self, path: str):
        self.path = path
        members = _directory(path)
        names = np.array([hash64(member.filename) for member in members], np.uint64)
        order = np.argsort(names, kind="stable")
        self.names = names[order]
        self.offsets = np.array([member.header_offset for member in members], np.int64)[order]
        self.lengths = np.array([member.compress_size for member in members], np.int64)[order]
        self.checksums = np.array([member.CRC for member in members], np.uint32)[order]
        self.file = os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.file)

    def read(self, member: str) -> bytes:
        """Returns a member's content after verifying its checksum; at most as many bytes as a file may have."""
        path, row = f"{self.path}/{member}", self._row(member)
        check_bytes(int(self.lengths[row]), path)
        header = os.pread(self.file, LOCAL_HEADER, int(self.offsets[row]))
        header_size = LOCAL_HEADER + int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        data = os.pread(self.file, int(self.lengths[row]), int(self.offsets[row]) + header_size)
        if header[8:10] == b"\x08\x00":
            data = self._inflate(data, path)
        if zlib.crc32(data) != self.checksums[row]:
            raise DataError(f"{path}: damaged in {self.path} (its checksum differs)")
        return data

    def listed(self, member: str) -> tuple[int, int]:
        """Returns a member's size in the zip and the CRC-32 of its content, as the directory lists them."""
        row = self._row(member)
        return int(self.lengths[row]), int(self.checksums[row])

    def _row(self, member: str) -> int:
        name = np.uint64(hash64(member))
        row = int(np.searchsorted(self.names, name, side="right")) - 1  # the last of equal names, as in zipfile
        if row < 0 or self.names[row] != name:
            raise DataError(f"{self.path}/{member}: {self.path} has no such member")
        return row

    def _inflate(self, data: bytes, path: str) -> bytes:
        stream = zlib.decompressobj(-zlib.MAX_WBITS)
        try:
            content = stream.decompress(data, BYTES.value + 1)
        except zlib.error as error:
            raise DataError(f"{path}: damaged in {self.path} ({error})") from error
        check_bytes(len(content), path)
        return content


def _directory(path: str) -> list[zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [member for member in archive.infolist() if not member.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: not a readable zip ({error})") from error
    for member in members:
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or member.flag_bits & 1:
            raise DataError(f"{path}/{member.filename}: is encrypted or not compressed by 'deflate'; repack the zip")
    return members


@functools.lru_cache(maxsize=1024)
def _is_file(path: str) -> bool:
    return os.path.isfile(path)
