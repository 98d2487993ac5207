"""What is embedded in a page: charts, pictures, and the script that draws charts."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, Protocol

from PIL import Image

from resnet_tl.errors import DataError
from resnet_tl.prediction.thumbnails import read_small, small

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


def data_uri(image: Image.Image) -> str:
    file = io.BytesIO()
    image.save(file, "WEBP", quality=QUALITY)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


@lru_cache(maxsize=1)
def vega_script() -> str:
    """Returns the script that draws charts, so that a page needs no network; it takes 2 s to bundle."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;").replace("</script", "<\\/script")
