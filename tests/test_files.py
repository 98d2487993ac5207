from __future__ import annotations

import os
import random
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from resnet_tl.errors import RunError
from resnet_tl.files import atomic_create, atomic_write, did_you_mean_path, write_new_text


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Fails writes in the middle of a file, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)


def test_the_new_file_replaces_the_old_one(tmp_path: Path) -> None:
    write(tmp_path / "a", b"old")
    write(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == b"new"
    assert os.listdir(tmp_path) == ["a"]


def test_an_error_inside_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "a") as file:
        file.write(b"half of the n" * (1 // 0))
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_full_disk_is_one_sentence_and_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "a", b"old")
    with pytest.raises(RunError, match=r"a: cannot be written: File too large$"), file_size_limit(1000):
        write(tmp_path / "a", b"x" * 5000)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_missing_folder_is_made(tmp_path: Path) -> None:
    write(tmp_path / "some" / "where" / "a", b"new")
    assert (tmp_path / "some" / "where" / "a").read_bytes() == b"new"


def test_a_file_in_place_of_a_folder_is_one_sentence(tmp_path: Path) -> None:
    write(tmp_path / "file", b"old")
    with pytest.raises(RunError, match=r"cannot be written: (Not a directory|File exists)$"):
        write(tmp_path / "file" / "a", b"new")


def test_a_new_text_makes_its_folder_and_replaces_nothing(tmp_path: Path) -> None:
    write_new_text(tmp_path / "some" / "where" / "a", "é")
    assert (tmp_path / "some" / "where" / "a").read_bytes() == "é".encode()
    with pytest.raises(RunError, match=r"where/a: exists already, and nothing is overwritten$"):
        write_new_text(tmp_path / "some" / "where" / "a", "b")


def test_a_kill_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path, versions = tmp_path / "a", [bytes([digit]) * 300_000 for digit in b"0123"]
    write(path, versions[0])
    for wait in random.Random(0).choices(range(10), k=20):
        before = path.stat().st_ino
        child = os.fork()
        if child == 0:
            while True:
                for version in versions:
                    write(path, version)
        while path.stat().st_ino == before:  # it has begun
            time.sleep(0.001)
        time.sleep(wait / 1000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert path.read_bytes() in versions


def test_a_wrong_path_suggests_the_sibling_of_its_missing_part(tmp_path: Path) -> None:
    (tmp_path / "runs" / "cats").mkdir(parents=True)
    assert did_you_mean_path(tmp_path / "runs" / "cat" / "last.ckpt") == f"; did you mean '{tmp_path}/runs/cats'?"
    assert did_you_mean_path(tmp_path / "runs" / "zebra") == ""


def test_a_path_that_exists_is_not_suggested_for_itself(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    assert did_you_mean_path(tmp_path / "runs") == ""


def test_parts_of_killed_writers_are_removed_and_parts_in_use_are_kept(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        with atomic_create(tmp_path / "a") as file:
            file.write(b"a")
            file.flush()
            os.write(writer, b"!")
            time.sleep(600)
    os.read(reader, 1)
    (part,) = tmp_path.iterdir()
    (tmp_path / ".last.ckpt.part").touch()
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    with atomic_create(tmp_path / "b"):
        pass
    assert part.exists()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with atomic_create(tmp_path / "c"):
        pass
    assert sorted(os.listdir(tmp_path)) == [".last.ckpt.part", "b", "c"]
