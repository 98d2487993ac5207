"""Which images of a set are trained, validated and tested on, and notes about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic

from resnet_tl.data.listings.exclude import exclude_images
from resnet_tl.data.listings.faults import were_kept
from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.groups import Column
from resnet_tl.data.listings.listing import ImageSet, ListingT
from resnet_tl.data.listings.splits import few_shots, split_listings


@dataclass(frozen=True)
class Selection(Generic[ListingT]):
    """images: what the source found, in its own splits, without what is excluded.
    listings: to train, validate and test on: those of `train`, `val` and `test` that exist.
    absent: indices of the classes that no split shows.
    notes: sentences about what was skipped or assumed.
    remarks: what they count, one by one.
    """

    images: ImageSet[ListingT]
    listings: dict[str, ListingT]
    absent: list[int]
    notes: list[str]
    remarks: list[Finding]


def select_images(
    images: ImageSet[ListingT],
    *,
    exclude: str | None,
    fraction: float,
    folds: int | None,
    fold: int,
    group: str | None,
    shots: int | None,
    seed: int,
) -> Selection[ListingT]:
    """Leaves out what is excluded, splits the rest, and takes a few shots of the training images.

    Args:
        images: what a source found.
        exclude, folds, fold, group, shots, seed: see `resnet_tl.data.base.ImageData`; `fraction` is `val_fraction`.

    Raises:
        DataError: the set has faults, or too few images.
        RecipeError: it cannot be split so.
    """
    included = (images if exclude is None else exclude_images(images, exclude)).usable()
    rule = Column(group, images.groups) if group is not None and images.groups else group
    listings = split_listings(included.splits, fraction=fraction, folds=folds, fold=fold, seed=seed, group=rule)
    pooled = ", of train and val together" if "val" in included.splits else ""
    origin = " (split here)" if folds is None else f" (fold {fold + 1} of {folds}{pooled})"
    absent = list(included.absent)
    # What is at fault may be the images to validate on, of which a split made here would say nothing.
    counted = included.splits if were_kept() else listings
    notes = [*included.notes, *_split_notes(included, counted, absent, origin)]
    if shots is not None and "train" in listings:
        listings["train"], note = few_shots(listings["train"], shots, included.classes, seed)
        notes.append(f"{images.root}: {note}")
    return Selection(included, listings, absent, notes, [*included.remarks])


def _split_notes(
    images: ImageSet[ListingT], listings: Mapping[str, ListingT], absent: Sequence[int], origin: str
) -> list[str]:
    """Returns notes about the size and origin of each split, absent splits and missing classes.

    origin: what a `val` split is that is not the source's own.
    """
    if not listings:
        return []
    sizes = ", ".join(f"{len(listing)} {split}" for split, listing in listings.items())
    split_here = origin if listings.get("val") is not images.splits.get("val") else ""
    fallback = {"val": "test", "test": "val"}
    others = [
        f"; no {name} split: {other} is used"
        for name, other in fallback.items()
        if name not in listings and other in listings
    ]
    names = _some([images.classes[index] for index in absent])
    never = f"{images.root}: no image shows {names} ({len(absent)} of {len(images.classes)} classes); means exclude"
    unseen = [f"{never} {'it' if len(absent) == 1 else 'them'}"] if absent else []
    missing = {
        split: [images.classes[index] for index in images.unseen_in(listing) if index not in absent]
        for split, listing in listings.items()
    }
    each = [f"{images.root}: no image in {split} shows {_some(none)}" for split, none in missing.items() if none]
    return [f"{images.root}: {sizes}{split_here}{''.join(others)}", *unseen, *each]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
