"""`resnet-tl sweep-file`: a search for the best values of a recipe, as a sweep of W&B."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl sweep-file -c RECIPE [-c OVERLAY ...] [--out FILE] [--KEY VALUE ...]

Write a sweep of Weights & Biases that searches around a recipe's values: learning rate and weight decay from a tenth of
them to ten times as much, layer decay, lengths of phases that are shares of the run, label smoothing, augmentation. The
file is meant to be changed: any key of a recipe can be drawn, as the command names it.

  -c RECIPE                         the recipe, then any overlays
  --out FILE                        default: sweep.yaml; never overwritten

Values given here (--data.root photos) are those of all trials, and ranges are around them. Then

  wandb sweep sweep.yaml            with W&B: registers the sweep and prints the command of its agents
  resnet-tl sweep sweep.yaml        without W&B, on this machine

example: resnet-tl sweep-file -c classify/folder_resnet50_finetune --data.root photos"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("--out", type=Path, default=Path("sweep.yaml"), metavar="FILE")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if not command.configs:
        raise RecipeError("sweep-file needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows")
    from resnet_tl.run.sweep_file import sweep_of, write_sweep

    write_sweep(sweep_of(command.configs, command.overrides), options.out)
    print(f"{options.out}   (wandb sweep {options.out}, or resnet-tl sweep {options.out})")
    return 0
