"""`resnet-tl fit`: a recipe in, a run folder out."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, RunError

HELP = """usage: resnet-tl fit -c RECIPE [-c OVERLAY ...] [--run DIR] [--KEY VALUE ...]

Train by a recipe: a file, or the name of one that `resnet-tl recipes list` shows. Several lie over each other.

  -c RECIPE                         the recipe, and overlays upon it
  --run DIR                         the run's folder (default: runs/<recipe>/<date-time>)
  --resume DIR                      go on with an unfinished run, by its own recipe
  --resume auto                     go on with the newest unfinished run of this recipe (of --run DIR), else start
  --help-all                        every key of the recipe given by -c, with its type and value

Every value of a recipe can be given here too. The usual ones:

  --data.root PATH                  images: PATH/<class>/*.jpg, PATH/{train,val}/<class>/*.jpg, or a zip of that
  --data.image_size N               pixels a side that the network sees
  --data.batch_size N               images a step and device
  --data.num_workers N              processes that decode
  --data.augment STRENGTH           none, light, medium, strong
  --model.backbone.name NAME        resnet18, resnet50, resnet101d, resnext50_32x4d, ...
  --model.backbone.weights NAME     a file, builtin/..., timm/..., torchvision/..., a URL; null: random
  --model.head.dropout SHARE        of the pooled channels
  --model.optimizer.lr RATE         for the global batch as it is
  --trainer.max_epochs N
  --trainer.precision KIND          auto, 32, bf16-mixed, 16-mixed
  --trainer.devices N               GPUs; with --trainer.accelerator cpu: processes
  --trainer.accumulate_grad_batches N
  --tracking.wandb true             log to Weights & Biases, offline where there is no key
  --seed_everything N

example: resnet-tl fit -c classify/folder_resnet50_finetune --data.root photos --trainer.max_epochs 5"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("--run", metavar="DIR")
    parser.add_argument("--resume", metavar="DIR|auto")
    parser.add_argument("--help-all", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
    elif options.help_all:
        from resnet_tl.cli.help_all import help_all

        print(help_all(command))
    elif options.resume not in (None, "auto"):
        return _go_on(Path(options.resume), command)
    else:
        return _start(command, options.run, look_for_one=options.resume == "auto")
    return 0


def _start(command: Command, folder: str | None, *, look_for_one: bool) -> int:
    if not command.configs:
        raise RecipeError("fit needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows")
    from resnet_tl.run.build import compose
    from resnet_tl.run.resume import unfinished
    from resnet_tl.run.train import train
    from resnet_tl.tracking.run_folder import start_run

    recipe = compose(command.configs, command.overrides)
    run = unfinished(recipe, command.configs[0], folder) if look_for_one else None
    if run is None:
        return train(recipe, lambda: start_run(command.configs[0], folder))
    return train(recipe, lambda: run, run.last if run.last.is_file() else None)


def _go_on(folder: Path, command: Command) -> int:
    last = folder / "checkpoints" / "last.ckpt"
    if not last.is_file():
        raise RunError(f"--resume {folder}: no run to go on with: expected {last}")
    if command.configs:
        raise RecipeError("--resume goes on by the run's own recipe, so -c means nothing beside it")
    from resnet_tl.run.build import MAY_CHANGE, compose
    from resnet_tl.run.train import train
    from resnet_tl.tracking.last import epochs_done
    from resnet_tl.tracking.run_folder import RunFolder

    for key, _ in command.overrides:
        if key not in MAY_CHANGE:
            raise RecipeError(f"--{key}: a resumed run keeps its recipe; only {', '.join(MAY_CHANGE)} may change")
    run = RunFolder(folder)
    recipe = compose([str(run.recipe)], command.overrides)
    epochs = recipe["trainer"]["max_epochs"]
    if epochs is not None and epochs_done(last) >= epochs:
        raise RunError(f"--resume {folder}: the run has had its {epochs} epochs; more of them: --trainer.max_epochs N")
    return train(recipe, lambda: run, last)
