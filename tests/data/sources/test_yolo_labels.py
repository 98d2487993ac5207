"""Lines of YOLO's label files: what other tools append to boxes and polygons."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from resnet_tl.data.listings.objects import Objects
from resnet_tl.data.sources.yolo import read_yolo
from resnet_tl.errors import DataError

BOX = "0 0.5 0.5 0.2 0.4"
CORNERS = "0 0.25 0.25 0.75 0.25 0.75 0.75"


def write(root: Path, *files: str, yaml: str = "names: [cat]") -> str:
    """An image of 40 x 20 pixels for each file of lines."""
    for name in ("images", "labels"):
        (root / name).mkdir(exist_ok=True)
    (root / "data.yaml").write_text(yaml)
    for number, lines in enumerate(files):
        Image.new("RGB", (40, 20)).save(root / "images" / f"{number}.png")
        (root / "labels" / f"{number}.txt").write_text(lines)
    return str(root)


def read(root: str) -> tuple[list[Objects], list[str]]:
    found = read_yolo(root).usable()
    listing = found.splits["train"]
    return [listing.objects(i) for i in range(len(listing))], [note.removeprefix(f"{root}: ") for note in found.notes]


def test_a_score_after_a_box_is_counted_and_ignored(tmp_path: Path) -> None:
    (objects,), notes = read(write(tmp_path, f"{BOX} 0.9\n{BOX}\n"))
    assert objects.boxes.tolist() == [[16, 6, 24, 14]] * 2
    assert objects.masks is None
    assert notes == ["lines that end in a score, read without it: 1"]


@pytest.mark.parametrize("tracks", [("1", "17"), ("1", "1")])
def test_a_score_and_a_track_differ_from_three_corners_by_all_files(tmp_path: Path, tracks: tuple[str, str]) -> None:
    both, notes = read(write(tmp_path, *(f"{BOX} 0.9 {track}" for track in tracks)))
    assert [objects.boxes.tolist() for objects in both] == [[[16, 6, 24, 14]]] * 2
    assert notes == ["lines that end in a score and the number of a track, read without them: 2"]


def test_three_corners(tmp_path: Path) -> None:
    both, notes = read(write(tmp_path, CORNERS, CORNERS.replace("0.75 0.75", "0.75 1")))
    assert [objects.boxes.tolist() for objects in both] == [[[10, 5, 30, 15]], [[10, 5, 30, 20]]]
    assert notes == []


def test_a_score_after_polygons(tmp_path: Path) -> None:
    (objects,), notes = read(write(tmp_path, f"{CORNERS} 0.9\n{CORNERS} 0.25 0.75 0.87\n"))
    assert objects.boxes.tolist() == [[10, 5, 30, 15]] * 2
    assert objects.area.tolist() == [100, 200]
    assert notes == ["lines that end in a score, read without it: 2"]


def test_a_polygon_that_lacks_a_number_among_others_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"0\.txt: line 1 has 7 numbers after the class; expected 4, or x and y of 3"):
        read(write(tmp_path, f"{CORNERS} 0.9", f"{CORNERS} 0.25 0.75"))


def test_oriented_boxes_are_polygons_with_a_note(tmp_path: Path) -> None:
    (objects,), notes = read(write(tmp_path, "0 0.5 0.25 0.75 0.5 0.5 0.75 0.25 0.5\n"))
    assert objects.boxes.tolist() == [[10, 5, 30, 15]]
    assert objects.area.tolist() == [100]
    assert notes == [
        "all lines have four corners (1), as oriented boxes (OBB) have; read as polygons, whose boxes are upright"
    ]


def test_keypoints_are_ignored_with_a_note(tmp_path: Path) -> None:
    yaml = "names: [cat]\nkpt_shape: [2, 3]\n"
    (objects,), notes = read(write(tmp_path, f"{BOX} 0.5 0.5 2 0.6 0.5 0\n", yaml=yaml))
    assert objects.boxes.tolist() == [[16, 6, 24, 14]]
    assert objects.masks is None
    assert notes == ["objects with keypoints (kpt_shape), read as their boxes alone: 1"]
    with pytest.raises(DataError, match="line 1 has 4 numbers after the class; expected 10, a box and its keypoints"):
        read(write(tmp_path, BOX, yaml=yaml))
    with pytest.raises(DataError, match=r"data\.yaml: kpt_shape is 'many'; expected two numbers, as \[17, 3\]"):
        read(write(tmp_path, BOX, yaml="names: [cat]\nkpt_shape: many\n"))


def test_keypoints_without_kpt_shape_show_by_their_visibility(tmp_path: Path) -> None:
    for even in ("", " 0.1 0.1 1"):
        both, notes = read(write(tmp_path, f"{BOX} 0.5 0.5 2 0 0 0{even}", f"{BOX} 0.5 0.5 1 0.6 0.6 1{even}"))
        assert [objects.boxes.tolist() for objects in both] == [[[16, 6, 24, 14]]] * 2
        assert [objects.masks for objects in both] == [None, None]
        assert notes == [
            "objects with what looks like keypoints (x, y, visibility), though the YAML has no kpt_shape, read as "
            "their boxes alone: 2"
        ]


def test_a_polygon_over_all_of_an_image_has_no_keypoints(tmp_path: Path) -> None:
    (objects,), notes = read(write(tmp_path, "0 0 0 1 0 1 1 0 1 0 0\n" * 2))
    assert objects.boxes.tolist() == [[0, 0, 40, 20]] * 2
    assert notes == []


def test_polygons_of_one_length_may_be_keypoints(tmp_path: Path) -> None:
    _, notes = read(write(tmp_path, f"{BOX} 0.3 0.3 0.4 0.41 0.5 0.6\n" * 2))
    assert notes == [
        "all polygons have 5 corners; boxes with keypoints, which look alike, need kpt_shape in the YAML, as [3, 2]"
    ]


def test_an_odd_count_of_numbers_names_kpt_shape(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has 7 numbers after the class; .* \(keypoints after a box need kpt_shape"):
        read(write(tmp_path, f"{BOX} 0.3 0.3 2\n{BOX} 0.3 0.3 2 0.3 0.3 2 0.3 0.3 2"))
