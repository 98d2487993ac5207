"""Options that verbs share which run a network on images."""

from __future__ import annotations

import pytest

from resnet_tl.cli.command import split
from resnet_tl.cli.image_options import add_table_options, image_options, read_image_options
from resnet_tl.errors import RecipeError


def test_a_run_and_images_are_needed_unless_for_help() -> None:
    parser = image_options("explain")
    add_table_options(parser)
    options = read_image_options(parser, "explain", split(["run", "a.jpg", "b.jpg", "--every", "2"]))
    assert (options.run, options.images, options.every, options.csv_safe) == ("run", ["a.jpg", "b.jpg"], 2, True)
    with pytest.raises(RecipeError, match="explain needs a run folder or checkpoint, and images"):
        read_image_options(image_options("explain"), "explain", split(["run"]))
    assert read_image_options(image_options("explain"), "explain", split(["--help"])).help


def test_options_may_stand_between_the_run_and_its_images() -> None:
    words = ["--every", "2", "run", "--device", "cuda", "a.jpg", "--on-error", "skip", "b.jpg"]
    options = read_image_options(image_options("explain"), "explain", split(words))
    assert (options.run, options.images, options.every) == ("run", ["a.jpg", "b.jpg"], 2)
