"""Images and masks paired by their names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_layout import find_files
from resnet_tl.data.sources.mask_pairing import pair_up
from resnet_tl.data.sources.mask_scan import Pair
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError


def paired(*files: str) -> tuple[dict[str, list[Pair]], Findings]:
    findings = Findings("set")
    tree = Tree("set", list(files), set())
    return pair_up("set", find_files(tree, None, None, findings), findings), findings


AFFIXES = st.sampled_from(["", "_mask", "-label", "_gtFine_labelIds", "_L", ".jpg", "_0"])


@settings(deadline=None)
@given(
    names=st.lists(st.from_regex(r"[a-z]{0,3}[0-9]{1,3}", fullmatch=True), min_size=3, unique=True),
    affixes=st.tuples(AFFIXES, AFFIXES),
    before=st.booleans(),
)
def test_one_affix_on_either_side_is_found(names: list[str], affixes: tuple[str, str], before: bool) -> None:
    folders = ("images", "jpg"), ("masks", "png")
    files = [
        f"{folder}/{affix.strip('_-') + '_' + name if before and affix else name + affix}.{ending}"
        for (folder, ending), affix in zip(folders, affixes, strict=True)
        for name in names
    ]
    pairs, findings = paired(*files)
    assert findings.faults == []
    assert sorted(pairs["train"]) == sorted(zip(files[: len(names)], files[len(names) :], strict=True))


def test_one_that_lacks_its_partner_is_named() -> None:
    pairs, findings = paired(
        *(f"train/images/{i}.jpg" for i in range(6)), *(f"train/masks/{i}_mask.png" for i in (0, 1, 2, 4, 5, 9))
    )
    assert pairs["train"] == [(f"train/images/{i}.jpg", f"train/masks/{i}_mask.png") for i in (0, 1, 2, 4, 5)]
    assert findings.faults == [
        "set/train/images/3.jpg: has no mask train/masks/3_mask.png",
        "set/train/masks/9_mask.png: is a mask without an image",
    ]
    assert findings.notes == ["set: masks are paired by name, *_mask for *"]
    assert findings.faults_by_image()[findings.faults[0]] == "train/images/3.jpg"


def test_two_masks_of_every_image_are_refused() -> None:
    with pytest.raises(DataError, match=r"an image has several masks .*name the masks by the globs"):
        paired(
            *(f"images/{i}.jpg" for i in range(4)), *(f"masks/{i}_{k}.png" for i in range(4) for k in ("ids", "col"))
        )


def test_two_files_of_one_name_are_a_fault() -> None:
    _, findings = paired("images/1.jpg", "images/1.png", "masks/1.png")
    assert findings.faults == ["set/images/1.png: has the same stem as images/1.jpg"]


def test_what_belongs_to_no_split_or_has_no_masks_is_skipped() -> None:
    pairs, findings = paired(
        *("train/images/1.jpg", "train/masks/1.png", "val/images/2.jpg", "val/masks/2.png"),
        *("test/images/3.jpg", "images/4.jpg"),
    )
    assert list(pairs) == ["train", "val"]
    assert findings.notes == [
        "set: images outside of test, train, val, skipped (1): images/4.jpg",
        "set: the images of test have no masks, skipped",
    ]
