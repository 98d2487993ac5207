from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest

from resnet_tl.data.sources.files import find_images
from resnet_tl.errors import DataError


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/{b.jpg,a.png,notes.txt,deep/er/c.webp}, set.zip with cats/1.jpg and cats/2.jpg, packed/files.shards; files
    are empty."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.png", "notes.txt", "deep/er/c.webp", ".hidden/d.jpg"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "photos" / name).touch()
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for name in ("cats/2.jpg", "cats/1.jpg", "readme.md"):
            archive.writestr(name, b"")
    (tmp_path / "none").mkdir()
    (tmp_path / "packed").mkdir()
    (tmp_path / "packed" / "files.shards").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["photos/b.jpg", "photos/a.png"], ["photos/b.jpg", "photos/a.png"]),
        (["photos/b.jpg", "photos/b.jpg"], ["photos/b.jpg", "photos/b.jpg"]),
        (["photos/notes.txt"], ["photos/notes.txt"]),
        (["photos"], ["photos/a.png", "photos/b.jpg", "photos/deep/er/c.webp"]),
        ([Path("photos/deep")], ["photos/deep/er/c.webp"]),
        (["photos/*"], ["photos/a.png", "photos/b.jpg"]),
        (["photos/**/*.[jw]*"], ["photos/b.jpg", "photos/deep/er/c.webp"]),
        (["set.zip"], ["set.zip/cats/1.jpg", "set.zip/cats/2.jpg"]),
        (["set.zip/cats"], ["set.zip/cats/1.jpg", "set.zip/cats/2.jpg"]),
        (["set.zip/cats/2.jpg"], ["set.zip/cats/2.jpg"]),
        (["packed/files.shards/cats/1.jpg"], ["packed/files.shards/cats/1.jpg"]),
    ],
)
@pytest.mark.usefixtures("photos")
def test_what_is_typed_becomes_images_in_order(given: list[str | Path], found: list[str]) -> None:
    assert find_images(given) == found


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("fotos", "fotos does not exist; did you mean 'photos'?"),
        ("photos/bb.jpg", "photos/bb.jpg does not exist; did you mean 'b.jpg'?"),
        ("photos/*.tif", "photos/*.tif matches no file (a glob through folders is written **/*.jpg)"),
        ("photos/*.txt", "photos/*.txt matches 1 file, but no image (a glob through folders is written **/*.jpg)"),
        ("none", "none holds no images"),
        ("", "a path is empty; expected a folder of images or a .zip of one"),
        ("set.zip/dogs", "set.zip holds no folder 'dogs'"),
    ],
)
@pytest.mark.usefixtures("photos")
def test_nothing_there_is_one_sentence(given: str, sentence: str) -> None:
    with pytest.raises(DataError, match=f"^{re.escape(sentence)}$"):
        find_images([given])
