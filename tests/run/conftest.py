"""The images and the small recipe of the command's tests."""

from __future__ import annotations

from tests.cli.conftest import here, images, resnet_tl

__all__ = ["here", "images", "resnet_tl"]
