"""What is decided about the values of masks, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_coding import Reading, UnlistedColours, decide
from resnet_tl.data.sources.mask_scan import scan_masks
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

Decide = Callable[..., tuple[Reading, list[str]]]


@pytest.fixture
def decided(tmp_path: Path) -> Decide:
    """`decided(masks, names)`: masks are arrays, or files' names and how to save them."""

    def call(
        masks: list[np.ndarray],
        names: str | None = None,
        *,
        ending: str = "png",
        ignore: list[int] | None = None,
        known: list[str] | None = None,
        csv: bool = False,
    ) -> tuple[Reading, list[str]]:
        pairs = []
        for number, values in enumerate(masks):
            Image.fromarray(values).save(tmp_path / f"{number}.{ending}")
            pairs.append((f"{number}.jpg", f"{number}.{ending}"))
        path = tmp_path / f"classes.{'csv' if csv else 'txt'}"
        if names is not None:
            path.write_text(names)
        findings = Findings(str(tmp_path), "set")
        scans = scan_masks(str(tmp_path), {"train": pairs}, findings)
        reading = decide(scans, None if names is None else str(path), ignore, findings, known)
        return reading, findings.notes

    return call


def squares(*values: int, side: int = 13, kind: type = np.uint8) -> np.ndarray:
    return np.kron(np.array([values], kind), np.ones((side, side), kind))


def codes(reading: Reading, *values: int) -> list[int]:
    return reading.coding.classes(np.array(values)).tolist()


def test_255_is_a_class_where_only_0_and_255_occur(decided: Decide) -> None:
    reading, notes = decided([squares(0, 255), squares(0, 0)], "bg\nfg\n")
    assert codes(reading, 0, 255) == [0, 1]
    assert notes == ["set: the masks hold 0 and 255 alone, so 255 is the class 'fg' (data.ignore: [255] ignores it)"]


@pytest.mark.parametrize(
    ("masks", "names", "ignore"),
    [
        ([squares(0, 255), squares(0, 1)], "bg\nfg\n", None),
        ([squares(0, 255)], "bg\nfg\nmore\n", None),
        ([squares(0, 255)], "bg\nfg\n", [255]),
        ([squares(0, 0), squares(1, 1)], "bg\nfg\n", None),
    ],
)
def test_255_is_ignored_elsewhere(
    decided: Decide, masks: list[np.ndarray], names: str, ignore: list[int] | None
) -> None:
    reading, notes = decided(masks, names, ignore=ignore)
    assert codes(reading, 0, 1, 255) == [0, 1, IGNORE]
    assert notes == []


def test_the_ids_of_a_class_file_order_black_and_white(decided: Decide) -> None:
    reading, _ = decided([squares(0, 255)], "id,name\n255,fg\n0,bg\n", csv=True)
    assert (reading.classes.names, codes(reading, 0, 255)) == (["bg", "fg"], [0, 1])
    reading, _ = decided([squares(0, 255)], "id,name\n1,fg\n0,bg\n255,void\n", csv=True)
    assert (reading.classes.names, codes(reading, 0, 255)) == (["bg", "fg"], [0, 1])


def test_65535_is_ignored_or_white_in_16_bits(decided: Decide) -> None:
    reading, _ = decided([squares(0, 65535, 700, kind=np.uint16)])
    assert (reading.classes.names, codes(reading, 0, 700, 65535)) == (["0", "700"], [0, 1, IGNORE])
    reading, _ = decided([squares(0, 65535, kind=np.uint16), squares(0, 255)], "bg\nfg\n")
    assert codes(reading, 0, 255, 65535) == [0, 1, 1]


def test_classes_without_a_file_are_the_values_or_the_checkpoints(decided: Decide) -> None:
    masks = [squares(0, 4, 255), squares(2, 2)]
    reading, notes = decided(masks)
    assert (reading.classes.names, codes(reading, 0, 2, 4, 255)) == (["0", "2", "4"], [0, 1, 2, IGNORE])
    assert notes == [
        "set: no class file (classes.txt, a name per line): the classes are the values 0, 2, 4; 255 is ignored (a line "
        "of classes.csv or data.ignore: [] makes it a class)"
    ]
    reading, notes = decided(masks, known=["0", "2", "4", "7"])
    assert (reading.classes.names, codes(reading, 4, 7)) == (["0", "2", "4", "7"], [2, 3])
    reading, notes = decided(masks, known=list("abcde"))
    assert (reading.classes.names, codes(reading, 4, 255)) == (list("abcde"), [4, IGNORE])
    assert notes == ["set: no class file: values are the checkpoint's classes, in their order"]
    with pytest.raises(DataError, match="the masks hold 1 value besides those ignored, which cannot be the classes"):
        decided([squares(3, 255)])
    with pytest.raises(DataError, match=r"the masks hold 255 alone, which is ignored \(colours are read, transparency"):
        decided([squares(255, 255)])


@pytest.mark.parametrize(
    ("last", "ignore", "names", "note"),
    [
        ("dog", None, ["bg", "cat", "dog"], ""),
        ("dog", [255], ["bg", "cat"], "255 'dog' is ignored, not a class (data.ignore: [] makes"),
        ("Void", None, ["bg", "cat"], "255 'Void' is ignored, not a class (data.ignore: [] makes"),
        ("void", [], ["bg", "cat", "void"], ""),
    ],
)
def test_a_class_files_255_is_a_class_unless_it_is_named_or_set_to_be_ignored(
    decided: Decide, last: str, ignore: list[int] | None, names: list[str], note: str
) -> None:
    lines = f"id,name\n0,bg\n128,cat\n255,{last}\n"
    reading, notes = decided([squares(0, 128, 255)], lines, ignore=ignore, csv=True)
    assert reading.classes.names == names
    assert codes(reading, 0, 128, 255) == [0, 1, 2 if last in names else IGNORE]
    assert (note in notes[0]) if note else not notes


def test_masks_whose_values_are_not_the_class_files_are_reported_as_a_set(decided: Decide) -> None:
    three = "bg\ncat\ndog\n"
    for values, lines in (((0, 128, 255), "0,bg; 128,cat; 255,dog"), ((1, 2, 3, 255), "1,bg; 2,cat; 3,dog")):
        with pytest.raises(DataError, match=rf"1 of 1 masks hold values of no class: .*\(id,name; {lines}\)$"):
            decided([squares(*values)], three)
    decided([squares(0, 1, 2), squares(0, 1, 7)], three)


def test_a_jpeg_of_black_and_white_is_cut_in_the_middle(decided: Decide) -> None:
    reading, notes = decided([squares(0, 255, 0)], "bg\nfg\n", ending="jpg")
    assert codes(reading, 0, 3, 127, 128, 252, 255) == [0, 0, 0, 1, 1, 1]
    (note,) = notes
    assert "black and white with blurred edges (1 of 1 are JPEG): values from 128 on are 'fg', the others 'bg'" in note
    assert note.endswith("were uncertain")


@pytest.mark.parametrize(
    ("values", "names", "ignore", "reason"),
    [
        ((0, 127, 255), "a\nb\nc\n", None, "0.jpg: is a JPEG, whose compression changes values, so that only two"),
        ((0, 127, 255), "a\nb\n", None, ", and .*/0.jpg is not; expected PNG"),
        ((0, 1, 2), "a\nb\nc\n", None, "0.jpg: is a JPEG"),
        ((0, 1), "a\nb\n", None, "0.jpg: is a JPEG"),
        ((0, 255), "a\nb\n", [255], "without data.ignore"),
        ((0, 127, 255), None, None, "0.jpg: is a JPEG"),
    ],
)
def test_other_jpegs_are_refused(
    decided: Decide, values: tuple[int, ...], names: str | None, ignore: list[int] | None, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        decided([squares(*values)], names, ending="jpg", ignore=ignore)


def test_edges_between_black_and_white_are_not_classes(decided: Decide) -> None:
    """A mask that was resized smoothly."""
    disc = Image.fromarray(np.uint8(np.hypot(*np.mgrid[-40:40, -40:40]) < 25) * np.uint8(255))
    blurred = np.asarray(disc.resize((30, 30), Image.Resampling.BILINEAR))
    assert len(np.unique(blurred)) > 4
    for names in ("bg\nfg\n", None):
        reading, notes = decided([blurred], names)
        assert codes(reading, 0, 100, 200) == [0, 0, 1]
        assert "with blurred edges: values from 128 on" in notes[0]
    for regions in (squares(0, 60, 120, 180, 240), np.repeat(squares(0, 60, 120, 180, 240)[..., None], 3, 2)):
        reading, notes = decided([regions])
        assert len(reading.classes.names) == 5, "regions of one value are classes"


def test_colours_are_listed_with_their_shares(decided: Decide) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = 255, 0, 0
    with pytest.raises(UnlistedColours, match=r"2 colours \(#000000 75.0%, #ff0000 25.0%\)") as caught:
        decided([image, image], "bg\nfg\n")
    assert caught.value.class_file == "id,name,colour\n0,#000000,#000000\n1,#ff0000,#ff0000\n"
    photo = np.random.default_rng(0).integers(0, 255, (40, 40, 3), np.uint8)
    with pytest.raises(DataError, match=r"0.png: is in colours, of which the masks have 1,6\d\d; expected at most 253"):
        decided([photo])
    with pytest.raises(DataError, match=r"0.jpg: is a JPEG in colours"):
        decided([photo], ending="jpg")


def test_a_coloured_mask_among_others_is_a_fault_of_its_own(decided: Decide) -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[0] = 255, 0, 0
    reading, _ = decided([squares(0, 1), squares(1, 0), image], "bg\nfg\n")
    assert codes(reading, 0, 1) == [0, 1]


def test_permuted_palettes_need_colours(decided: Decide, tmp_path: Path) -> None:
    for number, order in enumerate(([0, 1], [1, 0])):
        image = Image.fromarray(np.array([order], np.uint8))
        image.putpalette(np.array([[0, 0, 0], [200, 0, 0]], np.uint8)[order].tobytes())
        image.save(tmp_path / f"{number}.png")
    findings = Findings(str(tmp_path))
    scans = scan_masks(str(tmp_path), {"train": [("0.jpg", "0.png"), ("1.jpg", "1.png")]}, findings)
    with pytest.raises(UnlistedColours, match="2 colours"):
        decide(scans, None, None, findings)
    (tmp_path / "classes.csv").write_text("name,colour\nbg,#000000\nfg,#c80000\n")
    assert decide(scans, str(tmp_path / "classes.csv"), None, findings).coding.palettes
