"""Images are found by the names that other programs gave them."""

from __future__ import annotations

import unicodedata

import pytest

from resnet_tl.data.sources.image_finder import ImageFinder
from resnet_tl.data.sources.tree import Tree

FINDER = ImageFinder(Tree("set", ["a.jpg", "train/b.jpg", "val/b.jpg", "val/c.d.png", "notes.txt"], {"train", "val"}))


@pytest.mark.parametrize(
    ("name", "folder", "key"),
    [
        ("a.jpg", "", "a.jpg"),
        ("b.jpg", "val", "val/b.jpg"),
        ("C:\\sets\\val\\b.jpg", "", "val/b.jpg"),
        ("../a.jpg", "train", "a.jpg"),
        ("/home/me/a.jpg", "", "a.jpg"),
        ("a", "val", "a.jpg"),
        ("c.d", "", "val/c.d.png"),
        ("c", "", None),
        ("notes.txt", "", None),
        ("", "", None),
    ],
)
def test_an_image_is_found_by_path_name_or_name_without_ending(name: str, folder: str, key: str | None) -> None:
    assert FINDER.find(name, folder) == key


def test_several_images_of_one_name() -> None:
    with pytest.raises(ValueError, match=r"^may be train/b\.jpg or val/b\.jpg"):
        FINDER.find("b", "")
    assert FINDER.unused({"a.jpg", "val/b.jpg"}) == ["train/b.jpg", "val/c.d.png"]


def test_composed_letters_and_endings_in_capitals_are_the_same_name() -> None:
    decomposed = unicodedata.normalize("NFD", "é")
    finder = ImageFinder(Tree("set", [f"{decomposed}.JPG", "x/a.JPG", "x/a.jpg"], {"x"}))
    assert finder.find("é.jpg", "") == f"{decomposed}.JPG"
    assert finder.find("x/a.jpg", "") == "x/a.jpg"
    with pytest.raises(ValueError, match=r"^may be x/a\.JPG or x/a\.jpg"):
        finder.find("x/a.Jpg", "")
