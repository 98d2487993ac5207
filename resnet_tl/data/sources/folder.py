"""Pictures in folders named after their classes, or in a zip of such folders, read in place."""

from __future__ import annotations

import os
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from resnet_tl.data.listing import Listing, PictureSet
from resnet_tl.errors import DataError, did_you_mean

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif", ".jp2", ".ppm"),
    *(".pgm", ".pbm", ".avif", ".npy"),
)
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
SYSTEM_FILES = frozenset(["__MACOSX", "Thumbs.db", "desktop.ini", "@eaDir", "$RECYCLE.BIN"])


def read_folder(root: str, classes: Sequence[str] | None = None) -> PictureSet:
    """List `root/<class>/...` or `root/{train,val,test}/<class>/...`; `root` is a folder or a zip of one.

    Classes are sorted by name, unless `classes` (a checkpoint's) gives them: then the folders must be just these.
    Hidden and system files are passed over, other files that are no pictures counted in the notes.

    Raises:
        DataError: no such folder, none of the layouts, an empty class, fewer than two, classes that do not agree.
    """
    tree = _unwrapped(walk(root))
    pictures = sorted(filter(is_picture, tree.files))
    if not pictures:
        raise DataError(f"{tree.root} holds no pictures{_endings(tree.files)}; expected {_layout(tree.root)}")
    notes = []
    if len(pictures) < len(tree.files):
        notes.append(f"{tree.root}: left out files that are no pictures{_endings(tree.files)}")
    prefixes = _split_prefixes(tree.root, pictures, notes)
    found = {split: _by_class(tree, pictures, prefix, notes) for split, prefix in prefixes.items()}
    names = _agree(tree.root, found, classes)
    index = {name: i for i, name in enumerate(names)}
    splits = {}
    for split, by_class in found.items():
        keys = [key for keys in by_class.values() for key in keys]
        targets = [index[name] for name, keys in by_class.items() for _ in keys]
        splits[split] = Listing.of(tree.root, keys, targets)
    return PictureSet(tree.root, names, splits, notes=notes)


class Tree(NamedTuple):
    """What lies under `root`, without hidden and system files."""

    root: str
    files: list[str]
    """Paths below `root`, with `/`."""
    folders: set[str]


def walk(root: str) -> Tree:
    """Everything under a folder, a zip (by its central directory) or a folder in a zip (`a.zip/b`), unsorted.

    Raises:
        DataError: it does not exist, is none of these, or cannot be read.
    """
    root = os.path.expanduser(root).rstrip("/") or "/"
    try:
        if os.path.isdir(root):
            files: list[str] = []
            folders: set[str] = set()
            _scan(root, "", files, folders)
            return Tree(root, files, folders)
        archive, found, inside = (root + "/").partition(".zip/")
        if found and os.path.exists(archive + ".zip"):
            return _zip_tree(archive + ".zip", inside)
        if os.path.exists(root):
            raise DataError(f"{root} is a file; expected a folder of pictures or a .zip of one")
        raise missing(root)
    except PermissionError as error:
        raise DataError(f"{error.filename or root} cannot be read: permission denied") from None


def is_picture(path: str) -> bool:
    return path.lower().endswith(SUFFIXES)


def missing(path: str) -> DataError:
    """The error for a path that does not exist, with the nearest name that does."""
    lost = Path(path)
    while not lost.parent.exists():
        lost = lost.parent
    if lost.parent.is_file():
        return DataError(f"{path} does not exist ({lost.parent} is a file)")
    near = did_you_mean(lost.name, (entry.name for entry in lost.parent.iterdir()))
    where = "" if str(lost) == path else f" ({lost.parent} has no {lost.name!r})"
    return DataError(f"{path} does not exist{where}{near}")


def _scan(root: str, below: str, files: list[str], folders: set[str]) -> None:
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            if _hidden(entry.name):
                continue
            path = below + entry.name
            if entry.is_dir():
                folders.add(path)
                _scan(root, path + "/", files, folders)
            else:
                files.append(path)


def _zip_tree(archive: str, inside: str) -> Tree:
    """`inside` is "" or ends in `/`."""
    try:
        with zipfile.ZipFile(archive) as file:
            names = file.namelist()
    except zipfile.BadZipFile:
        raise DataError(f"{archive} is damaged or no zip; expected a folder of pictures or a zip of one") from None
    names = [name[len(inside) :] for name in names if name.startswith(inside) and name != inside]
    if not names:
        raise DataError(f"{archive} holds no folder {inside.rstrip('/')!r}")
    names = [name for name in names if not any(map(_hidden, name.rstrip("/").split("/")))]
    files = [name for name in names if not name.endswith("/")]
    folders = {name.rstrip("/") for name in names if name.endswith("/")}
    folders.update(parent for name in files for parent in _parents(name))
    return Tree(f"{archive}/{inside}".rstrip("/"), files, folders)


def _unwrapped(tree: Tree) -> Tree:
    """A zip is often made of a folder and not of its content: the tree in that single top folder, if so.

    A top folder that is a split, or holds pictures itself and so is a class, stays.
    """
    if not tree.root.endswith(".zip"):
        return tree
    top = ""
    pictures = list(filter(is_picture, tree.files))
    while len(firsts := {name[len(top) :].partition("/")[0] for name in pictures}) == 1:
        (first,) = firsts
        if first.lower() in SPLITS or any("/" not in name[len(top + first) + 1 :] for name in pictures):
            break
        top += first + "/"
    files = [name[len(top) :] for name in tree.files if name.startswith(top)]
    folders = {name[len(top) :] for name in tree.folders if name.startswith(top)}
    return Tree(f"{tree.root}/{top}".rstrip("/"), files, folders)


def _split_prefixes(root: str, pictures: list[str], notes: list[str]) -> dict[str, str]:
    """`{"train": "train/", "val": "valid/"}`, or `{"train": ""}` when the classes lie directly under the root."""
    tops = {path.partition("/")[0] for path in pictures if "/" in path}
    named = sorted(top for top in tops if top.lower() in SPLITS)
    others = sorted(tops - set(named))
    holding = {path.partition("/")[0] for path in pictures if path.count("/") == 1}
    if not named or (others and holding.issuperset(named)):  # a class may well be called "train"
        return {"train": ""}
    if others and len(named) == 1:
        raise DataError(
            f"{root} holds the split {named[0]!r} beside other folders of pictures ({_some(others)}); "
            f"expected {_layout(root)}"
        )
    if others:
        notes.append(f"{root}: left out the folders {_some(others)} beside the splits {_some(named)}")
    prefixes = {SPLITS[top.lower()]: top + "/" for top in named}
    if len(prefixes) < len(named):
        raise DataError(f"{root} holds the same split twice ({_some(named)}); expected one folder each")
    return prefixes


def _by_class(tree: Tree, pictures: list[str], prefix: str, notes: list[str]) -> dict[str, list[str]]:
    """Class name to the keys of its pictures, for the part of the tree under `prefix`."""
    start = len(prefix)
    classes: dict[str, list[str]] = {}
    strays = []
    for key in pictures:
        if not key.startswith(prefix):
            continue
        name, slash, _ = key[start:].partition("/")
        if slash:
            classes.setdefault(name, []).append(key)
        else:
            strays.append(key)
    if not classes:
        where = f"{tree.root}/{prefix}".rstrip("/")
        raise DataError(f"{where} holds pictures ({len(strays)}) but no class folders; expected {where}/<class>/*.jpg")
    if strays:
        notes.append(f"{tree.root}: left out pictures in no class folder ({len(strays)}, first {strays[0]})")
    folders = {path[start:] for path in tree.folders if path.startswith(prefix) and "/" not in path[start:]}
    if empty := sorted(folders - classes.keys() - {""}):
        raise DataError(f"the class folder {tree.root}/{prefix}{empty[0]} holds no pictures; fill it or remove it")
    return dict(sorted(classes.items()))


def _agree(root: str, found: dict[str, dict[str, list[str]]], known: Sequence[str] | None) -> list[str]:
    """The class names, once every split's are among them."""
    if known is not None:
        check_known(root, {name for by_class in found.values() for name in by_class}, known)
        return list(known)
    first = "train" if "train" in found else next(iter(found))
    names = sorted(found[first])
    for split, by_class in found.items():
        if strange := sorted(by_class.keys() - set(names)):
            raise DataError(
                f"{root} has the class {strange[0]!r} in its {split} split, but not in {first}"
                f"{did_you_mean(strange[0], names)}"
            )
    if len(names) < 2:
        raise DataError(
            f"{root} has only one class, {names[0]!r}{_deeper(found[first][names[0]])}; expected two or more"
        )
    return names


def check_known(root: str, found: set[str], known: Sequence[str]) -> None:
    """That the classes `found` are those of the checkpoint, `known`."""
    if strange := sorted(found - set(known)):
        raise DataError(
            f"{root} has classes that the checkpoint does not know ({_some(strange)}); its {len(known)} classes are "
            f"{_some(known)}"
        )
    if lacking := [name for name in known if name not in found]:
        raise DataError(
            f"{root} has no pictures of {len(lacking)} of the checkpoint's {len(known)} classes ({_some(lacking)})"
        )


def _deeper(keys: list[str]) -> str:
    """A hint, when the one class folder holds what looks like class folders."""
    folders = sorted({key.rsplit("/", 1)[0] for key in keys})
    return f" (with folders {_some(folders)}: is the root one level deeper?)" if len(folders) > 1 else ""


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in SYSTEM_FILES


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path


def _layout(root: str) -> str:
    return f"{root}/<class>/*.jpg or {root}/{{train,val,test}}/<class>/*.jpg"


def _endings(files: list[str]) -> str:
    """` (.txt 3, .heic 1)`: the endings of the files that are no pictures."""
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in files if not is_picture(path))
    return f" ({', '.join(f'{ending} {n}' for ending, n in endings.most_common(5))})" if endings else ""


def _some(names: Sequence[str]) -> str:
    """The first few, quoted."""
    return ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
