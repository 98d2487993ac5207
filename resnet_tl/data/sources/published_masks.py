"""Pascal VOC's and Cityscapes' masks, in the layouts in which they are published."""

from __future__ import annotations

import posixpath

from resnet_tl.data.images.decode import read_bytes
from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources.class_list import ClassList, class_colours, palette, read_classes
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.folder_names import FOLDER_SPLITS
from resnet_tl.data.sources.mask_scan import Pair, scan_masks
from resnet_tl.data.sources.mask_set import checked_set, missing_files
from resnet_tl.data.sources.tree import Tree, is_image, walk
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE

LISTS = "ImageSets/Segmentation"
BORDER = 0xE0E0C0
"""Pascal VOC's colour of pixels that are ignored."""


def read_voc_masks(root: str, channels: int) -> MaskSet:
    """Reads Pascal VOC's segmentation set, `JPEGImages`, `SegmentationClass` and lists of names in
    `ImageSets/Segmentation`: `train.txt`, `val.txt`, `test.txt`, or else one list (CVAT's `default.txt`) that is all.

    With CVAT's `labelmap.txt` the classes are its labels and masks are read by their colours.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    images = {posixpath.splitext(path)[0]: path for path in tree.files if is_image(path)}
    splits = {}
    for split, name in _lists(tree).items():
        names = read_bytes(f"{tree.root}/{LISTS}/{name}", allow_empty=True).decode(errors="replace").splitlines()
        splits[split] = [
            (images.get(f"JPEGImages/{name}", f"JPEGImages/{name}.jpg"), f"SegmentationClass/{name}.png")
            for line in names
            if (name := line.strip())
        ]
    if "labelmap.txt" in tree.files:
        classes = read_classes(f"{tree.root}/labelmap.txt", ())
        classes.by_colour.setdefault(BORDER, IGNORE)
    else:
        colours = {int.from_bytes(bytes(colour), "big"): index for index, colour in enumerate(palette(len(VOC)))}
        classes = ClassList(VOC, list(range(len(VOC))), palette(len(VOC)), {**colours, BORDER: IGNORE})
    return _set(tree, classes, splits, findings, channels, others=None)


def read_cityscapes(root: str, channels: int) -> MaskSet:
    """Reads Cityscapes: `leftImg8bit/{train,val}/<city>/*_leftImg8bit.png`, `gtFine/.../*_gtFine_labelIds.png`.

    The classes are the 19 evaluated ones, all others are ignored.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    splits = {}
    for split in ("train", "val"):
        folder = f"leftImg8bit/{split}/"
        keys = sorted(path for path in tree.files if path.startswith(folder) and path.endswith("_leftImg8bit.png"))
        if not keys:
            raise DataError(
                f"{root}/leftImg8bit/{split} holds no <city>/*_leftImg8bit.png; expected Cityscapes' layout"
            )
        splits[split] = [
            (key, key.replace("leftImg8bit/", "gtFine/").replace("_leftImg8bit", "_gtFine_labelIds")) for key in keys
        ]
    names = list(CITYSCAPES)
    classes = ClassList(names, list(CITYSCAPES.values()), class_colours(names))
    return _set(tree, classes, splits, findings, channels, others=IGNORE)


def _lists(tree: Tree) -> dict[str, str]:
    """Returns the list of each split, `{"train": "train.txt"}`; without one of train, the one that has all names."""
    folder = f"{LISTS}/"
    names = sorted(
        file.removeprefix(folder) for file in tree.files if file.startswith(folder) and file.endswith(".txt")
    )
    by_split = {FOLDER_SPLITS[stem]: name for name in names if (stem := name[:-4].lower()) in FOLDER_SPLITS}
    if by_split:
        return by_split
    whole = next((name for name in ("trainval.txt", "default.txt", *names) if name in names), None)
    if whole is None:
        raise DataError(
            f"{tree.root}/{LISTS} has no train.txt; expected Pascal VOC's layout, with {LISTS}/train.txt and val.txt"
        )
    return {"train": whole}


def _set(
    tree: Tree,
    classes: ClassList,
    splits: dict[str, list[Pair]],
    findings: Findings,
    channels: int,
    *,
    others: int | None,
) -> MaskSet:
    """others: what values of no class become; None: a fault."""
    existing = set(tree.files)
    findings.faults += [fault for pairs in splits.values() for fault in missing_files(tree.root, pairs, existing)]
    splits = {split: [pair for pair in pairs if existing.issuperset(pair)] for split, pairs in splits.items()}
    coding = classes.coding([IGNORE]) if others is None else classes.coding([], others)
    scans = scan_masks(tree.root, splits, findings)
    return checked_set(classes, coding, splits, scans, findings, channels, all_shown=False)


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
