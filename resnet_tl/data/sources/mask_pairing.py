"""Images and masks paired by their names: equal ones, or those that differ by one prefix or suffix in the whole set."""

from __future__ import annotations

import os
import posixpath
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_layout import Found, Place
from resnet_tl.data.sources.mask_scan import Pair
from resnet_tl.errors import DataError

COMPARED = 200
"""Names of images and of masks that are compared to find the prefix or suffix by which they differ."""


class Affixes(NamedTuple):
    """How names of an image and its mask differ: `image` and `mask` are what either has before or after their common
    text."""

    before: bool
    image: str
    mask: str

    def core(self, name: str, affix: str) -> str | None:
        """Returns a name without the affix; None: it has none."""
        folder, stem = posixpath.split(name)
        if self.before and stem.startswith(affix):
            return posixpath.join(folder, stem[len(affix) :])
        if not self.before and stem.endswith(affix):
            return posixpath.join(folder, stem[: len(stem) - len(affix)])
        return None

    def __str__(self) -> str:
        image, mask = (f"{affix}*" if self.before else f"*{affix}" for affix in (self.image, self.mask))
        return f"{mask} for {image}"


SAME = Affixes(False, "", "")


def pair_up(root: str, found: Found, findings: Findings) -> dict[str, list[Pair]]:
    """Returns the pairs of each split; files without a partner become faults.

    Images without a split, where others have one, and a test split without masks are skipped with a note. Without any
    split all are `train`.

    Raises:
        DataError: masks could be those of an image by more than one suffix.
    """
    affixes = _affixes(root, [place.name for place in found.images], [place.name for place in found.masks])
    if affixes != SAME:
        findings.notes.append(f"{root}: masks are paired by name, {affixes}")
    splits = sorted({place.split for place in (*found.images, *found.masks)} - {""})
    strays = [place.path for place in found.images if not place.split] if splits else []
    findings.note(f"images outside of {', '.join(splits)}, skipped", strays)
    pairs = {}
    for split in splits or [""]:
        images, masks = ([place for place in places if place.split == split] for places in found)
        if split == "test" and not masks:
            findings.notes.append(f"{root}: the images of test have no masks, skipped")
        else:
            pairs[split or "train"] = _pairs(root, images, masks, affixes, findings)
    return pairs


def _pairs(
    root: str, images: Sequence[Place], masks: Sequence[Place], affixes: Affixes, findings: Findings
) -> list[Pair]:
    of_images = _by_core(root, images, affixes, affixes.image, findings)
    of_masks = _by_core(root, masks, affixes, affixes.mask, findings)
    for core in sorted(of_images.keys() - of_masks.keys()):
        _add_fault(root, of_images[core], f"has no mask{_like(masks, core, affixes)}", findings)
    for core in sorted(of_masks.keys() - of_images.keys()):
        _add_fault(root, of_masks[core], "is a mask without an image", findings)
    return [(of_images[core], of_masks[core]) for core in sorted(of_images.keys() & of_masks.keys())]


def _like(masks: Sequence[Place], core: str, affixes: Affixes) -> str:
    """The path that a missing mask would have, next to the first of the others: ` train/masks/7.png`."""
    if not masks:
        return ""
    folder, file = posixpath.split(masks[0].path)
    stem = posixpath.basename(core)
    stem = affixes.mask + stem if affixes.before else stem + affixes.mask
    return f" {posixpath.join(folder, stem)}{os.path.splitext(file)[1]}"


def _by_core(root: str, places: Iterable[Place], affixes: Affixes, affix: str, findings: Findings) -> dict[str, str]:
    """Returns the path of each file by its name without the affix; one without it keeps its name."""
    paths: dict[str, str] = {}
    for place in places:
        core = affixes.core(place.name, affix)
        core = place.name if core is None else core
        if core in paths:
            _add_fault(root, place.path, f"has the same stem as {paths[core]}", findings)
        paths[core] = place.path
    return paths


def _add_fault(root: str, path: str, fault: str, findings: Findings) -> None:
    findings.faults.append(f"{root}/{path}: {fault}")
    findings.images[f"{root}/{path}"] = path


def _affixes(root: str, images: Sequence[str], masks: Sequence[str]) -> Affixes:
    """Returns the affixes that pair most names; equal names, if they pair half of the images or of the masks."""
    if 2 * len(set(images) & set(masks)) >= min(len(images), len(masks)):
        return SAME
    votes: Counter[Affixes] = Counter()
    of_images = [posixpath.split(name) for name in sorted(images)[:COMPARED]]
    for folder, mask in (posixpath.split(name) for name in sorted(masks)[:COMPARED]):
        for other, image in of_images:
            if folder == other:
                votes.update(_differences(image, mask))
    paired = [(affixes, _paired(affixes, images, masks)) for affixes, _ in votes.most_common(8)]
    paired.sort(key=lambda each: (-each[1], len(each[0].image) + len(each[0].mask)))
    if not paired or paired[0][1] <= len(set(images) & set(masks)):
        return SAME
    best, rivals = paired[0][0], [each for each, count in paired[1:] if count == paired[0][1]]
    for rival in rivals:
        if rival.image == best.image and rival.before == best.before and rival.mask != best.mask:
            raise DataError(
                f"{root}: an image has several masks ({best}, {rival}); expected one: name the masks by the globs "
                "data.images and data.masks"
            )
    return best


def _differences(image: str, mask: str) -> list[Affixes]:
    """Returns by which suffixes, and by which prefixes, two names differ."""
    head, tail = _common(image, mask), _common(image[::-1], mask[::-1])
    after = [Affixes(False, image[head:], mask[head:])] if head else []
    return after + ([Affixes(True, image[: len(image) - tail], mask[: len(mask) - tail])] if tail else [])


def _common(one: str, other: str) -> int:
    """Returns with how many equal characters two names begin."""
    shorter = min(len(one), len(other))
    return next((i for i in range(shorter) if one[i] != other[i]), shorter)


def _paired(affixes: Affixes, images: Iterable[str], masks: Iterable[str]) -> int:
    cores = ({affixes.core(name, affix) for name in names} - {None} for names, affix in (
        (images, affixes.image), (masks, affixes.mask)
    ))  # fmt: skip
    return len(set.intersection(*cores))
