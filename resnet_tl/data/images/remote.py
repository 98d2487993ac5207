"""Files at addresses (`s3://bucket/key`), by fsspec; what fails for a moment is tried again."""

from __future__ import annotations

import errno
import re
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from resnet_tl.errors import RecipeError, RunError, UserError

T = TypeVar("T")
WAITS = (0.5, 1, 2, 4, 8)
"""Seconds between tries."""
WHOLE_AT_ONCE = frozenset(["s3", "s3a", "gs", "gcs", "az", "abfs", "memory"])
"""Protocols of stores that show a file when it is complete; elsewhere it gets its name then."""
NO_KEY = "NoCredentialsError"
"""botocore's error where it finds no credentials, as it also does where a machine of AWS is slow to give its own: they
are looked for twice."""
FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a full disk is called."""


NO_ADDRESS = re.compile(r"[A-Za-z0-9]{2,}:(/[^/].*|/*)")
"""Addresses of nothing, as `s3://`, or with a single slash, which would be a folder called `s3:`."""


class Missing(RunError):
    """There is nothing at an address."""


def is_url(root: str) -> bool:
    return "://" in root


def without_slash(root: str) -> str:
    """Returns a folder, or its address, without slashes at its end. Raises RecipeError for half an address."""
    if NO_ADDRESS.fullmatch(root):
        raise RecipeError(f"{root}: is no address; expected one as s3://bucket/folder")
    return root.rstrip("/")


def open_filesystem(url: str) -> tuple[Any, str]:
    """Returns fsspec's file system of an address, and the path in it. One for each process: none is shared by a fork.

    Raises:
        RunError: its package is not installed.
        RecipeError: there is no such kind of address.
    """
    import fsspec.core

    try:
        filesystem, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        how = "pip install 'resnet-tl[shards]'" if url.startswith("s3://") else str(error)
        raise RunError(f"{url}: a package is missing that reads such addresses: {how}") from None
    except ValueError as error:
        raise RecipeError(f"{url}: {error}; expected an address as s3://bucket/folder or gs://bucket/folder") from None
    return filesystem, str(path)


def retried(url: str, action: Callable[[], T]) -> T:
    """Returns what `action` returns, which reads or writes what is at `url`; tries again what may pass.

    Raises:
        RunError: there is nothing, it may not be read, or the last try failed too.
        OSError: the disk is full.
    """
    for wait in (*WAITS, None):
        try:
            return action()
        except UserError:
            raise
        except FileNotFoundError as error:  # the stores say whether it is the bucket
            if "bucket does not exist" in str(error):
                raise RunError(f"{url}: its bucket does not exist") from None
            raise Missing(f"{url}: does not exist") from None
        except PermissionError as error:
            raise RunError(f"{url}: no permission ({error})") from None
        except Exception as error:  # each library of a store has its own for what the network does
            if isinstance(error, OSError) and error.errno in FULL:
                raise
            if type(error).__name__ == NO_KEY and wait not in WAITS[:1]:
                raise RunError(
                    f"{url}: there are no credentials for it; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
                    "AWS_PROFILE; for a public bucket FSSPEC_S3_ANON=true"
                ) from None
            if wait is None:
                why = " ".join(str(error).split())
                raise RunError(f"{url}: failed {len(WAITS) + 1} times, the last time with: {why}") from error
            time.sleep(wait)
    raise AssertionError("the last try returns or raises")


def write_url(url: str, content: bytes | Path) -> None:
    """Writes bytes, or a file of this machine, to `url`: what is there is whole.

    Raises:
        RunError: see `retried`.
    """

    def write() -> None:
        filesystem, path = open_filesystem(url)
        protocols = filesystem.protocol
        at_once = WHOLE_AT_ONCE & {*([protocols] if isinstance(protocols, str) else protocols)}
        place = path if at_once else f"{path}.part"
        if not at_once:
            filesystem.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        if isinstance(content, bytes):
            filesystem.pipe_file(place, content)
        else:
            filesystem.put_file(str(content), place)
        if not at_once:
            filesystem.mv(place, path)

    retried(url, write)


def read_url(url: str) -> bytes:
    """Returns the content of the file at `url`. Raises RunError, see `retried`."""

    def read() -> bytes:
        filesystem, path = open_filesystem(url)
        return bytes(filesystem.cat_file(path))

    return retried(url, read)
