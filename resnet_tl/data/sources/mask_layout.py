"""Where the images and the masks of a set are: by the names of folders or files, or by globs."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Literal, NamedTuple, TypeAlias

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import FOLDER_SPLITS
from resnet_tl.data.sources.tree import Tree, is_image
from resnet_tl.errors import DataError, RecipeError

IMAGES = ("images", "image", "imgs", "img", "img_dir", "jpegimages", "inputs", "input")
"""Words for folders of images, the first one that there is."""

MASKS = (
    *("masks", "mask", "labels", "label", "trimaps", "trimap"),
    *("annotations", "annotation", "annots", "annot", "ann", "ann_dir"),
    *("segmentationclasspng", "segmentationclass", "segmentations", "segmentation", "seg"),
    *("groundtruth", "ground_truth", "gt", "targets", "target"),
)
"""The same for masks."""

SPLIT_WORDS = {**FOLDER_SPLITS, "tr": "train", "ts": "test"}
"""Words for splits in the names of folders, nnU-Net's among them."""

Role: TypeAlias = Literal["image", "mask"]


class Place(NamedTuple):
    """A file. word: that of its folder, "" for none. split: of its folder, "" for none. name: its path without folders
    of roles and splits and without its ending."""

    path: str
    role: Role | None
    word: str
    split: str
    name: str


class Found(NamedTuple):
    """The images and masks of a set."""

    images: list[Place]
    masks: list[Place]


def _alternatives(words: Iterable[str]) -> str:
    return "|".join(sorted(words, key=len, reverse=True))


FOLDER = re.compile(
    rf"(?P<before>{_alternatives(SPLIT_WORDS)})?[_\- ]?"
    rf"((?P<image>{_alternatives(IMAGES)})|(?P<mask>{_alternatives(MASKS)}))?"
    rf"[_\- ]?(?P<after>{_alternatives(SPLIT_WORDS)})?",
    re.IGNORECASE,
)
"""`images`, `train`, `train_masks`, `labels-val`, `trainannot`, `imagesTr`."""

MASK_FILE = re.compile(rf".*[_\-. ]({_alternatives(MASKS)})|({_alternatives(MASKS)})[_\-. ].*", re.IGNORECASE)
"""`7_mask`, `label-7`."""


def find_files(tree: Tree, images: str | None, masks: str | None, findings: Findings) -> Found:
    """Returns the images and masks below a root.

    Args:
        tree: the files.
        images, masks: globs below the root; None: found by the names of folders (`images/` and `masks/`,
            `train_images/` and `train_masks/`, `images/training/` and `annotations/training/` ...), or of files in one
            folder.
        findings: receives a note about what was skipped.

    Raises:
        DataError: there are none of one kind.
        RecipeError: one glob without the other, or with another number of wildcards.
    """
    if images is not None or masks is not None:
        return _globbed(tree, images, masks)
    places = [place_of(path) for path in sorted(filter(is_image, tree.files))]
    of_images = _of_first_word(places, "image", IMAGES, findings)
    of_masks = _of_first_word(places, "mask", MASKS, findings)
    unnamed = [place for place in places if place.role is None]
    if not of_masks:
        candidates = of_images or unnamed
        named = [MASK_FILE.fullmatch(posixpath.basename(place.name)) is not None for place in candidates]
        of_masks = [place for place, is_mask in zip(candidates, named, strict=True) if is_mask]
        of_images = [place for place, is_mask in zip(candidates, named, strict=True) if not is_mask]
    of_images = of_images or unnamed
    for kind, found in (("images", of_images), ("masks", of_masks)):
        if not found:
            raise DataError(
                f"{tree.root} has no folder of {kind}: expected {tree.root}/{{train,val}}/{{images,masks}}, or globs "
                "in data.images and data.masks"
            )
    return Found(of_images, of_masks)


def place_of(path: str) -> Place:
    """Returns what the folders of a file say about it."""
    folder, file = posixpath.split(path)
    role, word, split, rest = _words_of(folder)
    return Place(path, role, word, split, posixpath.join(rest, os.path.splitext(file)[0]))


@lru_cache(1024)
def _words_of(path: str) -> tuple[Role | None, str, str, str]:
    """Returns the role, its word and the split that a folder's path names, and the rest of it."""
    role: Role | None = None
    word = split = ""
    rest = []
    for folder in filter(None, path.split("/")):
        if match := FOLDER.fullmatch(folder):
            split = SPLIT_WORDS.get((match["before"] or match["after"] or "").lower(), split)
            if match["image"] or match["mask"]:
                role, word = "image" if match["image"] else "mask", (match["image"] or match["mask"]).lower()
        else:
            rest.append(folder)
    return role, word, split, "/".join(rest)


def _of_first_word(places: Sequence[Place], role: Role, words: Sequence[str], findings: Findings) -> list[Place]:
    """Returns the files of a role, of the first of its words: a set may have masks in `masks/` and in `labels/`."""
    of_role = [place for place in places if place.role == role]
    found = sorted({place.word for place in of_role}, key=words.index)
    if len(found) > 1:
        findings.note(f"folders of other {role}s than {found[0]}/, skipped", found[1:])
    return [place for place in of_role if place.word == found[0]]


def _globbed(tree: Tree, images: str | None, masks: str | None) -> Found:
    if images is None or masks is None:
        raise RecipeError(
            f"data.{'masks' if masks is None else 'images'} is missing; expected globs in both data.images and "
            "data.masks"
        )
    if len(_WILDCARD.findall(images)) != len(_WILDCARD.findall(masks)):
        raise RecipeError(
            f"data.images {images!r} and data.masks {masks!r} have different numbers of wildcards; expected as many, "
            "because an image and its mask match them with the same text: images/*.jpg, masks/*_mask.png"
        )
    return Found(*(_matching(tree, glob, f"data.{key}") for key, glob in (("images", images), ("masks", masks))))


_WILDCARD = re.compile(r"\*\*/|\*|\?")


def _matching(tree: Tree, glob: str, key: str) -> list[Place]:
    """Returns the files that match a glob; their names are the text of the wildcards."""
    parts = {"**/": "((?:[^/]+/)*)", "*": "([^/]*)", "?": "([^/])"}
    fixed = map(re.escape, _WILDCARD.split(glob))
    wild = [parts[each] for each in _WILDCARD.findall(glob)]
    pattern = re.compile("".join(chain.from_iterable(zip(fixed, [*wild, ""], strict=True))))
    found = []
    for path in sorted(tree.files):
        if match := pattern.fullmatch(path):
            texts = [os.path.splitext(text)[0] if is_image(text) else text for text in match.groups()]
            found.append(Place(path, None, "", place_of(path).split, "/".join(texts)))
    if not found:
        raise DataError(f"{tree.root}: no file matches {key} {glob!r}")
    return found
