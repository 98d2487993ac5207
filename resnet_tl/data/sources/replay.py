"""Old images that training on new classes replays: a folder of classes that the network knows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from resnet_tl.data.listings.listing import ClassSet, Listing
from resnet_tl.data.sources.class_names import composed, some
from resnet_tl.data.sources.folder import read_folder
from resnet_tl.data.sources.tree import real_paths
from resnet_tl.errors import DataError


def with_replay(read: Callable[[Sequence[str]], ClassSet], folder: str | None) -> ClassSet:
    """Returns the set that `read` lists, with the images of a folder as its `replay`.

    Args:
        read: takes the names of the folder's classes, of which the set need not have training images.
        folder: `folder/<class>/...` or `folder/{train,...}/<class>/...`, whose training images count; or a zip of that.
            None: nothing is replayed.

    Raises:
        DataError: as `read_folder`; an image is in both; the set has several classes for each image, or is limited to
            classes without some of the folder's.
    """
    if folder is None:
        return read(())
    old = read_folder(folder, least=1).usable()
    images = read(old.classes)
    if images.multi_label:
        raise DataError(
            f"data.replay is {folder}, whose images have one class each, but those of {images.root} have any number; "
            "list the old images in its table"
        )
    if unknown := sorted(set(map(composed, old.classes)) - set(map(composed, images.classes))):
        raise DataError(f"data.replay: {folder} has the classes {some(unknown)}, which data.classes does not name")
    if "train" not in old.splits:
        raise DataError(f"data.replay: {folder} has no training images; expected {folder}/<class>/*.jpg")
    index = {composed(name): k for k, name in enumerate(images.classes)}
    places = np.array([index[composed(name)] for name in old.classes], np.int32)
    listing = old.splits["train"]
    assert isinstance(listing.targets, np.ndarray)
    listing = Listing.of(listing.root, listing.keys(), places[listing.targets].tolist())
    _check_apart(images, listing, folder)
    return replace(images, replay=listing, notes=[*images.notes, *old.notes])


def _check_apart(images: ClassSet, replay: Listing, folder: str) -> None:
    """Raises DataError where an image of the folder is one of the set, which could be validated on."""
    paths = {path for listing in images.splits.values() for path in real_paths(listing.root, listing.keys())}
    for path in real_paths(replay.root, replay.keys()):
        if path in paths:
            raise DataError(
                f"data.replay: {path} in {folder} is an image of {images.root}, too; expected a folder of other images"
            )
