"""Images in folders named after their classes, or in a zip of such folders, read in place."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from resnet_tl.data.listings.faults import refuse_or_keep
from resnet_tl.data.listings.kept import kept_listing
from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.sources.class_names import ALL_CLASSES, check_known, composed, order_notes, some
from resnet_tl.data.sources.empty_val import refuse_empty_val
from resnet_tl.data.sources.folder_names import kinds_of_file, split_of
from resnet_tl.data.sources.forms import other_form
from resnet_tl.data.sources.parquet import saved_by_datasets
from resnet_tl.data.sources.tree import SUFFIXES, Tree, decisive_paths, is_image, walk
from resnet_tl.errors import DataError, did_you_mean


def read_folder(
    root: str,
    classes: Sequence[str] | None = None,
    also: Sequence[str] = (),
    *,
    least: int = 2,
    cache: Path | None = None,
) -> ClassSet:
    """Lists `root/<class>/...` or `root/{train,val,test}/<class>/...`; `root` is a folder or a zip of one.

    Classes are sorted by name, unless `classes` (a checkpoint's) are given: then there may be no other ones.
    Names are compared in Unicode's composed form (NFC), in which most systems write them and macOS does not. Hidden and
    system files are ignored; other files that are not images are counted in the notes.

    Args:
        also: further classes, of which there need be no images here.
        least: number of classes that there must be.
        cache: folder in which the listing of a large set is kept, see `kept_listing`; None: none is.

    Raises:
        DataError: there is no such folder, its layout is another one, a class is empty, there are fewer than `least`,
            or the splits' classes differ.
    """

    def read() -> tuple[ClassSet, list[str]]:
        tree = walk(root)
        return _listed(tree, classes, also, least), decisive_paths(tree)

    if cache is None:
        return read()[0]
    options = [None if classes is None else list(classes), list(also), least]
    return kept_listing(["folder", root, os.path.abspath(os.path.expanduser(root)), *options, SUFFIXES], read, cache)


def _listed(tree: Tree, classes: Sequence[str] | None, also: Sequence[str], least: int) -> ClassSet:
    tree = _unwrapped(tree)
    images = sorted(filter(is_image, tree.files))
    if not images and (saved := saved_by_datasets(tree)):
        raise DataError(saved)
    if not images:
        raise DataError(
            f"{tree.root} holds no images{_endings(tree.files)}; expected {_layout(tree.root)}"
            + other_form(tree, "classification")
        )
    notes = []
    if len(images) < len(tree.files):
        notes.append(f"{tree.root}: skipped files that are not images{_endings(tree.files)}")
    prefixes = _labelled_splits(tree.root, images, _split_prefixes(tree.root, images, notes), notes)
    if inner := _splits_in_classes(tree, images) if prefixes == {"train": ""} else []:
        raise DataError(
            f"{tree.root} has the splits {some(inner)} in each of its class folders; expected {_layout(tree.root)}"
        )
    if "" not in prefixes.values():
        refuse_empty_val(tree, prefixes, images)
    found = {split: _by_class(tree, images, prefix, notes) for split, prefix in prefixes.items()}
    if kinds := kinds_of_file({name for by_class in found.values() for name in by_class}):
        raise DataError(
            f"{tree.root} has folders that are named after kinds of files ({some(kinds)}), not after classes; expected "
            f"{_layout(tree.root)}{other_form(tree, 'classification')}"
        )
    names = _common_classes(tree.root, found, classes, [*map(composed, also)], least)
    notes += [] if classes else order_notes(tree.root, names)
    index = {composed(name): i for i, name in enumerate(names)}
    splits = {}
    for split, by_class in found.items():
        keys = [key for keys in by_class.values() for key in keys]
        targets = [index[name] for name, keys in by_class.items() for _ in keys]
        splits[split] = Listing.of(tree.root, keys, targets)
    return ClassSet(tree.root, names, splits, notes=notes)


def _unwrapped(tree: Tree) -> Tree:
    """Enters the single top folder of a zip: zips are often made of a folder and not of its content.

    A top folder that is a split, or contains images itself and is therefore a class, is not entered.
    """
    if not tree.root.endswith(".zip"):
        return tree
    top = ""
    images = list(filter(is_image, tree.files))
    while len(firsts := {name[len(top) :].partition("/")[0] for name in images}) == 1:
        (first,) = firsts
        if split_of(first) or any("/" not in name[len(top + first) + 1 :] for name in images):
            break
        top += first + "/"
    files = [name[len(top) :] for name in tree.files if name.startswith(top)]
    folders = {name[len(top) :] for name in tree.folders if name.startswith(top)}
    return Tree(f"{tree.root}/{top}".rstrip("/"), files, folders)


def _split_prefixes(root: str, images: list[str], notes: list[str]) -> dict[str, str]:
    """`{"train": "train/", "val": "valid/"}`, or `{"train": ""}` when the classes lie directly under the root."""
    tops = {path.partition("/")[0] for path in images if "/" in path}
    named = sorted(top for top in tops if split_of(top))
    others = sorted(tops - set(named))
    holding = {path.partition("/")[0] for path in images if path.count("/") == 1}
    if not named or (others and holding.issuperset(named)):  # a class may be called "train"
        return {"train": ""}
    if others and len(named) == 1:
        raise DataError(
            f"{root} holds the split {named[0]!r} next to other folders of images ({some(others)}); "
            f"expected {_layout(root)}"
        )
    if others:
        notes.append(f"{root}: skipped the folders {some(others)} next to the splits {some(named)}")
    prefixes = {split: top + "/" for top in named if (split := split_of(top))}
    if len(prefixes) < len(named):
        raise DataError(f"{root} holds the same split twice ({some(named)}); expected one folder each")
    return prefixes


def _splits_in_classes(tree: Tree, images: list[str]) -> list[str]:
    """Returns the folders of splits that all class folders have; fewer than two are none."""
    if not any(split_of(folder.rpartition("/")[2]) for folder in tree.folders):  # far fewer than files
        return []
    inner: dict[str, set[str]] = defaultdict(set)
    for top, *rest in (path.split("/") for path in images):
        inner[top].update(name for name in rest[:-1][:1] if split_of(name))
    common = sorted(set.intersection(*inner.values()))
    return common if len(common) > 1 else []


def _labelled_splits(root: str, images: list[str], prefixes: dict[str, str], notes: list[str]) -> dict[str, str]:
    """Returns the splits without a `test` of images alone, as competitions publish it."""
    test = [key for key in images if key.startswith(prefixes.get("test", "/"))]
    if len(prefixes) == 1 or not test or any(key.count("/") > 1 for key in test):
        return prefixes
    notes.append(f"{root}: skipped {prefixes['test']}, which has images ({len(test)}) but no class folders")
    return {split: prefix for split, prefix in prefixes.items() if split != "test"}


def _by_class(tree: Tree, images: list[str], prefix: str, notes: list[str]) -> dict[str, list[str]]:
    """Returns the keys of the images of each class, for the part of the tree under `prefix`."""
    start = len(prefix)
    classes: dict[str, list[str]] = {}
    strays = []
    for key in images:
        if not key.startswith(prefix):
            continue
        name, slash, _ = key[start:].partition("/")
        if slash:
            classes.setdefault(composed(name), []).append(key)
        else:
            strays.append(key)
    if not classes:
        where = f"{tree.root}/{prefix}".rstrip("/")
        raise DataError(
            f"{where} holds images ({len(strays)}) but no class folders; expected {where}/<class>/*.jpg"
            + other_form(tree, "classification")
        )
    if strays:
        notes.append(f"{tree.root}: skipped images outside of class folders ({len(strays)}, first {strays[0]})")
    folders = {path[start:] for path in tree.folders if path.startswith(prefix) and "/" not in path[start:]}
    if empty := sorted(name for name in folders - {""} if composed(name) not in classes):
        refuse_or_keep(
            f"the class folder {tree.root}/{prefix}{empty[0]} holds no images"
            + (other_form(tree, "classification") or "; fill it or remove it"),
            {f"{tree.root}/{prefix}{name}: is a class folder without images": "" for name in empty},
        )
    return dict(sorted(classes.items()))


def _common_classes(
    root: str, found: dict[str, dict[str, list[str]]], known: Sequence[str] | None, also: Sequence[str], least: int
) -> list[str]:
    """Returns the class names after checking that they include every split's; `found` loses classes that do not."""
    if known is not None:
        check_known(root, {name for by_class in found.values() for name in by_class}, [*map(composed, known)])
        return list(known)
    first = "train" if "train" in found else next(iter(found))
    names = sorted({*found[first], *also})
    for split, by_class in found.items():
        for unknown in sorted(by_class.keys() - set(names)):
            near = did_you_mean(unknown, names) or ALL_CLASSES
            refuse_or_keep(f"{root} has the class {unknown!r} in its {split} split, but not in {first}{near}")
            del by_class[unknown]
    if len(names) < least:
        raise DataError(
            f"{root} has only one class, {names[0]!r}{_deeper(found[first][names[0]])}; expected two or more"
        )
    return names


def _deeper(keys: list[str]) -> str:
    """Returns a hint where the only class folder contains what look like class folders."""
    folders = sorted({key.rsplit("/", 1)[0] for key in keys})
    return f" (with folders {some(folders)}: is the root one level deeper?)" if len(folders) > 1 else ""


def _layout(root: str) -> str:
    return f"{root}/<class>/*.jpg or {root}/{{train,val,test}}/<class>/*.jpg"


def _endings(files: list[str]) -> str:
    """Returns the endings of files that are not images, as ` (.txt 3, .mov 1)`."""
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in files if not is_image(path))
    return f" ({', '.join(f'{ending} {n}' for ending, n in endings.most_common(5))})" if endings else ""
