"""What `predict` takes, as a list of images."""

from __future__ import annotations

import functools
import io
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from resnet_tl.data.images.transforms import evaluation_transform
from resnet_tl.errors import DataError
from resnet_tl.prediction.inputs import decode_input, list_images, path_of, spread


def test_folders_zips_globs_files_and_arrays_are_listed_in_the_order_given(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(photos / "bee" / "1.png", "in/1.png")
        archive.writestr("in/notes.txt", "no image")
    array = np.zeros((4, 5, 3), np.uint8)
    single = photos / "cat" / "2.png"
    listed = list_images([single, array, photos / "ant", str(tmp_path / "more.zip"), f"{photos}/**/4.png", str(single)])
    assert listed[0] == listed[-1] == str(single)
    assert listed[1] is array
    assert listed[2:10] == sorted(str(path) for path in (photos / "ant").iterdir())
    assert listed[10:12] == [f"{tmp_path}/more.zip/in/1.png", f"{photos}/bee/4.png"]
    assert len(listed) == 13


def test_one_input_needs_no_list(photos: Path) -> None:
    assert len(list_images(photos)) == len(list_images(str(photos))) == 24
    assert len(list_images(np.zeros((4, 5, 3), np.uint8))) == 1
    several = list_images(np.arange(120, dtype=np.uint8).reshape(2, 4, 5, 3))
    assert [each[0, 0, 0] for each in several if isinstance(each, np.ndarray)] == [0, 60]


def test_a_path_with_nothing_there_is_named(photos: Path) -> None:
    with pytest.raises(DataError, match="beee"):
        list_images([photos / "ant", photos / "beee"])


def test_files_and_arrays_decode_alike(photos: Path) -> None:
    file, transform = photos / "bee" / "1.png", evaluation_transform(24)
    array = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    for source in (file, array):
        image, size = decode_input(source, 0, transform, 3)
        assert (image == array).all()
        assert size == array.shape[:2]


def test_a_jpeg_may_be_decoded_at_a_fraction_of_its_size(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.jpg"), np.full((128, 160, 3), 90, np.uint8))
    image, size = decode_input(tmp_path / "a.jpg", 0, evaluation_transform(24), 3, reduce=True)
    assert (image.shape[:2], size) == ((32, 40), (128, 160))


def test_bytes_and_addresses_are_decoded_as_their_file(photos: Path) -> None:
    file, transform = photos / "bee" / "1.png", evaluation_transform(24)
    array = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(SimpleHTTPRequestHandler, directory=str(photos)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}/bee/1.png"
        for source in (file.read_bytes(), io.BytesIO(file.read_bytes()), address):
            (listed,) = list_images(source)
            assert (decode_input(listed, 0, transform, 3)[0] == array).all()
        assert path_of(address) == address
        with pytest.raises(DataError, match=r"none\.png: cannot be downloaded \(.*404|File not found"):
            decode_input(address.replace("1.png", "none.png"), 0, transform, 3)
    finally:
        server.shutdown()
    with pytest.raises(DataError, match=r"^image 4: "):
        decode_input(b"no image", 4, transform, 3)


def test_an_image_in_memory_needs_no_list() -> None:
    image = np.zeros((4, 5, 3), np.uint8)
    for one in (image, torch.from_numpy(image), Image.fromarray(image), b"x", io.BytesIO(b"x")):
        assert list_images(one) == [one] or len(list_images(one)) == 1
    assert len(list_images(torch.zeros(7, 3, 4, 5))) == 7
    assert len(list_images(Image.fromarray(image) for _ in range(3))) == 3


def test_items_are_spread_from_the_first_to_the_last() -> None:
    assert spread("abcdefg", 3) == ["a", "d", "g"]
    assert spread("ab", 8) == ["a", "b"]
    assert spread([], 8) == []
