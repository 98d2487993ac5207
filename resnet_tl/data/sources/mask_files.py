"""Images and masks side by side: a plain layout, Pascal VOC's and Cityscapes'; all faults of a set in one error."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from resnet_tl.data.images.class_masks import NO_CLASS, Coding, read_values, unknown_values
from resnet_tl.data.images.headers import read_size
from resnet_tl.data.listings.masks import MaskListing, MaskSet
from resnet_tl.data.listings.rows import Rows
from resnet_tl.data.sources.faults import raise_if_any
from resnet_tl.data.sources.folder import SPLITS
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

SCANNED = 5000
"""Masks of a split that are read before training; of a larger split evenly many of them. What such a sample misses is
found when it is drawn, with its name."""


@dataclass(frozen=True)
class ClassList:
    """names: K of them; ids `[K]`: their values in the files; colours `[K, 3]` uint8 RGB; by_colour: 0xrrggbb -> value,
    where the class file has colours, those of what is ignored among them."""

    names: list[str]
    ids: list[int]
    colours: np.ndarray
    by_colour: dict[int, int] = field(default_factory=dict)

    def coding(self, ignore: Sequence[int], others: int = NO_CLASS) -> Coding:
        """Of these classes; `ignore`d values; all `others`."""
        table = np.full(256, others, np.uint8)
        table[list(ignore)] = IGNORE
        table[self.ids] = np.arange(len(self.ids))
        return Coding(table, self.by_colour)


def read_mask_folder(root: str, class_file: str | None, ignore: Sequence[int], channels: int) -> MaskSet:
    """`root/{train,val,test}/{images,masks}/`, or `root/{images,masks}/` unsplit; a mask has its image's stem.

    Args:
        class_file: names, see `read_classes`; None: `classes.csv` or `classes.txt` in `root`.
        ignore: values of pixels that count nowhere.
        channels: of the images.

    Raises:
        DataError: one, with everything that is wrong with the set.
    """
    tree = walk(root)
    classes = read_classes(class_file or _class_file(tree.root), ignore)
    faults: list[str] = []
    splits = {split: _pairs(tree, prefix, faults) for split, prefix in _prefixes(tree).items()}
    return _checked(tree.root, classes, classes.coding(ignore), splits, faults, channels)


def read_voc(root: str, channels: int) -> MaskSet:
    """Pascal VOC's segmentation: `ImageSets/Segmentation/{train,val}.txt`, `JPEGImages`, `SegmentationClass`."""
    faults: list[str] = []
    splits = {}
    for split in ("train", "val"):
        path = Path(root, "ImageSets", "Segmentation", f"{split}.txt")
        if not path.is_file():
            raise DataError(
                f"{path} does not exist; expected Pascal VOC's layout, with ImageSets/Segmentation/{split}.txt"
            )
        names = path.read_text().split()
        splits[split] = [(f"JPEGImages/{name}.jpg", f"SegmentationClass/{name}.png") for name in names]
        faults += _absent(root, splits[split])
    classes = ClassList(VOC, list(range(len(VOC))), palette(len(VOC)))
    return _checked(root, classes, classes.coding([IGNORE]), splits, faults, channels)


def read_cityscapes(root: str, channels: int) -> MaskSet:
    """Cityscapes: `leftImg8bit/{train,val}/<city>/*_leftImg8bit.png`, `gtFine/.../*_gtFine_labelIds.png`; the 19
    scored classes, all others ignored."""
    faults: list[str] = []
    splits = {}
    for split in ("train", "val"):
        images = sorted(Path(root, "leftImg8bit", split).glob("*/*_leftImg8bit.png"))
        if not images:
            raise DataError(
                f"{root}/leftImg8bit/{split} holds no <city>/*_leftImg8bit.png; expected Cityscapes' layout"
            )
        keys = [image.relative_to(root).as_posix() for image in images]
        splits[split] = [
            (key, key.replace("leftImg8bit/", "gtFine/").replace("_leftImg8bit", "_gtFine_labelIds")) for key in keys
        ]
        faults += _absent(root, splits[split])
    ids = list(CITYSCAPES.values())
    classes = ClassList(list(CITYSCAPES), ids, palette(len(ids)))
    return _checked(root, classes, classes.coding([], others=IGNORE), splits, faults, channels)


def read_classes(path: str, ignore: Sequence[int]) -> ClassList:
    """Class names: a text file with one a line, which is its value counted from 0; or a CSV with a header and the
    columns `name`, and as wanted `id` and `colour` (`#rrggbb`). Lines whose id is to be ignored name no class.

    Raises:
        DataError: no such file, names, ids or colours twice, ids that no mask of 8 bits can hold.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: the class file cannot be read ({error})") from None
    if path.endswith(".csv"):
        rows = [{key.strip(): value for key, value in row.items()} for row in csv.DictReader(text.splitlines())]
    else:
        rows = [{"name": line.strip()} for line in text.splitlines() if line.strip()]
    try:
        named = {int(row.get("id") or number): row["name"].strip() for number, row in enumerate(rows)}
        given = {
            int(row.get("id") or number): int(colour.strip().removeprefix("#"), 16)
            for number, row in enumerate(rows)
            if (colour := row.get("colour"))
        }
    except (KeyError, ValueError) as error:
        raise DataError(f"{path}: expected the columns id, name, colour (#rrggbb), not {error}") from None
    by_colour = {colour: value for value, colour in given.items()}
    classes = {value: name for value, name in named.items() if value not in ignore}
    if min(len(named), len(set(named.values()))) < len(rows) or len(classes) < 2:
        raise DataError(f"{path}: names {len(classes)} classes; expected two or more, each name and id once")
    if len(by_colour) < len(given):
        raise DataError(f"{path}: has a colour twice")
    if not all(0 <= each < NO_CLASS for each in classes):
        raise DataError(f"{path}: has the id {max(classes)}; expected 0 to {NO_CLASS - 1}, as a mask of 8 bits holds")
    colours = palette(len(classes))
    for index, value in enumerate(classes):
        if value in given:
            colours[index] = list(given[value].to_bytes(3, "big"))
    return ClassList(list(classes.values()), list(classes), colours, by_colour)


def palette(count: int) -> np.ndarray:
    """Pascal VOC's colours, `[count, 3]` uint8: the bits of an index dealt out to red, green and blue."""
    index = np.arange(count)[:, None]
    colours = np.zeros((count, 3), int)
    for bit in range(8):
        colours |= ((index >> (3 * bit + np.arange(3))) & 1) << (7 - bit)
    return colours.astype(np.uint8)


Pairs = list[tuple[str, str]]
"""An image's and its mask's path below the root."""


def _prefixes(tree: Tree) -> dict[str, str]:
    if "images" in tree.folders:
        return {"train": ""}
    found = {SPLITS[folder.lower()]: f"{folder}/" for folder in sorted(tree.folders) if folder.lower() in SPLITS}
    if not found:
        raise DataError(
            f"{tree.root} has neither images/ nor train/images/; expected {tree.root}/{{train,val}}/{{images,masks}}"
        )
    return found


def _pairs(tree: Tree, prefix: str, faults: list[str]) -> Pairs:
    """Of a split, by stem; what has no partner goes into `faults`."""
    images, masks = (_by_stem(tree, f"{prefix}{folder}/", faults) for folder in ("images", "masks"))
    faults += [
        f"{tree.root}/{images[stem]}: has no mask {prefix}masks/{stem}.png"
        for stem in sorted(images.keys() - masks.keys())
    ]
    faults += [
        f"{tree.root}/{masks[stem]}: is a mask without an image in {prefix}images"
        for stem in sorted(masks.keys() - images.keys())
    ]
    if not images:
        faults.append(f"{tree.root}/{prefix}images holds no images")
    return [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]


def _by_stem(tree: Tree, folder: str, faults: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path in sorted(path for path in tree.files if path.startswith(folder) and is_image(path)):
        stem = os.path.splitext(path.removeprefix(folder))[0]
        if stem in found:
            faults.append(f"{tree.root}/{path}: has the stem of {found[stem]}")
        found[stem] = path
    return found


def _class_file(root: str) -> str:
    for name in ("classes.csv", "classes.txt"):
        if Path(root, name).is_file():
            return str(Path(root, name))
    raise DataError(
        f"{root} has no classes.txt (a name a line) or classes.csv (id,name,colour); another: data.class_file"
    )


def _absent(root: str, pairs: Pairs) -> list[str]:
    return [f"{root}/{path}: does not exist" for pair in pairs for path in pair if not os.path.exists(f"{root}/{path}")]


def _checked(
    root: str, classes: ClassList, coding: Coding, splits: dict[str, Pairs], faults: list[str], channels: int
) -> MaskSet:
    """The set, once its files are known to be in order."""
    found = MaskSet(root, classes.names, {}, colours=classes.colours)
    notes = []
    for split, pairs in splits.items():
        there = [pair for pair in pairs if not any(f"{root}/{path}: does not exist" in faults for path in pair)]
        chosen = there[:: max(1, -(-len(there) // SCANNED))]
        if len(chosen) < len(there):
            notes.append(f"{root}: {len(chosen)} of the {len(there)} masks of {split} were checked")
        values = _scan(root, chosen, coding, channels, faults)
        if split == "train":
            found = replace(found, pixels=values[classes.ids])
            if len(chosen) == len(there):
                empty = [name for name, count in zip(classes.names, found.pixels, strict=True) if not count]
                faults += [
                    f"{root}: no training mask shows the class {name!r}; remove it or add images" for name in empty
                ]
        found.splits[split] = MaskListing(
            root, Rows.of_text([a for a, _ in pairs]), Rows.of_text([b for _, b in pairs]), coding
        )
    raise_if_any(root, faults)
    return replace(found, notes=notes)


def _scan(root: str, pairs: Pairs, coding: Coding, channels: int, faults: list[str]) -> np.ndarray:
    """Pixels of each value in these masks, `[256]`; what is wrong with a pair goes into `faults`."""

    def look(pair: tuple[str, str]) -> tuple[np.ndarray, list[str]]:
        return _look(f"{root}/{pair[0]}", f"{root}/{pair[1]}", coding, channels)

    total = np.zeros(256, np.int64)
    with ThreadPoolExecutor() as pool:
        for counts, wrong in pool.map(look, pairs):
            total += counts
            faults += wrong
    return total


def _look(image: str, mask: str, coding: Coding, channels: int) -> tuple[np.ndarray, list[str]]:
    try:
        values, size = read_values(mask, coding), read_size(image, channels)
    except DataError as error:
        return np.zeros(256, np.int64), [str(error)]
    counts = np.bincount(values.ravel(), minlength=256)
    wrong = []
    if values.shape != size:
        (h, w), (height, width) = values.shape, size
        wrong.append(f"{mask}: is {w} x {h} pixels, but its image {width} x {height}")
    if (counts[coding.codes == NO_CLASS] > 0).any():
        wrong.append(f"{mask}: {unknown_values(values, coding)}")
    return counts, wrong


VOC = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
]

CITYSCAPES = {
    "road": 7, "sidewalk": 8, "building": 11, "wall": 12, "fence": 13, "pole": 17, "traffic light": 19,
    "traffic sign": 20, "vegetation": 21, "terrain": 22, "sky": 23, "person": 24, "rider": 25, "car": 26, "truck": 27,
    "bus": 28, "train": 31, "motorcycle": 32, "bicycle": 33,
}  # fmt: skip
