"""Where images and masks are found."""

from __future__ import annotations

import pytest

from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_layout import find_files, place_of
from resnet_tl.data.sources.tree import Tree
from resnet_tl.errors import DataError, RecipeError


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("images/1.jpg", ("image", "images", "", "1")),
        ("train/masks/a/1.png", ("mask", "masks", "train", "a/1")),
        ("images/training/1.jpg", ("image", "images", "train", "1")),
        ("val_masks/1.png", ("mask", "masks", "val", "1")),
        ("labels-test/1.png", ("mask", "labels", "test", "1")),
        ("trainannot/1.png", ("mask", "annot", "train", "1")),
        ("Valid/IMG/1.JPG", ("image", "img", "val", "1")),
        ("training_day/1.jpg", (None, "", "", "training_day/1")),
        ("with_mask/1.jpg", (None, "", "", "with_mask/1")),
        ("1.jpg", (None, "", "", "1")),
    ],
)
def test_the_words_of_folders(path: str, expected: tuple[str | None, ...]) -> None:
    assert place_of(path)[1:] == expected


def found(*files: str, images: str | None = None, masks: str | None = None) -> tuple[list[str], list[str], list[str]]:
    findings = Findings("set")
    answer = find_files(Tree("set", list(files), set()), images, masks, findings)
    return [place.path for place in answer.images], [place.path for place in answer.masks], findings.notes


def test_one_folder_of_masks_counts_where_there_are_several() -> None:
    files = ("images/1.jpg", "labels/1.png", "masks/1.png", "notes.txt", "preview.png")
    assert found(*files) == (
        ["images/1.jpg"], ["masks/1.png"], ["set: folders of other masks than masks/, skipped (1): labels"],
    )  # fmt: skip
    assert found("images/1.jpg", "labels/1.txt", "masks/1.png")[2] == []


def test_files_without_folders_of_their_own_are_told_apart_by_name() -> None:
    assert found("train/7_sat.jpg", "train/7_mask.png") == (["train/7_sat.jpg"], ["train/7_mask.png"], [])
    assert found("train/7.jpg", "train_masks/7.gif") == (["train/7.jpg"], ["train_masks/7.gif"], [])
    for files, kind in ((("images/1.jpg", "images/2.jpg"), "masks"), (("a.txt",), "images")):
        with pytest.raises(DataError, match=rf"set has no folder of {kind}: expected set/.train,val./.images,masks."):
            found(*files)


def test_globs_pair_by_the_text_of_their_wildcards() -> None:
    files = ["a/rgb/1.jpg", "a/seg/1.png", "b/c/rgb/1.jpg", "b/c/seg/1.png", "train/rgb/2.jpg"]
    findings = Findings("set")
    answer = find_files(Tree("set", files, set()), "**/rgb/*.jpg", "**/seg/*.png", findings)
    assert [place.name for place in answer.images] == ["a//1", "b/c//1", "train//2"]
    assert [place.name for place in answer.masks] == ["a//1", "b/c//1"]
    assert [place.split for place in answer.images] == ["", "", "train"]
    assert [place.name for place in find_files(Tree("set", files, set()), "a/rgb/*", "a/seg/*", findings).masks] == [
        "1"
    ]


@pytest.mark.parametrize(
    ("images", "masks", "error", "message"),
    [
        ("a/*.jpg", None, RecipeError, "data.masks is missing; expected globs in both data.images and data.masks"),
        (None, "a/*.jpg", RecipeError, "data.images is missing"),
        ("*/a.jpg", "*/*.png", RecipeError, r"data.images '\*/a.jpg' and data.masks .* have different numbers"),
        ("a/*.jpg", "b/*.png", DataError, r"set: no file matches data.masks 'b/\*.png'"),
    ],
)
def test_wrong_globs(images: str | None, masks: str | None, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        found("a/1.jpg", images=images, masks=masks)
