"""Masks and the peculiarities of each annotation tool's export; what they share is in the contract of sources."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import random
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.listings.boxes import BoxListing, BoxSet
from resnet_tl.data.sources.tools.export import read_tool_export
from resnet_tl.data.sources.tools.tool import TOOLS
from resnet_tl.errors import DataError
from resnet_tl.structures.masks import to_pixels

SIZE = (30, 40)
SQUARE = [[10, 5], [20, 5], [20, 15], [10, 15]]


def png(pixels: np.ndarray, alpha: bool = False) -> bytes:
    """A mask as the tools store it: white where it is True; with `alpha`, transparent elsewhere."""
    buffer = io.BytesIO()
    image = Image.fromarray(pixels.astype(np.uint8) * 255)
    if alpha:
        image = Image.merge("LA", (Image.new("L", image.size, 255), image))
    image.save(buffer, "PNG")
    return buffer.getvalue()


def disc() -> np.ndarray:
    rows, columns = np.ogrid[:9, :12]
    return (rows - 4) ** 2 / 16 + (columns - 5.5) ** 2 / 36 <= 1.1


def labelme(root: Path, shapes: list[dict[str, Any]], **more: Any) -> None:
    content = {"shapes": shapes, "imagePath": "a.png", "imageHeight": 30, "imageWidth": 40, **more}
    (root / "a.json").write_text(json.dumps(content))


def cvat(root: Path, shapes: str) -> None:
    image = f'<image id="0" name="a.png" width="40" height="30">{shapes}</image>'
    (root / "annotations.xml").write_text(f"<annotations>{image}</annotations>")


def studio(root: Path, kind: str, value: dict[str, Any]) -> None:
    result = {"type": kind, "original_width": 40, "original_height": 30, "image_rotation": 0, "value": value}
    task = {"id": 5, "data": {"image": "https://host/files/a.png"}, "annotations": [{"result": [result]}]}
    (root / "export.json").write_text(json.dumps([task]))


def supervisely(root: Path, item: dict[str, Any]) -> None:
    for folder in ("ann", "img"):
        (root / "first" / folder).mkdir(parents=True)
    (root / "a.png").rename(root / "first" / "img" / "a.png")
    content = {"size": {"height": 30, "width": 40}, "tags": [], "objects": [item]}
    (root / "first" / "ann" / "a.png.json").write_text(json.dumps(content))


def packed(pixels: np.ndarray) -> list[int]:
    """Brush strokes as Label Studio writes them, one value a run: the bit stream of @thi.ng/rle-pack."""
    values = np.zeros((*pixels.shape, 4), np.uint8)
    values[pixels] = 255
    flat = values.ravel().tolist()
    bits = f"{len(flat):032b}{7:05b}" + "".join(f"{bits - 1:04b}" for bits in (2, 4, 8, 13))
    start = 0
    while start < len(flat):
        end = start
        while end < len(flat) and flat[end] == flat[start] and end - start < 2**13:
            end += 1
        bits += f"111{end - start - 1:013b}{flat[start]:08b}"
        start = end
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Image.new("RGB", (40, 30)).save(tmp_path / "a.png")
    return tmp_path


def only(images: BoxSet) -> tuple[list[float], np.ndarray]:
    """The box and the pixels of the only object of the only image."""
    listing = images.splits["train"]
    assert isinstance(listing, BoxListing)
    objects = listing.objects(0)
    assert len(objects.labels) == 1
    assert objects.masks is not None
    return objects.boxes[0].tolist(), to_pixels(objects.masks[0], *SIZE)


def square() -> np.ndarray:
    pixels = np.zeros(SIZE, bool)
    pixels[5:15, 10:20] = True
    return pixels


def placed(pixels: np.ndarray, left: int, top: int) -> np.ndarray:
    whole = np.zeros(SIZE, bool)
    whole[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return whole


def test_polygons(root: Path) -> None:
    labelme(root, [{"label": "cat", "points": SQUARE, "shape_type": "polygon"}])
    box, pixels = only(read_tool_export(str(root)))
    assert box == [10, 5, 20, 15]
    assert (pixels == square()).all()
    cvat(root, f'<polygon label="cat" points="{";".join(f"{x},{y}" for x, y in SQUARE)}"/>')
    assert (only(read_tool_export(str(root), "cvat"))[1] == square()).all()


def test_polygons_in_percent(root: Path) -> None:
    studio(root, "polygonlabels", {"points": [[x * 2.5, y * 10 / 3] for x, y in SQUARE], "polygonlabels": ["cat"]})
    assert (only(read_tool_export(str(root)))[1] == square()).all()


def test_holes_are_cut_out(root: Path) -> None:
    hole = [[12, 7], [18, 7], [18, 13], [12, 13]]
    points = {"exterior": SQUARE, "interior": [hole]}
    supervisely(root, {"classTitle": "cat", "geometryType": "polygon", "points": points})
    expected = square()
    expected[7:13, 12:18] = False
    box, pixels = only(read_tool_export(str(root)))
    assert box == [10, 5, 20, 15]
    assert (pixels == expected).all()


def test_masks_as_png(root: Path) -> None:
    mask = base64.b64encode(png(disc())).decode()
    labelme(root, [{"label": "cat", "points": [[7, 6], [18, 14]], "shape_type": "mask", "mask": mask}])
    box, pixels = only(read_tool_export(str(root)))
    assert box == [7, 6, 19, 15]
    assert (pixels == placed(disc(), 7, 6)).all()


def test_masks_as_zipped_png(root: Path) -> None:
    data = base64.b64encode(zlib.compress(png(disc(), alpha=True))).decode()
    bitmap = {"data": data, "origin": [7, 6]}
    supervisely(root, {"classTitle": "cat", "geometryType": "bitmap", "bitmap": bitmap})
    assert (only(read_tool_export(str(root)))[1] == placed(disc(), 7, 6)).all()


def test_masks_as_run_lengths(root: Path) -> None:
    flat = disc().ravel()
    edges = np.flatnonzero(np.diff(flat.astype(int), prepend=0, append=0))
    counts = np.diff([0, *edges.tolist(), flat.size])
    shape = f'<mask label="cat" rle="{", ".join(map(str, counts))}" left="7" top="6" width="12" height="9"/>'
    cvat(root, shape)
    assert (only(read_tool_export(str(root)))[1] == placed(disc(), 7, 6)).all()


def test_brush_strokes(root: Path) -> None:
    pixels = placed(disc(), 7, 6)
    studio(root, "brushlabels", {"format": "rle", "rle": packed(pixels), "brushlabels": ["cat"]})
    box, found = only(read_tool_export(str(root)))
    assert box == [7, 6, 19, 15]
    assert (found == pixels).all()


def test_a_mask_that_reaches_out_of_its_image_is_clipped(root: Path) -> None:
    data = base64.b64encode(zlib.compress(png(np.ones((9, 12), bool)))).decode()
    supervisely(root, {"classTitle": "cat", "geometryType": "bitmap", "bitmap": {"data": data, "origin": [-4, 25]}})
    box, pixels = only(read_tool_export(str(root)))
    assert box == [0, 25, 8, 30]
    assert pixels.sum() == 8 * 5


def test_rotated_boxes_become_polygons(root: Path) -> None:
    """By 90 degrees about the centre (CVAT), or about the upper left corner (Label Studio)."""
    cvat(root, '<box label="cat" xtl="10" ytl="5" xbr="30" ybr="15" rotation="90"/>')
    assert only(read_tool_export(str(root)))[0] == pytest.approx([15, 0, 25, 20])
    (root / "annotations.xml").unlink()
    value = {"x": 50, "y": 10, "width": 25, "height": 10, "rotation": 90, "rectanglelabels": ["cat"]}
    studio(root, "rectanglelabels", value)
    assert only(read_tool_export(str(root)))[0] == pytest.approx([17, 3, 20, 13], abs=1e-4)


@pytest.mark.parametrize("tool", ["labelme", "via", "cvat"])
def test_circles_have_their_area(root: Path, tool: str) -> None:
    if tool == "labelme":
        labelme(root, [{"label": "cat", "points": [[20, 15], [20, 25]], "shape_type": "circle"}])
    elif tool == "cvat":
        cvat(root, '<ellipse label="cat" cx="20" cy="15" rx="10" ry="10"/>')
    else:
        region = {
            "shape_attributes": {"name": "circle", "cx": 20, "cy": 15, "r": 10},
            "region_attributes": {"kind of animal": "cat"},
        }
        entry = {"filename": "a.png", "size": 1, "regions": {"0": region}, "file_attributes": {}}  # as VIA 1
        (root / "via.json").write_text(json.dumps({"a.png1": entry}))
    images = read_tool_export(str(root))
    box, pixels = only(images)
    assert box == pytest.approx([10, 5, 30, 25], abs=0.01)
    assert pixels.sum() == pytest.approx(100 * np.pi, rel=0.02)
    assert images.classes == ["cat"]


def test_polygons_of_a_group_are_one_object(root: Path) -> None:
    parts = [[[1, 1], [5, 1], [5, 5]], [[10, 10], [15, 10], [15, 15]]]
    labelme(root, [{"label": "cat", "points": part, "shape_type": "polygon", "group_id": 3} for part in parts])
    box, pixels = only(read_tool_export(str(root)))
    assert box == [1, 1, 15, 15]
    assert pixels[:6, :6].any()
    assert pixels[10:, 10:].any()


def test_points_and_lines_are_skipped_with_a_note(root: Path) -> None:
    polygon = {"label": "cat", "points": SQUARE, "shape_type": "polygon"}
    others = [{"label": "eye", "points": [[1, 1]], "shape_type": "point"}] * 2
    labelme(root, [polygon, *others, {"label": "tail", "points": [[1, 1], [2, 2]], "shape_type": "line"}])
    (note,) = read_tool_export(str(root)).notes
    assert note.endswith("shapes that are neither boxes nor regions, skipped: line 1, point 2")


def test_an_image_is_found_by_the_end_of_the_path_that_the_tool_wrote(root: Path) -> None:
    (root / "photos").mkdir()
    (root / "a.png").rename(root / "photos" / "a.png")
    for written in ("C:\\Users\\me\\photos\\a.png", "/home/me/set/photos/a.png", "../photos/a.png", "a.png"):
        labelme(root, [{"label": "cat", "points": SQUARE, "shape_type": "polygon"}], imagePath=written)
        assert read_tool_export(str(root)).splits["train"].keys() == ["photos/a.png"]
    (root / "more").mkdir()
    Image.new("RGB", (40, 30)).save(root / "more" / "a.png")
    with pytest.raises(DataError, match=r"a\.json: its image a\.png may be more/a\.png or photos/a\.png"):
        read_tool_export(str(root)).usable()


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"points": SQUARE}, r"a\.json: shape 1 has no 'label'"),
        ({"label": "", "points": SQUARE}, r"a\.json: shape 1 has no label"),
        ({"label": "cat", "points": SQUARE[:2]}, r"a\.json: shape 1 has a polygon that is not three corners or more"),
        ({"label": "cat", "points": [["x", 1]] * 3}, r"a\.json: shape 1 is not of the form expected"),
        ("cat", r"a\.json: shape 1 is not of the form expected"),
        ({"label": "cat", "points": SQUARE, "shape_type": "mask", "mask": "AAAA"}, r"shape 1 has a mask that is not a"),
    ],
)
def test_what_is_wrong_with_a_shape_is_said(root: Path, shape: Any, message: str) -> None:
    labelme(root, [shape])
    with pytest.raises(DataError, match=message):
        read_tool_export(str(root)).usable()


def test_a_video_is_refused(root: Path) -> None:
    (root / "annotations.xml").write_text('<annotations><track id="0" label="cat"/></annotations>')
    with pytest.raises(DataError, match=r"holds tracks of a video; export it as 'CVAT for images 1\.1'"):
        read_tool_export(str(root)).usable()


def test_a_folder_without_an_export_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="holds no export of labelme, VGG Image Annotator, Label Studio"):
        read_tool_export(str(root)).usable()


@pytest.mark.parametrize("tool", TOOLS)
def test_damaged_exports_end_in_one_sentence(root: Path, tool: str) -> None:
    """200 of each tool: bytes changed, values of other types, parts that are missing."""
    writers = {
        "labelme": lambda: labelme(root, [{"label": "cat", "points": SQUARE, "shape_type": "polygon", "group_id": 1}]),
        "cvat": lambda: cvat(root, '<box label="cat" xtl="1" ytl="1" xbr="9" ybr="9"/>'),
        "label_studio": lambda: studio(root, "polygonlabels", {"points": SQUARE, "polygonlabels": ["cat"]}),
        "supervisely": lambda: supervisely(
            root, {"classTitle": "cat", "geometryType": "polygon", "points": {"exterior": SQUARE, "interior": []}}
        ),
        "via": lambda: (root / "via.json").write_text(
            json.dumps({"a": {"filename": "a.png", "regions": [{"shape_attributes": {"name": "rect", "x": 1, "y": 1,
                "width": 5, "height": 5}, "region_attributes": {"class": "cat"}}]}})
        ),
    }  # fmt: skip
    writers[tool]()
    (file,) = (path for path in root.rglob("*") if path.suffix in (".json", ".xml"))
    whole, draw = file.read_bytes(), random.Random(0)
    assert read_tool_export(str(root), tool).classes == ["cat"]
    for _ in range(200):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(len(data))
            kind = draw.random()
            if kind < 0.4:
                data[at] = draw.randrange(256)
            elif kind < 0.7:
                del data[at : at + draw.randint(1, 20)]
            else:
                data[at:at] = draw.choice([b"null", b"[]", b"{}", b"NaN", b"1e999", b'"x"', b"-1", b"9" * 400])
        file.write_bytes(data)
        with contextlib.suppress(DataError):
            read_tool_export(str(root), tool)


def via3(root: Path, *shapes: list[Any], **more: Any) -> None:
    attribute = {"aname": "class", "anchor_id": "FILE1_Z0_XY1", "type": 1, "options": {}}
    metadata = {
        f"1_{number}": {"vid": "1", "flg": 0, "z": [], "xy": shape, "av": {"1": "cat"}}
        for number, shape in enumerate(shapes)
    }
    content = {
        "project": {}, "attribute": {"1": attribute},
        "file": {"1": {"fname": "", "src": "http://host/a.png", "type": 2}},
        "view": {"1": {"fid_list": [1]}}, "metadata": metadata, **more,
    }  # fmt: skip
    (root / "project.json").write_text(json.dumps(content))


def test_shapes_of_via_3(root: Path) -> None:
    shapes = ([3, 20, 15, 10], [4, 20, 15, 10, 5], [7, 10, 5, 20, 5, 20, 15], [8, 10, 9, 15, 5, 20, 8, 14, 15])
    via3(root, *shapes, [1, 5, 5], [6, 1, 1, 2, 2], [])
    found = read_tool_export(str(root)).usable()
    boxes = found.splits["train"].objects(0).boxes
    assert boxes == pytest.approx(
        np.array([[10, 5, 30, 25], [10, 10, 30, 20], [10, 5, 20, 15], [10, 5, 20, 15]]), abs=0.02
    )
    assert found.notes[0].endswith("shapes that are neither boxes nor regions, skipped: point 1, polyline 1")


def test_videos_and_attributes_of_via_3(root: Path) -> None:
    files = {"1": {"fname": "a.png", "type": 2}, "2": {"fname": "a.mp4", "type": 4}}
    via3(root, [2, 1, 1, 5, 5], file=files, view={"1": {"fid_list": [1]}, "2": {"fid_list": [2]}})
    notes = read_tool_export(str(root)).usable().notes
    assert notes[0].endswith("skipped: video, audio or several images 1")
    via3(root, [2, 1, 1, 5, 5], attribute={})
    with pytest.raises(
        DataError, match="region 1_0 has the attributes none; expected one that holds the class, called l"
    ):
        read_tool_export(str(root)).usable()


def test_rectangles_of_labelme_by_four_corners(root: Path) -> None:
    labelme(
        root, [{"label": "cat", "points": [[15, 5], [20, 10], [15, 15], [10, 10]], "shape_type": "oriented_rectangle"}]
    )
    box, pixels = only(read_tool_export(str(root)))
    assert box == [10, 5, 20, 15]
    assert pixels.sum() == pytest.approx(50, abs=5)


def test_labels_of_label_studio_apart_from_their_shapes(root: Path) -> None:
    """As with `<Rectangle>` and `<Labels>` in its configuration: two results of one id."""
    geometry = {"x": 25, "y": 50, "width": 25, "height": 10, "rotation": 0}
    sizes = {"original_width": 40, "original_height": 30, "id": "r"}
    result = [
        {"type": "rectangle", "value": geometry, **sizes},
        {"type": "labels", "value": {**geometry, "labels": ["cat"]}, **sizes},
        {"type": "keypointlabels", "value": {"x": 1, "y": 1, "keypointlabels": ["eye"]}, **sizes, "id": "k"},
    ]
    task = {"id": 5, "data": {"image": "a.png"}, "annotations": [{"result": result}]}
    (root / "export.json").write_text(json.dumps([task]))
    found = read_tool_export(str(root)).usable()
    assert found.splits["train"].objects(0).boxes.tolist() == [[10, 15, 20, 18]]
    assert found.notes[0].endswith("skipped: keypointlabels 1")


def test_masks_of_images_of_another_size_are_never_painted(root: Path) -> None:
    """Sizes that a file gives may be any numbers; the image's own bound what memory has to hold."""
    huge = 'name="a.png" width="30000" height="30000"'
    mask = '<mask label="cat" rle="900000000" left="0" top="0" width="30000" height="30000"/>'
    (root / "annotations.xml").write_text(f"<annotations><image {huge}>{mask}</image></annotations>")
    with pytest.raises(
        DataError, match=r"shape 1 has a mask, but its image is of another size than annotated"
    ) as caught:
        read_tool_export(str(root)).usable()
    assert "is 40 x 30 pixels, but annotated as 30000 x 30000" in str(caught.value)
    cvat(root, '<mask label="cat" rle="0,99" left="0" top="0" width="41" height="1"/>')
    with pytest.raises(DataError, match=r"shape 1 has a mask of 41 x 1 pixels, larger than its image"):
        read_tool_export(str(root)).usable()


def test_an_export_that_cannot_be_read_is_named(root: Path) -> None:
    (root / "annotations.xml").write_text("<annotations><image>")
    with pytest.raises(DataError, match=r"has 1 fault:\n.*annotations\.xml: is not valid XML \(no element found"):
        read_tool_export(str(root))
    (root / "a.json").write_text("[" * 100_000)
    with pytest.raises(DataError, match=r"has 2 faults:\n.*a\.json: is not valid JSON \("):
        read_tool_export(str(root))


def test_regions_of_label_studio_without_a_size_are_faults(root: Path) -> None:
    region = {"type": "rectanglelabels", "value": {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["cat"]}}
    task = {"id": 5, "data": {"image": "a.png"}, "annotations": [{"result": [region]}]}
    (root / "export.json").write_text(json.dumps([task]))
    with pytest.raises(DataError, match=r"task 5 \(a\.png\): region 1 has no original_width and original_height"):
        read_tool_export(str(root)).usable()


def test_uploads_of_label_studio_may_keep_the_prefix_that_it_gave_them(root: Path) -> None:
    square = {"x": 25, "y": 20, "width": 25, "height": 50, "rectanglelabels": ["cat"]}
    studio(root, "rectanglelabels", square)
    text = (root / "export.json").read_text()
    (root / "export.json").write_text(text.replace("https://host/files/a.png", "/data/upload/3/0a1b2c3d-a.png"))
    assert read_tool_export(str(root)).usable().splits["train"].key(0) == "a.png"
    (root / "a.png").rename(root / "0a1b2c3d-a.png")
    assert read_tool_export(str(root)).usable().splits["train"].key(0) == "0a1b2c3d-a.png"


def test_the_split_is_in_the_name_of_supervisely_s_data_set(root: Path) -> None:
    points = {"exterior": [[10, 5], [19, 14]], "interior": []}
    supervisely(root, {"classTitle": "cat", "geometryType": "rectangle", "points": points})
    (root / "first").rename(root / "ds_val")
    assert list(read_tool_export(str(root)).splits) == ["val"]
