"""Prediction files and folders appear complete or not at all, replace nothing, and have names of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.errors import DataError, RunError
from resnet_tl.prediction.base import Prediction
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.prediction.writers.coco import coco_file
from resnet_tl.prediction.writers.csv_tables import box_table, class_table
from resnet_tl.prediction.writers.drawings import drawing_folder
from resnet_tl.prediction.writers.json_list import class_list
from resnet_tl.prediction.writers.masks import mask_folder
from resnet_tl.prediction.writers.output import FileNames, appearing, image_name, new_folder, write

CLASSES = ["cell", "dust"]
FILES: dict[str, Callable[[Path], Any]] = {
    "class table": class_table,
    "class list": class_list,
    "box table": box_table,
    "COCO": lambda path: coco_file(path, CLASSES, [7, 90]),
}
FOLDERS: dict[str, Callable[[Path], Any]] = {
    "drawings": drawing_folder,
    "masks": lambda path: mask_folder(path, CLASSES, np.zeros((2, 3), np.uint8)),
}
OUTPUTS = FILES | FOLDERS


@pytest.fixture
def prediction(detected: Callable[..., Any], segmented: Callable[..., Any]) -> Callable[[str], Prediction]:
    """One that an output writes."""

    def make(name: str) -> Prediction:
        if name.startswith("class"):
            return ClassPrediction(0, "a.jpg", CLASSES, [0.75, 0.25], np.array([0.75, 0.25], np.float32))
        return segmented(0, "a.jpg") if name == "masks" else detected(0, "a.jpg")

    return make


@pytest.mark.parametrize("name", OUTPUTS)
def test_what_exists_is_refused_before_anything_is_predicted(tmp_path: Path, name: str) -> None:
    (tmp_path / "mine").write_text("keep")
    output = OUTPUTS[name]

    def never_predicted() -> Iterator[Any]:
        raise AssertionError("the network was asked")
        yield

    with pytest.raises(RunError, match=r"mine exists and is not overwritten; [^\n]*$"):
        write(never_predicted(), [output(tmp_path / "mine")])
    assert (tmp_path / "mine").read_text() == "keep"
    with pytest.raises(RunError, match=r"mine[^\n]*p: cannot be written: (Not a directory|File exists)$"):
        write(never_predicted(), [output(tmp_path / "mine" / "p")])
    with pytest.raises(AssertionError):
        write(never_predicted(), [output(tmp_path / "half")])
    assert os.listdir(tmp_path) == ["mine"], "a failed run leaves no half file, so the next one may have the name"


def test_a_folder_that_cannot_be_written_to_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)
    sentence = f"^{tmp_path / 'new'}: cannot be written: Permission denied$"
    with pytest.raises(RunError, match=sentence), appearing(tmp_path / "new"):
        raise AssertionError("nothing is computed for it")


@pytest.mark.parametrize("name", OUTPUTS)
def test_missing_folders_are_made(tmp_path: Path, name: str) -> None:
    write([], [OUTPUTS[name](tmp_path / "some" / "where" / "p")])
    assert os.listdir(tmp_path / "some" / "where") == ["p"]


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize("error", [DataError("b.jpg: damaged"), KeyboardInterrupt()])
def test_a_run_that_ended_early_leaves_nothing_and_may_be_repeated(
    tmp_path: Path, prediction: Callable[[str], Prediction], name: str, error: BaseException
) -> None:
    def failing() -> Iterator[Prediction]:
        yield prediction(name)
        assert not (tmp_path / "out").exists(), "what is not complete has another name"
        raise error

    with pytest.raises(type(error)):
        write(failing(), [OUTPUTS[name](tmp_path / "out")])
    assert os.listdir(tmp_path) == []
    assert write([prediction(name)], [OUTPUTS[name](tmp_path / "out")]) == 1
    assert os.listdir(tmp_path) == ["out"]


def test_one_failure_takes_all_outputs_with_it(tmp_path: Path, detected: Callable[..., Any]) -> None:
    (tmp_path / "there.json").write_text("mine")
    names = ["new.csv", "there.json"]
    with pytest.raises(RunError, match=r"there\.json exists"):
        write([detected(0, "a.jpg")], [box_table(tmp_path / "new.csv"), FILES["COCO"](tmp_path / "there.json")])
    assert os.listdir(tmp_path) == ["there.json"]
    (tmp_path / "there.json").unlink()
    assert write([detected(0, "a.jpg")], [box_table(tmp_path / names[0]), FILES["COCO"](tmp_path / names[1])]) == 1
    assert sorted(os.listdir(tmp_path)) == names


KILLED = """
import os, sys
from pathlib import Path
import numpy as np
from resnet_tl.prediction.segmentation import MaskPrediction
from resnet_tl.prediction.writers.masks import mask_folder
from resnet_tl.prediction.writers.output import write

def predictions():
    yield MaskPrediction(0, "a.jpg", np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4), np.uint8))
    os._exit(9)

write(predictions(), [mask_folder(Path(sys.argv[1]), ["sky"], np.zeros((1, 3), np.uint8))])
"""


def test_a_killed_run_does_not_block_the_next(tmp_path: Path, prediction: Callable[[str], Prediction]) -> None:
    assert subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "out")], check=False).returncode == 9
    assert [path.name[:5] for path in tmp_path.iterdir()] == [".out."]
    write([prediction("masks")], [FOLDERS["masks"](tmp_path / "out")])
    assert (tmp_path / "out" / "areas.csv").is_file()


def test_a_name_taken_meanwhile_is_not_overwritten_and_nothing_is_lost(tmp_path: Path) -> None:
    def late() -> Iterator[Any]:
        (tmp_path / "out").mkdir()
        yield from []

    with pytest.raises(RunError, match=r"out was created by someone else meanwhile; what was to be there is") as error:
        write(late(), [FOLDERS["masks"](tmp_path / "out")])
    assert os.listdir(tmp_path / "out") == []
    assert "areas.csv" in os.listdir(str(error.value).rpartition(" in ")[2])


@pytest.mark.parametrize("nested", [False, True])
def test_a_full_disk_is_one_sentence_about_the_final_name(tmp_path: Path, nested: bool) -> None:
    def full() -> Iterator[Any]:
        raise OSError(28, "No space left on device")
        yield

    def run() -> None:
        if not nested:
            write(full(), [class_table(tmp_path / "out")])
            return
        with new_folder(tmp_path / "out") as folder:
            write(full(), [class_table(folder / "a.csv")])

    with pytest.raises(RunError, match=r"/out: cannot be written: No space left on device$"):
        run()
    assert os.listdir(tmp_path) == []


NUMBERED = ["a", "a_1", "a_2", "a_2_2", "a_1_2", "000001", "000001_1"]
ALIKE = ["A", "\u00e4", "a\u0308", "stra\u00dfe", "STRASSE"]  # names that are one to some file systems
STEMS = st.sampled_from(NUMBERED + ALIKE)


@settings(deadline=None)
@given(st.lists(st.tuples(st.none() | STEMS | st.text("ab_12.", min_size=1), st.integers(0, 3)), max_size=30))
def test_file_names_are_always_unique(images: list[tuple[str | None, int]]) -> None:
    names = FileNames()
    chosen = [names(Prediction(index, stem and f"x/{stem}.jpg")) for stem, index in images]
    assert len({name.casefold() for name in chosen}) == len(images)
    for (stem, _), name in zip(images, chosen, strict=True):
        assert stem is None or name.startswith(Path(f"{stem}.jpg").stem)


def test_images_have_their_own_name_while_it_is_free() -> None:
    names = FileNames()
    given = [Prediction(0, "x/a.jpg"), Prediction(1, "x/a_2.jpg"), Prediction(2, "y/a.jpg"), Prediction(3, None)]
    assert [names(each) for each in given] == ["a", "a_2", "a_2_2", "000003"]
    assert [image_name(each) for each in given] == ["x/a.jpg", "x/a_2.jpg", "y/a.jpg", "3"]
