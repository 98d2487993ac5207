"""Many masks that share a value without a class are one fault."""

from __future__ import annotations

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, without_class
from resnet_tl.data.listings.odd_masks import OddMask, by_value
from resnet_tl.structures.records import IGNORE

CODES = np.full(256, NO_CLASS, np.uint8)
CODES[[0, 1, 255]] = 0, 1, IGNORE
CODING = Coding(CODES, {})
EXPECTED = "expected 0 to 1 or 255 to ignore"


def test_each_value_that_many_masks_hold_is_one_fault_with_what_to_ignore() -> None:
    """Masks 1 to 6 hold a 7, 3 to 9 a 9, and 9 a 12 as well."""
    held = {i: [*([7] if i < 7 else []), *([9] if i > 2 else []), *([12] if i == 9 else [])] for i in range(1, 10)}
    odd = [OddMask(f"{i}.png", without_class(values, CODING), values) for i, values in held.items()]
    faults = ["a.png: is broken", *(each.sentence for each in odd)]
    assert by_value("set", faults, odd, CODING) == [
        f"set: 6 masks are like 1.png, which has the value 7; {EXPECTED} (data.ignore: [7, 9, 255] ignores them too)",
        f"set: 7 masks are like 3.png, which has the value 9; {EXPECTED} (data.ignore: [7, 9, 255] ignores them too)",
        f"9.png: has the values 9, 12; {EXPECTED} (data.ignore: [9, 12, 255] ignores them too)",
        "a.png: is broken",
    ]
    assert by_value("set", faults[:4], odd, CODING) == [*faults[1:4], faults[0]]


def test_a_colour_that_many_masks_hold_is_one_fault() -> None:
    odd = [OddMask(f"{i}.png", "has the colour #010203") for i in range(6)]
    faults = [each.sentence for each in odd]
    assert by_value("set", faults, odd, CODING) == ["set: 6 masks are like 0.png, which has the colour #010203"]
