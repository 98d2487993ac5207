"""Tars as the WebDataset library writes and reads them: images and their classes, read in place by an index."""

from __future__ import annotations

import json
import logging
import os
import posixpath
import re
import tarfile
import time
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from itertools import chain, groupby, product
from pathlib import Path
from typing import Any, NamedTuple

from resnet_tl.data.images.manifest import MANIFEST, Manifest, Shard
from resnet_tl.data.images.remote import is_url, open_filesystem, retried
from resnet_tl.data.images.shard_cache import Lock, ShardCache, write_origin
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.sources.class_names import composed, some
from resnet_tl.data.sources.folder_names import SPLITS
from resnet_tl.data.sources.shards import check_room, index_files, read_index
from resnet_tl.data.sources.text_files import read_text
from resnet_tl.data.sources.tree import is_image
from resnet_tl.errors import DataError
from resnet_tl.files import as_run_error, atomic_create

FORMAT = 2
"""Of what an index says about the same tars: another number where that changes."""
THREADS = 4
REPORTED_EVERY = 10.0
"""Seconds."""
CHUNK = 1 << 20

log = logging.getLogger("resnet_tl")


def is_tars(root: str) -> bool:
    """Whether a root is the path, the address or the pattern of tars."""
    return root.endswith(".tar")


def read_tars(
    root: str,
    label: str,
    class_names: str | None,
    classes: Sequence[str] | None,
    cache: Path,
    cache_gb: float,
) -> ClassSet:
    """Lists the images of tars, which are then read as the shards of a packed set: where they are or, at an address,
    downloaded into `cache` when needed.

    All tars are read once, from beginning to end. What was found is kept in `cache` until one of them has another
    length, or was written again.

    Args:
        root: a folder, its address, or a path or address with `{000000..000099}`, `{train,val}` and, other than for
            `https://`, `*`. A tar with the word `val`, `validation` or `test` in its path is of that split.
        label: the ending of the files that hold the classes, as `cls` or `txt`, or `json.FIELD`.
        class_names: path of a file with the name of each class in a line, where classes are numbers from 0; None: the
            numbers are the names.
        classes: a checkpoint's, which may be more and in another order.
        cache_gb: how many GB (10^9 bytes) of tars of an address the cache may hold.

    Raises:
        DataError: there are no tars, they cannot be read, a sample has no class, or one that is not in `classes`.
        RecipeError: the cache is too small.
        RunError: an address cannot be read, or the index cannot be written.
    """
    tars = _find(root)
    names = None if class_names is None else _names(class_names)
    identity = json.dumps([FORMAT, label, names, tars])
    folder = cache / "shards" / sha256(identity.encode()).hexdigest()[:16]
    with as_run_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if is_url(tars[0].place):
            check_room([tar.shard for tar in tars], cache_gb)
            write_origin(folder, tars[0].place, cache_gb)
        with Lock(folder / ".index") as lock:
            lock.until((folder / MANIFEST).exists, partial(_write_index, root, tars, label, names, folder))
    manifest = Manifest.parse((folder / MANIFEST).read_bytes(), str(folder / MANIFEST))
    images = read_index(folder, root, manifest, classes)
    assert isinstance(images, ClassSet)
    return images


class Tar(NamedTuple):
    """place: the folder of all tars, or its address. name: the path in it. state: what changes with its content."""

    place: str
    name: str
    bytes: int
    state: str

    @property
    def shard(self) -> Shard:
        """Locally by its whole path; to be downloaded, by that in the place."""
        return Shard(self.name if is_url(self.place) else f"{self.place}/{self.name}", self.bytes, 0, "")

    @property
    def split(self) -> str:
        words = re.findall("[a-z]+", self.name.lower())
        return next((SPLITS[word] for word in reversed(words) if word in SPLITS), "train")


def _find(root: str) -> list[Tar]:
    """Returns the tars of a root, sorted by name."""
    given = root if is_url(root) else os.path.abspath(os.path.expanduser(root))
    filesystem, _ = open_filesystem(given)

    def found(pattern: str) -> list[str]:
        if "*" in pattern:
            return list(filesystem.glob(pattern))
        return [pattern] if is_tars(pattern) else [path for path in filesystem.find(pattern) if is_tars(path)]

    everything = chain.from_iterable(retried(root, partial(found, pattern)) for pattern in expanded(given))
    paths = sorted(path for path in everything if ".." not in path.split("/"))  # they become paths in the cache
    if not paths:
        raise DataError(f"{root}: has no tars; expected a folder of .tar files, or DIR/train-{{000000..000099}}.tar")
    paths = [filesystem.unstrip_protocol(path) if is_url(root) else path for path in paths]
    place = posixpath.dirname(posixpath.commonprefix([posixpath.dirname(path) + "/" for path in paths]))
    with ThreadPoolExecutor(THREADS * 4) as pool:
        states = list(pool.map(lambda path: retried(path, partial(filesystem.info, path)), paths))
    return [
        Tar(place, path.removeprefix(f"{place}/"), int(state["size"]), _state(state))
        for path, state in zip(paths, states, strict=True)
    ]


def _state(info: dict[str, Any]) -> str:
    return str([info.get(name) for name in ("ETag", "etag", "LastModified", "mtime", "ino")])


def expanded(pattern: str) -> list[str]:
    """Expands braces as a shell does: `{08..10}` -> 08, 09, 10; `{train,val}` -> train, val. They do not nest."""
    plain = re.split(r"\{([^{}]*(?:,|\.\.)[^{}]*)\}", pattern)
    parts = [_choices(part) if place % 2 else [part] for place, part in enumerate(plain)]
    return ["".join(chosen) for chosen in product(*parts)]


def _choices(inside: str) -> list[str]:
    if match := re.fullmatch(r"(\d+)\.\.(\d+)", inside):
        first, last = match.groups()
        return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]
    return inside.split(",")


def _names(path: str) -> list[str]:
    names = [composed(line.strip()) for line in read_text(os.path.expanduser(path)).splitlines() if line.strip()]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"{path}: names {some(twice)} twice; expected another name for each class")
    return names


class _Image(NamedTuple):
    """Where an image is, and its class as it is written."""

    key: str
    offset: int
    length: int
    checksum: int
    label: str


def _write_index(root: str, tars: list[Tar], label: str, names: list[str] | None, folder: Path) -> None:
    """Writes what `data pack` writes next to shards; the manifest last."""
    reported, found = time.monotonic(), []
    with ThreadPoolExecutor(THREADS) as pool:
        for listed in pool.map(partial(_read, folder, label), tars):
            found.append(listed)
            if time.monotonic() - reported > REPORTED_EVERY:
                log.info(f"{root}: {sum(map(len, found)):,} images in {len(found)} of {len(tars)} tars so far")
                reported = time.monotonic()
    images = _set_of(root, tars, found, names)
    members = ((image.key, number, *image[1:4]) for number, each in enumerate(found) for image in each)
    files, more = index_files(images, members)
    manifest = Manifest(
        "classification",
        "WebDataset",
        images.classes,
        {split: len(listing) for split, listing in images.splits.items()},
        None,
        [tar.shard for tar in tars],
        {name: sha256(content).hexdigest() for name, content in files.items()},
        more,
    )
    for name, content in {**files, MANIFEST: manifest.text()}.items():
        with atomic_create(folder / name) as file:
            file.write(content)


def _read(folder: Path, label: str, tar: Tar) -> list[_Image]:
    """Lists the images of a tar, in their order."""
    if is_url(tar.place):
        ShardCache(folder).fetch([tar.shard])
    found: list[_Image] = []
    path = f"{tar.place}/{tar.name}"
    try:
        with tarfile.open(folder / tar.shard.name, "r:") as file:
            for sample, members in groupby(_members(file), lambda member: _parts(member.name)[0]):
                by_ending = {_parts(member.name)[1]: member for member in members}
                if image := next((ending for ending in by_ending if "." not in ending and is_image(f".{ending}")), ""):
                    member, content = by_ending[image], _content(file, by_ending[image])
                    name = _label(file, by_ending, label, f"{path}/{sample}")
                    key = f"{tar.name}/{member.name}"
                    found.append(_Image(key, member.offset_data, member.size, zlib.crc32(content), name))
            _check_end(file, path)
    except (tarfile.TarError, OSError) as error:
        raise DataError(
            f"{path}: is no tar that can be read in place ({error}); expected a whole one that is not compressed"
        ) from None
    return found


def _check_end(file: tarfile.TarFile, path: str) -> None:
    """Raises DataError unless a tar whose members are read has only zeros after them.

    `tarfile` takes a damaged header for the end. A tar without zeros is refused, too: a program that never closes it
    writes one, but one that was cut between two members looks the same. POSIX demands two blocks of zeros; the first
    already shows that no member is missing.
    """
    assert file.fileobj is not None, "it is open"
    end = file.offset
    file.fileobj.seek(end)
    block = file.fileobj.read(tarfile.BLOCKSIZE)
    if len(block) < tarfile.BLOCKSIZE:
        raise DataError(
            f"{path}: ends at byte {end:,} without the zeros that end a tar, as one that was cut or never closed; "
            "write or download it again"
        )
    while block:
        if any(block):
            raise DataError(
                f"{path}: is damaged at byte {end:,}, where the header of a file or only zeros should follow; "
                "write or download it again"
            )
        block = file.fileobj.read(CHUNK)


def _members(file: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yields the files, without those about the tar itself."""
    while (member := file.next()) is not None:
        if member.isreg() and not posixpath.basename(member.name).startswith("__"):
            yield member


def _parts(name: str) -> tuple[str, str]:
    """`train/0001.seg.png` -> (`train/0001`, `seg.png`): the name of a sample, and the ending of one of its files."""
    folder, base = posixpath.split(name)
    sample, _, ending = base.partition(".")
    return posixpath.join(folder, sample), ending.lower()


def _content(file: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    opened = file.extractfile(member)
    assert opened is not None, "it is a file"
    return opened.read()


def _label(file: tarfile.TarFile, by_ending: dict[str, tarfile.TarInfo], label: str, sample: str) -> str:
    ending, _, field = label.partition(".")
    if ending not in by_ending:
        raise DataError(
            f"{sample}: has no .{ending} with its class (data.label), but {', '.join(by_ending)}; expected an ending "
            "as cls or txt, or json.FIELD for a field of a JSON"
        )
    text = _content(file, by_ending[ending]).decode(errors="replace").strip()
    if not field:
        return composed(text)
    try:
        return composed(str(json.loads(text)[field]))
    except (ValueError, LookupError, TypeError):
        raise DataError(
            f"{sample}.{ending}: has no field {field!r} (data.label); it begins with {text[:60]!r}"
        ) from None


def _set_of(root: str, tars: list[Tar], found: list[list[_Image]], names: list[str] | None) -> ClassSet:
    """Returns the set. found: the images of each tar. names: of the classes that are numbers."""
    labels = {image.label for images in found for image in images}
    if not labels:
        raise DataError(f"{root}: its tars hold no images; expected samples of files such as 0001.jpg and 0001.cls")
    if all(label.isdecimal() for label in labels):
        index = {label: int(label) for label in labels}
        classes = names or list(map(str, range(max(index.values()) + 1)))
        if max(index.values()) >= len(classes):
            raise DataError(f"{root}: has a class {max(index.values())}; data.class_names has {len(classes)} names")
    elif names is None:
        classes = sorted(labels)
        index = {label: place for place, label in enumerate(classes)}
    else:
        raise DataError(f"{root}: its classes are names ({some(sorted(labels))}), so data.class_names is not needed")
    splits = {}
    for split in ("train", "val", "test"):
        of_split = [image for tar, images in zip(tars, found, strict=True) if tar.split == split for image in images]
        if of_split:
            targets = [index[image.label] for image in of_split]
            splits[split] = Listing.of(root, [image.key for image in of_split], targets)
    return ClassSet(root, classes, splits)
