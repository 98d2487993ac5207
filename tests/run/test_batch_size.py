"""An automatic batch size keeps the number below it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from resnet_tl.data.classification import ImageFolder
from resnet_tl.errors import RecipeError
from resnet_tl.run.batch_size import with_whole_steps
from resnet_tl.run.build import compose


def sizes(*layers: dict[str, Any] | str, **options: Any) -> tuple[Any, Any]:
    recipe = compose(["photos.yaml", *layers], options.items())
    return recipe["data"]["init_args"]["batch_size"], recipe["trainer"]["micro_batch"]


AUTO = {"data": {"batch_size": "auto"}}
"""As in an overlay."""


def test_auto_keeps_the_number_below_it_in_files_and_on_the_command_line(here: Path, images: Path) -> None:
    root = {"data.root": images}
    assert sizes(**root) == (4, None)
    assert sizes(**root, **{"data.batch_size": "auto"}) == (4, "auto")
    assert sizes(AUTO, **root) == (4, "auto")
    assert sizes({"data": {"class_path": "ImageFolder", "init_args": {"batch_size": "auto"}}}, **root) == (4, "auto")
    assert sizes({"data": {"batch_size": 8}}, AUTO, **root) == (8, "auto")
    assert sizes(AUTO, **root, **{"data.batch_size": 8}) == (8, None), "a number takes it back"
    assert sizes({"trainer": {"micro_batch": 2}}, **root, **{"data.batch_size": 8}) == (8, 2)


def test_auto_without_a_number_is_that_of_the_option(here: Path, images: Path) -> None:
    recipe = compose([{"model": "Classification", **AUTO}], [("data.root", images), ("trainer.max_epochs", 1)])
    assert (recipe["data"]["init_args"]["batch_size"], recipe["trainer"]["micro_batch"]) == (32, "auto")


def test_what_was_accumulated_becomes_one_batch(here: Path, images: Path) -> None:
    given = {"data.root": images, "data.batch_size": "auto", "trainer.accumulate_grad_batches": 3}
    recipe = with_whole_steps(compose(["photos.yaml"], given.items()))
    assert recipe["data"]["init_args"]["batch_size"] == 12
    assert recipe["trainer"]["accumulate_grad_batches"] == 1
    plain = compose(["photos.yaml"], [("data.root", images), ("trainer.accumulate_grad_batches", 3)])
    assert with_whole_steps(plain) == plain
    counted = compose(["photos.yaml"], {**given, "trainer.limit_train_batches": 5}.items())
    with pytest.raises(
        RecipeError, match=r"trainer\.limit_train_batches is 5 batches, of which .*one of 3; give a fra"
    ):
        with_whole_steps(counted)


def test_other_words_are_refused(here: Path, images: Path) -> None:
    with pytest.raises(RecipeError, match=r"--data\.batch_size must be .*'auto'.*, got 'atuo'; did you mean 'auto'"):
        compose(["photos.yaml"], [("data.root", images), ("data.batch_size", "atuo")])
    with pytest.raises(RecipeError, match=r"data\.batch_size is auto, which only a recipe can be; expected a number"):
        ImageFolder(str(images), batch_size="auto")


def test_an_automatic_batch_and_a_micro_batch_are_not_both_given(here: Path, images: Path) -> None:
    message = (
        r"^data\.batch_size is auto, which chooses trainer\.micro_batch, but that is 4 \(.+\); give one of the two$"
    )
    options: list[tuple[str, Any]] = [("data.batch_size", "auto"), ("trainer.micro_batch", "4")]
    for given in (options, options[::-1]):
        with pytest.raises(RecipeError, match=message):
            compose(["photos.yaml"], [("data.root", images), *given])
    with pytest.raises(RecipeError, match=message):
        compose(["photos.yaml", {**AUTO, "trainer": {"micro_batch": 4}}], [("data.root", images)])
    split = {"trainer": {"micro_batch": 4}}
    assert sizes(split, **{"data.root": images, "data.batch_size": "auto"}) == (4, "auto"), "laid over a recipe"
    assert sizes(AUTO, **{"data.root": images, "trainer.micro_batch": 4}) == (4, 4)
