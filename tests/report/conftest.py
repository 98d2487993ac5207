"""Runs of the smallest classifier, and pages read back."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import yaml

import resnet_tl
from tests.cli.conftest import RECIPE, here, images

__all__ = ["here", "images"]


class Page(HTMLParser):
    """A page: its text, the attributes of its tags, and the charts and pictures that it holds."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.text = ""
        self.tags: list[tuple[str, dict[str, str | None]]] = [("", {})]
        self.feed(path.read_text(encoding="utf-8"))
        self.charts: dict[str, Any] = self.content["charts"]
        self.pictures: dict[str, str] = self.content["pictures"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1]
        if tag == "script" and attributes.get("id") == "content" and data.strip():
            self.content: dict[str, Any] = json.loads(data)
        elif tag not in ("script", "style"):
            self.text += data

    def attributes(self, name: str) -> list[str]:
        return [attributes[name] or "" for _, attributes in self.tags if name in attributes]


@pytest.fixture(scope="session")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of red and blue, trained for two epochs."""
    folder = tmp_path_factory.mktemp("report") / "run"
    return resnet_tl.fit(yaml.safe_load(RECIPE), run=folder, **{"data.root": images}).path
