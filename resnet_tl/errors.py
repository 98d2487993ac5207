"""What a user did wrong, as exceptions: one sentence each, printed without a traceback, exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake in a recipe, a set of images, a weight file or a command.

    The message names the file, key or value, what was expected, and the nearest right thing.
    """


class RecipeError(UserError):
    """A recipe or an option: unknown key, wrong type, contradiction."""


class DataError(UserError):
    """Images, labels or annotations that cannot be used."""


class WeightsError(UserError):
    """A weight file or checkpoint that cannot be found, read safely, or matched to the network."""


class RunError(UserError):
    """A run that cannot start or go on where it was asked to: folder taken, disk full, no such device."""


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` with the nearest of `choices`, or `""` when nothing is near."""
    near = difflib.get_close_matches(word, list(choices), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
