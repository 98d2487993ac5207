"""What is embedded in a page: charts, pictures, and the script that draws charts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

from resnet_tl.data.images.decode import decode_bytes, jpeg_size, read_bytes
from resnet_tl.errors import DataError
from resnet_tl.prediction.drawing import to_rgb

SIDE = 240
"""Pixels of the short side of a picture of a whole image."""
TINY = 96
"""Pixels of the short side up to which smaller images are enlarged."""
QUALITY = 72


class Chart(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


class Assets:
    """The charts and pictures of one page, each embedded once.

    Attributes:
        charts: Vega-Lite specifications by id.
        pictures: data URIs by id.
    """

    def __init__(self, channels: int = 3) -> None:
        self.channels = channels
        self.charts: dict[str, dict[str, Any]] = {}
        self.pictures: dict[str, str] = {}
        self._ids: dict[str, str] = {}

    def chart(self, chart: Chart) -> str:
        """Adds a chart and returns its id."""
        name = f"c{len(self.charts)}"
        self.charts[name] = chart.to_dict()
        return name

    def picture(self, pixels: Image.Image) -> str:
        """Adds a drawn picture and returns its id."""
        name = f"d{len(self.pictures)}"
        self.pictures[name] = data_uri(pixels)
        return name

    def images(self, paths: Iterable[str]) -> dict[str, str]:
        """Adds small pictures of image files and returns their ids by path, without those that cannot be decoded."""
        new = [path for path in dict.fromkeys(paths) if path not in self._ids]
        with ThreadPoolExecutor() as pool:
            for path, uri in zip(new, pool.map(self._thumbnail, new), strict=True):
                if uri is not None:
                    self._ids[path] = name = f"i{len(self._ids)}"
                    self.pictures[name] = uri
        return {path: self._ids[path] for path in paths if path in self._ids}

    def _thumbnail(self, path: str) -> str | None:
        try:
            return data_uri(small(Image.fromarray(read_small(path, self.channels))))
        except DataError:
            return None


def read_small(path: str, channels: int) -> npt.NDArray[np.uint8]:
    """Reads an image as `[H, W, 3]`; a JPEG at a reduced size if its short side keeps `SIDE` pixels.

    Raises:
        DataError: it cannot be read.
    """
    data = read_bytes(path)
    short = min(jpeg_size(data) or (0, 0))
    reduce = next((each for each in (8, 4, 2) if short // each >= SIDE), 1)
    return to_rgb(decode_bytes(data, path, channels, reduce))


def small(image: Image.Image) -> Image.Image:
    """Reduces an image to a short side of `SIDE` pixels; enlarges a tiny one by a whole factor, unsmoothed."""
    short = min(image.size)
    factor = SIDE / short if short > SIDE else max(1, TINY // short)
    size = round(image.width * factor), round(image.height * factor)
    if factor == 1:
        return image
    return image.resize(size, Image.Resampling.BICUBIC if factor < 1 else Image.Resampling.NEAREST)


def data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@lru_cache(maxsize=1)
def vega_script() -> str:
    """Returns the script that draws charts, so that a page needs no network; it takes 2 s to bundle."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
