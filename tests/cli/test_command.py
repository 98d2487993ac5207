"""Command lines, parted."""

from __future__ import annotations

import pytest

from resnet_tl.cli.command import Command, Options, split
from resnet_tl.errors import RecipeError


@pytest.mark.parametrize(
    "line",
    [
        "fit -c a -c b --data.root photos --seed_everything 3 --run here",
        "-c a fit --config b --data.root=photos --seed_everything=3 --run here",
        "-c a --config=b --data.root photos fit --seed_everything 3 --run here",
    ],
)
def test_the_verb_stands_anywhere(line: str) -> None:
    overrides = [("data.root", "photos"), ("seed_everything", "3")]
    assert split(line.split()) == Command(["a", "b"], overrides, ["fit", "--run", "here"])


def test_a_value_may_be_a_negative_number_or_hold_an_equals_sign() -> None:
    assert split(["--model.x", "-0.5", "--data.root=a=b"]).overrides == [("model.x", "-0.5"), ("data.root", "a=b")]


@pytest.mark.parametrize("words", [["-c"], ["-c", "--data.root", "x"]])
def test_c_needs_a_recipe(words: list[str]) -> None:
    with pytest.raises(
        RecipeError, match=r"^-c needs a recipe: a file, or a name that `resnet-tl recipes list` shows$"
    ):
        split(words)


@pytest.mark.parametrize(
    "words", [["--data.root"], ["--data.root", "--run"], ["--model.backbone.keep_classifier", "-c", "x"]]
)
def test_an_option_needs_a_value(words: list[str]) -> None:
    with pytest.raises(RecipeError, match=f"^{words[0]} needs a value$"):
        split(words)


def read(line: str, recipe: bool = True) -> Command:
    parser = Options("verb")
    parser.add_argument("--run")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--score", type=float)
    parser.add_argument("--split", choices=("val", "test"))
    parser.add_argument("--draw", action="store_true")
    command = split(line.split())
    parser.read(command, recipe)
    return command


def test_what_may_be_a_recipes_is_left_to_the_recipe() -> None:
    assert read("--run here --lr 0.1 --epochs=3").overrides == [("lr", "0.1"), ("epochs", "3")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--rum here", "resnet-tl verb: --rum: unknown option; did you mean --run?"),
        ("-x", "resnet-tl verb: -x: unknown option"),
        ("stray", "resnet-tl verb: stray: nothing like this is expected here"),
        ("mine.yaml", "resnet-tl verb: mine.yaml: nothing like this is expected here; did you mean -c mine.yaml?"),
        ("quickstart", "resnet-tl verb: quickstart: nothing like this is expected here; did you mean -c quickstart?"),
        ("--lr", "--lr: unknown option"),
        ("--run", "--run needs a value"),
        ("--batch-size many", "--batch-size many: expected a whole number"),
        ("--batch-size o'clock", "--batch-size o'clock: expected a whole number"),
        ("--batch-size 2.5", "--batch-size 2.5: expected a whole number"),
        ("--score high", "--score high: expected a number"),
        ("--score nan", "--score nan: expected a number"),
        ("--score=-inf", "--score -inf: expected a number"),
        ("--split train", "--split train: expected val or test"),
        ("--split", "--split needs a value"),
        ("--draw=yes", "--draw takes no value"),
    ],
)
def test_a_wrong_option_of_a_verb(line: str, message: str) -> None:
    with pytest.raises(RecipeError) as error:
        read(line)
    assert str(error.value) == message


@pytest.mark.parametrize(("line", "word"), [("-c x", "-c"), ("--data.root x", "--data.root")])
def test_a_verb_without_recipe_says_so(line: str, word: str) -> None:
    with pytest.raises(RecipeError, match=f"^resnet-tl verb takes no recipe, so {word} means nothing there$"):
        read(line, recipe=False)
