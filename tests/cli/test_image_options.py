"""Options that `predict` and `explain` share."""

from __future__ import annotations

import pytest

from resnet_tl.cli.command import split
from resnet_tl.cli.image_options import image_options, read_image_options
from resnet_tl.errors import RecipeError


def test_a_run_and_images_are_needed_unless_for_help() -> None:
    options = read_image_options(image_options("explain"), "explain", split(["run", "a.jpg", "b.jpg", "--every", "2"]))
    assert (options.run, options.images, options.every, options.csv_safe) == ("run", ["a.jpg", "b.jpg"], 2, True)
    with pytest.raises(RecipeError, match="explain needs a run folder or checkpoint, and images"):
        read_image_options(image_options("explain"), "explain", split(["run"]))
    assert read_image_options(image_options("explain"), "explain", split(["--help"])).help
