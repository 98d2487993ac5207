"""Masks with values or colours that have no class: where many share one, it is one fault of their set."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from resnet_tl.data.images.class_masks import Coding, without_class

SHARED = 5
"""A value that more masks hold is one fault of the set, not one of each mask."""


class OddMask(NamedTuple):
    """A mask with values that have no class, or (without `values`) with such a colour. fault: what is wrong, to be read
    after the path."""

    path: str
    fault: str
    values: Sequence[int] = ()

    @property
    def sentence(self) -> str:
        return f"{self.path}: {self.fault}"

    @property
    def reasons(self) -> Sequence[int | str]:
        """What it may share with other masks."""
        return self.values or [self.fault]


def by_value(root: str, faults: Iterable[str], odd: Sequence[OddMask], coding: Coding) -> list[str]:
    """Returns the faults of a set, with one for each value or colour that more than `SHARED` masks hold in place of one
    for each of these masks.

    odd: some of which may no longer be among the faults, since their images are excluded.
    """
    found = {each.sentence: each for each in odd}
    present = [found[fault] for fault in faults if fault in found]
    holders: dict[int | str, list[OddMask]] = defaultdict(list)
    for mask in present:
        for value in mask.reasons:
            holders[value].append(mask)
    shared = {value: masks for value, masks in holders.items() if len(masks) > SHARED}
    ignorable = sorted(value for value in shared if isinstance(value, int))
    of_set = []
    for value, masks in shared.items():
        fault = value if isinstance(value, str) else without_class([value], coding, ignorable)
        of_set.append(f"{root}: {len(masks)} masks are like {masks[0].path}, which {fault}")
    of_masks = [mask.sentence for mask in present if not shared.keys() >= {*mask.reasons}]
    return [*of_set, *of_masks, *(fault for fault in faults if fault not in found)]
