"""`resnet-tl check`: every fault of a recipe, without data."""

from __future__ import annotations

import sys

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl check -c RECIPE [-c OVERLAY ...] [--KEY VALUE ...]

List every fault of a recipe, each with its file and line: unknown and duplicate keys, wrong types and ranges, classes
that do not exist, a plan that names no stage or does not add up. Reads no data and needs no GPU. Exit code 0 or 2.

  -c RECIPE                         the recipe, and overlays on top of it

Every value of a recipe can be given here too, as for `resnet-tl fit`.

example: resnet-tl check -c my_recipe.yaml --data.root photos"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if not command.configs:
        raise RecipeError("check needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows")
    from resnet_tl.run.build import faults_of

    faults = faults_of(command.configs, command.overrides, training=True)
    for fault in faults:
        print(fault, file=sys.stderr)
    if not faults:
        print("ok")
    return 2 if faults else 0
