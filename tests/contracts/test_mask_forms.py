"""Every form in which people bring masks reads back the same classes, by itself or with the option that it needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from resnet_tl.data import segmentation
from resnet_tl.data.sources.class_list import palette
from resnet_tl.data.sources.forms import form_of
from resnet_tl.structures.records import IGNORE

Masks = dict[str, dict[str, np.ndarray]]
"""Class indices `[H, W]` uint8 by split and name."""

NAMES = ["sky", "road", "car"]
COLOURS = np.array([[0, 0, 0], [128, 64, 128], [0, 0, 142]], np.uint8)
VOID = np.array([224, 224, 192], np.uint8)


def photo(path: Path, mask: np.ndarray, **save: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.repeat(np.uint8(mask % 7 * 30)[..., None], 3, 2)).save(path, **save)


def save(path: Path, values: np.ndarray, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path, **options)


def folders(
    encode: Callable[[Path, np.ndarray], None],
    image: str = "{split}/images/{name}.jpg",
    mask: str = "{split}/masks/{name}.png",
    **files: str,
) -> Callable[[Path, Masks], None]:
    """A writer of sets: paths of images and masks, how a mask is encoded, and other files by name."""

    def write(root: Path, masks: Masks) -> None:
        for split, of_split in masks.items():
            for name, values in of_split.items():
                photo(root / image.format(split=split, name=name), values)
                path = root / mask.format(split=split, name=name)
                path.parent.mkdir(parents=True, exist_ok=True)
                encode(path, values)
        for name, text in files.items():
            (root / name.replace("__", ".")).write_text(text)

    return write


def by_class(values: np.ndarray, of_classes: Any, ignored: Any = IGNORE) -> np.ndarray:
    """Replaces class indices by what stands for them in a file."""
    table = np.asarray(of_classes)
    return np.where(
        (values == IGNORE).reshape(values.shape + (1,) * (table.ndim - 1)), ignored, table[values % len(table)]
    ).astype(table.dtype)


def grey(path: Path, values: np.ndarray) -> None:
    save(path, values)


def indexed(path: Path, values: np.ndarray) -> None:
    image = Image.fromarray(values)
    image.putpalette(palette(256).tobytes())
    image.save(path)


def three_channels(path: Path, values: np.ndarray) -> None:
    save(path, np.repeat(values[..., None], 3, 2))


def four_channels(path: Path, values: np.ndarray) -> None:
    save(path, np.dstack([values, values, values, np.full_like(values, 255)]))


def grey_and_alpha(path: Path, values: np.ndarray) -> None:
    image = Image.fromarray(values)
    image.putalpha(255)
    image.save(path)


def deep(path: Path, values: np.ndarray) -> None:
    save(path, values.astype(np.uint16))


def array(path: Path, values: np.ndarray) -> None:
    np.save(path, values)


def far_apart(path: Path, values: np.ndarray) -> None:
    save(path, by_class(values, np.array([0, 128, 255], np.uint8)))


def white(path: Path, values: np.ndarray) -> None:
    save(path, np.uint8(values * 255))


def white_in_three_channels(path: Path, values: np.ndarray) -> None:
    three_channels(path, np.uint8(values * 255))


def deep_white(path: Path, values: np.ndarray) -> None:
    save(path, values.astype(np.uint16) * 65535)


def jpeg(path: Path, values: np.ndarray) -> None:
    save(path, np.uint8(values * 255), quality=75)


def jpeg_of_three_channels(path: Path, values: np.ndarray) -> None:
    save(path, np.repeat(np.uint8(values * 255)[..., None], 3, 2), quality=90)


def blurred(path: Path, values: np.ndarray) -> None:
    """A JPEG that somebody saved as PNG."""
    jpeg(path.with_suffix(".jpg"), values)
    with Image.open(path.with_suffix(".jpg")) as image:
        image.save(path)
    path.with_suffix(".jpg").unlink()


def coloured(path: Path, values: np.ndarray) -> None:
    save(path, by_class(values, COLOURS, VOID))


def permuted(path: Path, values: np.ndarray) -> None:
    """A palette of its own for each mask, as image editors make it: the indices mean nothing."""
    order = sorted(range(4), key=lambda index: hash((path.name, index)) % 97)
    image = Image.fromarray(np.uint8(np.argsort(order)[np.where(values == IGNORE, 3, values)]))
    image.putpalette(np.vstack([COLOURS, VOID])[order].tobytes())
    image.save(path)


def rotated(root: Path, masks: Masks) -> None:
    """Images with an EXIF orientation, whose masks were drawn in the file's own."""
    (root / "classes.txt").write_text("\n".join(NAMES))
    back = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
    for split, of_split in masks.items():
        for number, (name, values) in enumerate(of_split.items()):
            orientation = (6, 8, 3)[number % 3]
            exif = Image.Exif()
            exif[274] = orientation
            stored = Image.fromarray(values).transpose(back[orientation])
            photo(root / split / "images" / f"{name}.jpg", np.asarray(stored), exif=exif)
            save(root / split / "masks" / f"{name}.png", np.asarray(stored))


def cvat(root: Path, masks: Masks) -> None:
    """CVAT's "Segmentation mask 1.1" with images: one list of names, colours in labelmap.txt."""
    names = [name for of_split in masks.values() for name in of_split]
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("\n".join(names) + "\n")
    lines = [f"{name}:{','.join(map(str, colour))}::" for name, colour in zip(NAMES, COLOURS.tolist(), strict=True)]
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    for of_split in masks.values():
        for name, values in of_split.items():
            photo(root / "JPEGImages" / f"{name}.jpg", values)
            coloured_mask = root / "SegmentationClass" / f"{name}.png"
            save(coloured_mask, by_class(values, COLOURS, VOID))


def labelme(root: Path, masks: Masks) -> None:
    """labelme2voc: class indices in palettes, class_names.txt, no lists."""
    (root / "class_names.txt").write_text("\n".join(NAMES) + "\n")
    for of_split in masks.values():
        for name, values in of_split.items():
            photo(root / "JPEGImages" / f"{name}.jpg", values)
            photo(root / "SegmentationClassVisualization" / f"{name}.jpg", values)
            (root / "SegmentationClass").mkdir(exist_ok=True)
            indexed(root / "SegmentationClass" / f"{name}.png", values)


def zipped(root: Path, masks: Masks) -> None:
    with tempfile.TemporaryDirectory() as folder:
        folders(grey, classes__txt="\n".join(NAMES))(Path(folder) / "set", masks)
        shutil.make_archive(str(root / "set"), "zip", folder)


TXT = {"classes__txt": "\n".join(NAMES)}
TWO = {"classes__txt": "bg\nfg\n"}
HEX = [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in (*COLOURS.tolist(), VOID.tolist())]
CSV = {"classes__csv": "id,name,colour\n" + "".join(
    f"{index},{name},{colour}\n" for index, name, colour in zip((0, 1, 2, 255), (*NAMES, "void"), HEX, strict=True)
)}  # fmt: skip
DICT = {"class_dict__csv": "name, r, g, b\n" + "".join(
    f"{name},{','.join(map(str, colour))}\n" for name, colour in zip(NAMES, COLOURS.tolist(), strict=True)
)}  # fmt: skip

ROBOFLOW = {"_classes__csv": "Pixel Value, Class\n0, sky\n1, road\n2, car\n"}


@dataclass
class Form:
    """write: a set. options: of the data module, where it is not read by itself. names: of the classes read.

    ignored: whether the form can hold ignored pixels. smooth: whether masks must have smooth outlines. whole: whether
    it has no splits. note: part of a note.
    """

    write: Callable[[Path, Masks], None]
    names: list[str] = field(default_factory=lambda: NAMES)
    options: dict[str, Any] = field(default_factory=dict)
    ignored: bool = True
    smooth: bool = False
    whole: bool = False
    note: str = ""
    root: str = ""


BG_FG = {"names": ["bg", "fg"], "ignored": False}
SMOOTH = {**BG_FG, "smooth": True, "note": "black and white with blurred edges"}

FORMS = {
    "grey": Form(folders(grey, **TXT)),
    "palette": Form(folders(indexed, **TXT)),
    "three equal channels": Form(folders(three_channels, **TXT)),
    "three equal channels and transparency": Form(folders(four_channels, **TXT)),
    "grey and transparency": Form(folders(grey_and_alpha, **TXT)),
    "16 bits": Form(folders(deep, **TXT)),
    "0 and 255": Form(folders(white, **TWO), **BG_FG, note="255 is the class 'fg'"),
    "0 and 255 in BMP": Form(folders(white, mask="{split}/masks/{name}.bmp", **TWO), **BG_FG, note="the class 'fg'"),
    "0 and 255 in three channels": Form(folders(white_in_three_channels, **TWO), **BG_FG),
    "0 and 255 by ids": Form(folders(white, classes__csv="id,name\n0,bg\n255,fg\n"), **BG_FG),
    "0, 128 and 255 by ids": Form(
        folders(far_apart, classes__csv="id,name\n0,sky\n128,road\n255,car\n"), ignored=False
    ),
    "arrays": Form(folders(array, mask="{split}/masks/{name}.npy", **TXT)),
    "0 and 65535": Form(folders(deep_white, **TWO), **BG_FG, note="65535 is the class 'fg'"),
    "JPEG": Form(folders(jpeg, mask="{split}/masks/{name}.jpg", **TWO), **SMOOTH),
    "JPEG in three channels": Form(folders(jpeg_of_three_channels, mask="{split}/masks/{name}.jpg", **TWO), **SMOOTH),
    "JPEG that became PNG": Form(folders(blurred, **TWO), **SMOOTH),
    "colours of classes.csv": Form(folders(coloured, **CSV)),
    "colours of class_dict.csv": Form(folders(coloured, **DICT), ignored=False),
    "palettes of any order": Form(folders(permuted, **CSV)),
    "no class file": Form(folders(grey), names=["0", "1", "2"], note="the classes are the values 0, 1, 2"),
    "no class file, 0 and 255": Form(folders(white), names=["0", "255"], ignored=False),
    "images and masks": Form(folders(grey, "images/{name}.jpg", "masks/{name}.png", **TXT), whole=True),
    "images and labels": Form(folders(grey, "images/{name}.jpg", "labels/{name}.png", **TXT), whole=True),
    "img and ann": Form(folders(grey, "{split}/img/{name}.jpg", "{split}/ann/{name}.png", **TXT)),
    "images/train and masks/train": Form(folders(grey, "images/{split}/{name}.jpg", "masks/{split}/{name}.png", **TXT)),
    "train_images and train_masks": Form(folders(grey, "{split}_images/{name}.jpg", "{split}_masks/{name}.png", **TXT)),
    "train and trainannot": Form(folders(grey, "{split}/{name}.png", "{split}annot/{name}.png", **TXT)),
    "folders below": Form(folders(grey, "{split}/images/a/{name}.jpg", "{split}/masks/a/{name}.png", **TXT)),
    "MMSegmentation": Form(folders(grey, "img_dir/{split}/{name}.jpg", "ann_dir/{split}/{name}.png", **TXT)),
    "nnU-Net": Form(
        folders(grey, "imagesTr/{name}_0000.png", "labelsTr/{name}.png", **TXT), whole=True, note="* for *_0000"
    ),
    "input and target": Form(folders(grey, "input/{name}.jpg", "target/{name}.png", **TXT), whole=True),
    "Oxford pets": Form(folders(grey, "images/{name}.jpg", "annotations/trimaps/{name}.png", **TXT), whole=True),
    "suffix": Form(folders(grey, mask="{split}/masks/{name}_mask.png", **TXT), note="*_mask for *"),
    "prefix": Form(folders(grey, mask="{split}/masks/mask_{name}.png", **TXT), note="mask_* for *"),
    "suffixes on both sides": Form(
        folders(grey, "{split}/images/{name}_sat.jpg", "{split}/masks/{name}_mask.png", **TXT), note="*mask for *sat"
    ),
    "images and masks in one folder": Form(folders(grey, "{split}/{name}_sat.jpg", "{split}/{name}_mask.png", **TXT)),
    "Roboflow": Form(folders(grey, "{split}/{name}.jpg", "{split}/{name}_mask.png", **ROBOFLOW)),
    "globs": Form(
        folders(grey, "{split}/{name}/rgb.jpg", "{split}/{name}/semantic.png", **TXT),
        options={"images": "*/*/rgb.jpg", "masks": "*/*/semantic.png"},
    ),
    "rotated by EXIF": Form(rotated, note="rotated by their EXIF data"),
    "CVAT": Form(cvat, whole=True),
    "labelme2voc": Form(labelme, whole=True),
    "zip": Form(zipped, root="set.zip"),
}
ADE20K = Form(folders(grey, "images/{split}/{name}.jpg", "annotations/{split}/{name}.png", **TXT))


def drawn(seed: int, form: Form) -> Masks:
    """Three training and two validation masks that show all classes; blobs of 13 pixels at least where smooth."""
    random = np.random.default_rng(seed)
    count = len(form.names)

    def mask() -> np.ndarray:
        height, width = random.integers(3, 6, 2)
        cells = random.integers(0, count, (height, width), np.uint8)
        cells.flat[:count] = range(count)
        if form.ignored:
            cells.flat[count] = IGNORE
        return np.kron(cells, np.ones((15, 13), np.uint8)) if form.smooth else np.kron(cells, np.ones((3, 2), np.uint8))

    return {"train": {f"{i}": mask() for i in (7, 8, 19)}, "val": {f"{i}": mask() for i in (70, 1)}}


def read(form: Form, root: Path) -> segmentation.SegmentationData:
    path = str(root / form.root) if form.root else str(root)
    module = "MaskFolder" if form.options else form_of(path, "segmentation").module
    return getattr(segmentation, module)(path, num_workers=0, **form.options)


def check(form: Form, masks: Masks, data: segmentation.SegmentationData) -> None:
    assert data.classes == form.names
    found = {
        split: {
            "".join(filter(str.isdigit, sample.key.removesuffix("_0000.png"))): listing.mask(index)
            for index, sample in enumerate(listing)
        }
        for split, listing in data.listings.items()
    }  # fmt: skip
    if form.whole:
        masks = {"all": {name: mask for of_split in masks.values() for name, mask in of_split.items()}}
        found = {"all": {name: mask for of_split in found.values() for name, mask in of_split.items()}}
    for split, of_split in masks.items():
        assert found[split].keys() == of_split.keys()
        for name, mask in of_split.items():
            assert (found[split][name] == mask).all(), f"{split} {name}"
    assert any(form.note in note for note in data.notes)


@pytest.mark.parametrize("name", FORMS)
def test_a_form_is_recognised_and_reads_back_its_masks(name: str, tmp_path: Path) -> None:
    form = FORMS[name]
    masks = drawn(3, form)
    form.write(tmp_path, masks)
    check(form, masks, read(form, tmp_path))


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
@pytest.mark.parametrize("name", FORMS)
def test_any_masks_read_back_equal(name: str, seed: int) -> None:
    form = FORMS[name]
    masks = drawn(seed, form)
    with tempfile.TemporaryDirectory() as folder:
        form.write(Path(folder), masks)
        check(form, masks, read(form, Path(folder)))


def test_ade20ks_folders(tmp_path: Path) -> None:
    masks = drawn(0, ADE20K)
    ADE20K.write(tmp_path, {"training": masks["train"], "validation": masks["val"]})
    check(ADE20K, masks, read(ADE20K, tmp_path))
