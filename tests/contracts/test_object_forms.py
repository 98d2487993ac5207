"""The same random objects, written in each form, are read back as the same boxes and masks."""

from __future__ import annotations

import tempfile
from pathlib import Path

import mask_writers
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from object_writers import SOURCES, Shot, Shots
from PIL import Image

from resnet_tl.data.listings.boxes import BoxSet
from resnet_tl.data.listings.objects import Objects
from resnet_tl.data.sources.coco import read_coco
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.structures.masks import to_pixels

CLASSES = ["cat", "dog"]
EXAMPLES = settings(max_examples=8, deadline=None)


@st.composite
def boxes(draw: st.DrawFn, width: int, height: int) -> tuple[str, float, float, float, float]:
    """At least two pixels wide and high, so that rounding leaves something of them."""
    side = st.floats(0, 1, width=32)
    x1, y1 = draw(side) * (width - 2), draw(side) * (height - 2)
    x2, y2 = x1 + 2 + draw(side) * (width - 2 - x1), y1 + 2 + draw(side) * (height - 2 - y1)
    return draw(st.sampled_from(CLASSES)), x1, y1, x2, y2


@st.composite
def shots(draw: st.DrawFn) -> Shot:
    width, height = draw(st.integers(4, 90)), draw(st.integers(4, 90))
    return Shot((width, height), draw(st.lists(boxes(width, height), max_size=3)))


@st.composite
def sets(draw: st.DrawFn) -> Shots:
    """Both classes occur in both splits."""
    first = Shot((20, 20), [("cat", 1, 2, 5, 9), ("dog", 3, 2, 8, 20)])
    others = {split: draw(st.lists(shots(), max_size=2)) for split in ("train", "val")}
    return {
        split: {f"{split}{number}": shot for number, shot in enumerate([first, *more])}
        for split, more in others.items()
    }


@pytest.mark.parametrize("kind", SOURCES)
@EXAMPLES
@given(planted=sets())
def test_boxes_are_read_back(kind: str, planted: Shots) -> None:
    write, read = SOURCES[kind]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), planted)
        images: BoxSet = read(Path(folder)).usable()
    assert images.classes == CLASSES
    for split, shots_of_split in planted.items():
        listing = images.splits[split]
        names = [Path(sample.key).stem for sample in listing]
        assert sorted(names) == sorted(shots_of_split)
        for row, name in enumerate(names):
            objects, shot = listing.objects(row), shots_of_split[name]
            assert [CLASSES[label] for label in objects.labels.tolist()] == [label for label, *_ in shot.objects]
            expected = np.array([box for _, *box in shot.objects]).reshape(-1, 4)
            assert np.abs(objects.boxes - expected).max(initial=0) <= 0.5 + 1e-4


def read_masks(name: str, root: Path) -> Objects:
    form = name.split("_")[0]
    readers = {"coco": read_coco, "yolo": read_yolo}
    images = readers.get(form, read_tool_export)(str(root)).usable()
    assert images.classes == CLASSES
    return images.splits["train"].objects(0)


@st.composite
def polygons(draw: st.DrawFn, size: tuple[int, int]) -> np.ndarray:
    """Corners around a centre, in hundredths of a pixel."""
    count = draw(st.integers(3, 8))
    radii = np.array(draw(st.lists(st.floats(2, min(size) / 2 - 1), min_size=count, max_size=count)))
    angles = np.arange(count) * 2 * np.pi / count
    centre = np.array(size[::-1]) / 2
    return np.round(centre + radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1), 2)


@pytest.mark.parametrize("name", mask_writers.POLYGONS)
@EXAMPLES
@given(data=st.data(), size=st.tuples(st.integers(8, 40), st.integers(8, 40)))
def test_polygons_are_read_back(name: str, data: st.DataObject, size: tuple[int, int]) -> None:
    planted = {label: data.draw(polygons(size)) for label in CLASSES}
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", size[::-1]).save(Path(folder) / "a.png")
        mask_writers.POLYGONS[name](Path(folder), size, planted)
        objects = read_masks(name, Path(folder))
    assert objects.masks is not None
    assert [CLASSES[label] for label in objects.labels.tolist()] == CLASSES
    for mask, corners in zip(objects.masks, planted.values(), strict=True):
        assert isinstance(mask, list)
        assert np.abs(mask[0] - corners).max() <= 1e-3
    if not name.startswith("coco"):  # whose boxes are written next to the masks
        for box, corners in zip(objects.boxes, planted.values(), strict=True):
            assert np.abs(box - [*corners.min(0), *corners.max(0)]).max() <= 1e-3


@pytest.mark.parametrize("name", mask_writers.PIXELS)
@EXAMPLES
@given(seed=st.integers(0, 2**32 - 1), size=st.tuples(st.integers(2, 30), st.integers(2, 30)), share=st.floats(0.05, 1))
def test_pixels_are_read_back(name: str, seed: int, size: tuple[int, int], share: float) -> None:
    rng = np.random.default_rng(seed)
    planted = {}
    for label in CLASSES:
        planted[label] = rng.random(size) < share
        planted[label][rng.integers(size[0]), rng.integers(size[1])] = True
    with tempfile.TemporaryDirectory() as folder:
        Image.new("RGB", size[::-1]).save(Path(folder) / "a.png")
        mask_writers.PIXELS[name](Path(folder), size, planted)
        objects = read_masks(name, Path(folder))
    assert objects.masks is not None
    for mask, pixels in zip(objects.masks, planted.values(), strict=True):
        assert (to_pixels(mask, *size) == pixels).all()
