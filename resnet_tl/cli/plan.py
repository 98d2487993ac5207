"""`resnet-tl plan`: shows what a recipe trains, when and how fast, without training."""

from __future__ import annotations

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl plan -c RECIPE [-c OVERLAY ...] [--find-lr] [--phase N] [--KEY VALUE ...]

Show a recipe's plan without training: for each stage and phase, frozen or its learning rate, the mode of its norms, and
how much of a full training step's compute the phase saves; and how many images each split has.

  -c RECIPE                         the recipe, then any overlays
  --find-lr                         try 100 rising rates on a copy, one batch each, and suggest one
  --phase N                         the phase to try them in, by its number in the plan (default 0, the first)

Any value of a recipe can be overridden, as for `resnet-tl fit`.

example: resnet-tl plan -c classify/folder_resnet50_finetune --data.root photos --find-lr --phase 1"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("--find-lr", action="store_true")
    parser.add_argument("--phase", type=int, default=0, metavar="N")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if not command.configs:
        raise RecipeError("plan needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows")
    from resnet_tl.run.plan import find_lr, plan_text

    if options.find_lr:
        print(find_lr(command.configs, command.overrides, options.phase))
    else:
        print(plan_text(command.configs, command.overrides))
    return 0
