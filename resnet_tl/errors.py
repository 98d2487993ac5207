"""Exceptions for mistakes a user can repair: one sentence each, printed without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a recipe, a data set, a weight file or a command.

    The message names the file, key or value, states what was expected, and suggests the nearest valid alternative.
    """


class RecipeError(UserError):
    """An invalid recipe or option: an unknown key, a wrong type, a contradiction."""


class DataError(UserError):
    """Images, labels or annotations that cannot be used."""


class WeightsError(UserError):
    """A weight file or checkpoint that is missing, unsafe to read, or does not match the network."""


class RunError(UserError):
    """A run that cannot start or resume: the folder is taken, the disk is full, the device does not exist."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Returns `"; did you mean 'x'?"` with the closest of `choices`, or `""` if none is close."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
