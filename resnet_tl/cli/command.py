"""A command line, split into recipes, overrides of their values, and the verb's own words. Imports nothing heavy."""

from __future__ import annotations

import argparse
import ast
import difflib
import math
import re
from dataclasses import dataclass, field
from typing import NoReturn

from resnet_tl.errors import RecipeError

SECTIONS = ("model", "data", "trainer", "tracking", "seed_everything")
KINDS = {"int": "a whole number", "float": "a number"}


@dataclass
class Command:
    """`-c` recipes in order; overrides as (`data.root`, `photos`) in order; the rest is the verb's."""

    configs: list[str] = field(default_factory=list)
    overrides: list[tuple[str, str]] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)


def split(arguments: list[str]) -> Command:
    """Splits the words of a command line; the verb may be anywhere among the options.

    Raises RecipeError for an option without its value.
    """
    command, words = Command(), list(arguments)
    while words:
        word = words.pop(0)
        name, equals, value = word.partition("=")
        if name in ("-c", "--config"):
            needs = "-c needs a recipe: a file, or a name that `resnet-tl recipes list` shows"
            command.configs.append(value if equals else _value(words, needs))
        elif name.startswith("--") and ("." in name or name[2:] in SECTIONS):
            command.overrides.append((name[2:], value if equals else _value(words, f"{name} needs a value")))
        else:
            command.rest.append(word)
    return command


class Options(argparse.ArgumentParser):
    """A verb's own options; argparse's usage page on a mistake becomes one sentence."""

    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"resnet-tl {verb}", allow_abbrev=False, add_help=False)
        self.register("type", float, _finite)
        self.add_argument("-h", "--help", action="store_true")

    def read(self, command: Command, recipe: bool = True) -> argparse.Namespace:
        """The verb's options, taken from `command.rest`.

        recipe: the verb takes a recipe's values too: what looks like one, `--lr 0.1`, is left for the recipe to refuse,
        which knows that it is called `--model.optimizer.lr`.
        """
        options, unknown = self.parse_known_intermixed_args(command.rest)  # `predict RUN --out x.csv photos` too
        if options.help:
            return options
        while unknown:
            word, equals, value = unknown.pop(0).partition("=")
            near = difflib.get_close_matches(word, self._option_string_actions, n=1, cutoff=0.8)
            if not word.startswith("--") or not recipe or near:
                what = "unknown option" if word.startswith("-") else "nothing like this is expected here"
                near = near or ([f"-c {word}"] if recipe and names_recipe(word) else [])
                raise RecipeError(f"{self.prog}: {word}: {what}" + (f"; did you mean {near[0]}?" if near else ""))
            command.overrides.append((word[2:], value if equals else _value(unknown, f"{word}: unknown option")))
        if not recipe and (command.configs or command.overrides):
            word = "-c" if command.configs else f"--{command.overrides[0][0]}"
            raise RecipeError(f"{self.prog} takes no recipe, so {word} means nothing there")
        return options

    def error(self, message: str) -> NoReturn:
        raise RecipeError(self._sentence(message))

    def _sentence(self, message: str) -> str:
        """argparse's message about a value, in plain words."""
        name, _, fault = message.removeprefix("argument ").partition(": ")
        if wrong := re.match(r"invalid (\w+) value: (.*)", fault):
            return f"{name} {ast.literal_eval(wrong[2])}: expected {KINDS[wrong[1]]}"
        if wrong := re.match(r"invalid choice: (.*) \(choose from ", fault):
            choices = self._option_string_actions[name].choices or ()
            return f"{name} {ast.literal_eval(wrong[1])}: expected {' or '.join(choices)}"
        if re.match("expected .* argument", fault):
            return f"{name} needs a value"
        if fault.startswith("ignored explicit argument"):
            return f"{name} takes no value"
        return f"{self.prog}: {message}"


def check_counts(options: argparse.Namespace, *names: str, least: float = 1) -> None:
    """Refuses numbers below `least`; None, and options that a verb does not have, are fine."""
    for name in names:
        value = getattr(options, name, None)
        if value is not None and value < least:
            raise RecipeError(f"--{name.replace('_', '-')} is {value:g}; expected {least:g} or more")


def check_data_overrides(command: Command, verb: str) -> None:
    """Refuses overrides of anything but the data, for verbs that take the rest from a run.

    verb: as the subject of the sentence: `a report`.
    """
    for key, _ in command.overrides:
        if not key.startswith("data."):
            raise RecipeError(f"--{key}: unknown option; {verb} takes --data.KEY alone, as --data.root")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def names_recipe(word: str) -> bool:
    from resnet_tl.recipe.shipped import shipped

    return word.endswith((".yaml", ".yml")) or word in shipped()


def _value(words: list[str], otherwise: str) -> str:
    """The next word, unless it is an option itself; negative numbers are not."""
    if not words or (words[0].startswith("-") and not re.match(r"-\.?\d", words[0])):
        raise RecipeError(otherwise)
    return words.pop(0)
