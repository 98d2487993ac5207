"""One limit on pixels and bytes, whichever way an image comes."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from resnet_tl.data.images.cache import CacheFormat, open_cache
from resnet_tl.data.images.class_masks import Coding, read_mask
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.decode import decode, decode_bytes
from resnet_tl.data.images.headers import read_header
from resnet_tl.data.images.limits import BYTES, LONGEST_SIDE, PIXELS, TooLarge, at_most, check_bytes, check_size
from resnet_tl.data.images.transforms import evaluation_transform
from resnet_tl.data.listings.listing import Listing
from resnet_tl.data.sources.tools.shapes import png_bitmap
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.prediction.inputs import decode_input
from resnet_tl.prediction.loader import Loader
from resnet_tl.structures.records import Draw

ANYTHING = Coding(np.zeros(256, np.uint8), {})
ROUTES: dict[str, Callable[[str], object]] = {
    "image": decode,
    "as stored": lambda path: decode(path, 5),
    "header": read_header,
    "mask": lambda path: read_mask(path, ANYTHING),
    "predict": lambda path: decode_input(path, 0, evaluation_transform(8), 3),
    "bytes": lambda path: decode_input(Path(path).read_bytes(), 0, evaluation_transform(8), 3),
}


@pytest.fixture
def _thousand_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIXELS.variable, "1000")


@pytest.mark.usefixtures("_thousand_pixels")
@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "JPEG2000", "PPM"])
def test_a_large_image_is_called_so_on_every_route(
    kind: str, route: str, encoded: Callable[..., bytes], save: Callable[[str, bytes], str]
) -> None:
    large = save("large", encoded(np.zeros((30, 40), np.uint8), kind))
    expected = r": is 40 x 30 pixels, too large: at most 1,000 are decoded \(RESNET_TL_MAX_PIXELS sets the limit\)$"
    with pytest.raises(TooLarge, match=expected):
        ROUTES[route](large)
    fits = save("fits", encoded(np.zeros((20, 50), np.uint8), kind))
    if route != "as stored" and (route != "mask" or kind not in ("WEBP", "AVIF")):
        ROUTES[route](fits)


@pytest.mark.usefixtures("_thousand_pixels")
def test_arrays_zips_masks_in_annotations_and_caches_have_the_same_limit(
    tmp_path: Path, encoded: Callable[..., bytes]
) -> None:
    np.save(tmp_path / "large.npy", np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(TooLarge, match=r"large\.npy: is 40 x 30 pixels"):
        decode(str(tmp_path / "large.npy"))
    png = encoded(np.zeros((30, 40), np.uint8), "PNG")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.writestr("large.png", png)
    with pytest.raises(TooLarge, match=r"set\.zip/large\.png: is 40 x 30 pixels"):
        decode(f"{tmp_path}/set.zip/large.png")
    with pytest.raises(ValueError, match="is 40 x 30 pixels, too large"):
        png_bitmap(png, (30, 40))
    cache = open_cache([Listing.of(f"{tmp_path}/set.zip", ["large.png"], [0])], CacheFormat(8), tmp_path)
    assert cache is not None
    assert cache.get("large.png") is None


def test_a_file_or_a_member_of_too_many_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(BYTES.variable, "1000")
    with zipfile.ZipFile(tmp_path / "set.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.png", bytes(1001))
        archive.writestr("stored.png", bytes(1001), zipfile.ZIP_STORED)
    (tmp_path / "a.png").write_bytes(bytes(1001))
    for path in ("a.png", "set.zip/a.png", "set.zip/stored.png"):
        with pytest.raises(TooLarge, match=r"png: has more than 1,000 bytes, too large \(RESNET_TL_MAX_BYTES sets"):
            decode(f"{tmp_path}/{path}")


def test_the_ends_of_the_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    check_size(2**14, 2**14, "a")
    check_size(1, LONGEST_SIDE, "a")
    check_bytes(2**30, "a")
    with pytest.raises(TooLarge, match="a: is 16,384 x 16,385 pixels"):
        check_size(2**14 + 1, 2**14, "a")
    with pytest.raises(TooLarge, match="a: is 1 x 1,048,577 pixels, too large: sides of at most 1,048,576 pixels"):
        check_size(LONGEST_SIDE + 1, 1, "a")
    for text in ("0", "-5", "many", "1e9", str(2**30 + 1)):
        monkeypatch.setenv(PIXELS.variable, text)
        with pytest.raises(RecipeError, match=r"^RESNET_TL_MAX_PIXELS must be a whole number from 1 to 1073741824"):
            check_size(1, 1, "a")


@pytest.fixture
def elongated(encoded: Callable[..., bytes], save: Callable[[str, bytes], str]) -> str:
    """A PNG of a few bytes that would be 64 x 640,000 pixels with a short side of 64."""
    return save("long.png", encoded(np.zeros((1, 10_000), np.uint8), "PNG"))


@pytest.fixture
def _million_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIXELS.variable, "1000000")


@pytest.mark.usefixtures("_million_pixels")
def test_an_elongated_image_is_named_before_it_is_enlarged(elongated: str) -> None:
    loader = Loader(evaluation_transform(64, 1.0), 3)
    expected = r"long\.png: is 10,000 x 1 pixels, too elongated: resized to 640,000 x 64 it has more than 1,000,000"
    with pytest.raises(TooLarge, match=expected):
        list(loader.batches([elongated], 1, "error"))
    with pytest.warns(UserWarning, match="skipped: .*too elongated"):
        assert list(loader.batches([elongated], 1, "skip")) == [[]]


@pytest.mark.usefixtures("_million_pixels")
def test_a_data_set_skips_and_names_an_elongated_image(elongated: str) -> None:
    root, _, name = elongated.rpartition("/")
    transform = evaluation_transform(64, 1.0)
    with pytest.raises(TooLarge, match=r"long\.png: is 10,000 x 1 pixels, too elongated"):
        ClassificationDataset(Listing.of(root, [name], [0]), transform)[Draw(0, 0)]
    skipping = ClassificationDataset(Listing.of(root, [name], [0]), transform, on_error="skip")
    assert skipping[Draw(0, 0)].row == -1
    assert [sentence.split(":")[0] for sentence in skipping.failures()] == [elongated]


def test_a_full_memory_is_not_damage(
    monkeypatch: pytest.MonkeyPatch, smooth: Callable[..., np.ndarray], encoded: Callable[..., bytes]
) -> None:
    monkeypatch.setattr("resnet_tl.data.images.decode.cv2.imdecode", lambda *_: None)  # as OpenCV says it
    good = encoded(smooth(), "PNG")
    with pytest.raises(DataError, match="damaged"):
        decode_bytes(good, "a.png")
    monkeypatch.setattr(np, "empty", _no_memory)
    with pytest.raises(MemoryError, match=r"^a\.png: no memory for its 80 x 60 pixels$"):
        decode_bytes(good, "a.png")


def _no_memory(*_: object) -> Iterator[None]:
    raise MemoryError


def test_the_variables_are_documented() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "concepts" / "hostile_input.md"
    for limit in (PIXELS, BYTES):
        assert limit.variable in page.read_text()


def test_a_caller_may_lower_the_limit_of_pixels_and_not_raise_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with at_most(1000):
        check_size(10, 100, "a.png")
        with pytest.raises(TooLarge, match=r"too large: at most 1,000 are decoded$"):
            check_size(11, 100, "a.png")
    check_size(11, 100, "a.png")
    monkeypatch.setenv(PIXELS.variable, "500")
    with at_most(1000), pytest.raises(TooLarge, match=r"at most 500 are decoded \(RESNET_TL_MAX_PIXELS"):
        check_size(10, 100, "a.png")
