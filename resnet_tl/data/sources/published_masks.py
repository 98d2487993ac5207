"""Pascal VOC's and Cityscapes' masks, in the layouts in which they are published."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources.class_list import ClassList, palette
from resnet_tl.data.sources.mask_set import checked_set, missing_files
from resnet_tl.errors import DataError
from resnet_tl.structures.records import IGNORE


def read_voc_masks(root: str, channels: int) -> MaskSet:
    """Reads Pascal VOC's segmentation set: `ImageSets/Segmentation/{train,val}.txt`, `JPEGImages`, `SegmentationClass`.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
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
        faults += missing_files(root, splits[split])
    classes = ClassList(VOC, list(range(len(VOC))), palette(len(VOC)))
    return checked_set(root, classes, classes.coding([IGNORE]), splits, faults, channels)


def read_cityscapes(root: str, channels: int) -> MaskSet:
    """Reads Cityscapes: `leftImg8bit/{train,val}/<city>/*_leftImg8bit.png`, `gtFine/.../*_gtFine_labelIds.png`.

    The classes are the 19 evaluated ones, all others are ignored.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
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
        faults += missing_files(root, splits[split])
    ids = list(CITYSCAPES.values())
    classes = ClassList(list(CITYSCAPES), ids, palette(len(ids)))
    return checked_set(root, classes, classes.coding([], others=IGNORE), splits, faults, channels)


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
