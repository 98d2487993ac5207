"""`resnet-tl fit`: a recipe in, a run folder out."""

from __future__ import annotations

from argparse import Namespace

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

WEIGHTS, KEEP = "model.backbone.weights", "model.backbone.keep_classifier"

HELP = """usage: resnet-tl fit -c RECIPE [-c OVERLAY ...] [--run DIR] [--from RUN] [--KEY VALUE ...]

Train by a recipe: a file, or a name that `resnet-tl recipes list` shows. Later recipes override earlier ones.

  -c RECIPE                         the recipe, then any overlays
  --run DIR                         the run's folder (default: runs/<recipe>/<date-time>), or an address: s3://...
  --from RUN                        start from a run's or checkpoint's weights and keep the rows of its classes that the
                                    data has, too: for images of more classes, or of others; short for
                                    --model.backbone.weights RUN --model.backbone.keep_classifier known
  --resume DIR                      resume an unfinished run or its folds, by its own recipe
  --resume auto                     resume this recipe's newest unfinished run (or --run DIR), else start a new one
  --folds K                         train K networks, each on all images but a K-th that it is validated on, below one
                                    folder (default: runs/<recipe>/<date-time>-folds); their mean, deviation and
                                    predictions of all images are written there
  --trust-code                      with --resume DIR: let its recipe name classes outside resnet_tl
  --accept-changed-data             resume although images or labels are not what they were
  --help-all                        list every key of the recipe, with its value and type

Any value of a recipe can be overridden. The most common:

  --data.root PATH                  images: PATH/<class>/*.jpg, PATH/{train,val}/<class>/*.jpg, or a zip of that;
                                    boxes and masks in any form of docs/reference/forms.md
  --data.image_size N               side of the network's input, in pixels
  --data.batch_size N               images per step and device; auto: the recipe's, in the largest pieces that fit
  --data.num_workers N              processes that load images
  --data.augment STRENGTH           none, light, medium, strong, trivial, rand
  --model.backbone.name NAME        resnet18, resnet50, resnet101d, resnext50_32x4d, ...
  --model.backbone.weights NAME     a file, builtin/..., timm/..., torchvision/..., a URL; null: random
  --model.head.dropout SHARE        share of the pooled features to drop
  --model.optimizer.lr RATE         for the global batch; never scaled automatically
  --trainer.max_epochs N
  --trainer.precision KIND          auto, 32, bf16-mixed, 16-mixed
  --trainer.devices N               GPUs; with --trainer.accelerator cpu: processes
  --trainer.accumulate_grad_batches N
  --trainer.global_batch N          images of a step over all devices, on any number of them
  --tracking.wandb true             log to Weights & Biases, offline without a key
  --seed_everything N

example: resnet-tl fit -c classify/folder_resnet50_finetune --data.root photos --trainer.max_epochs 5"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("--run", metavar="DIR")
    parser.add_argument("--from", dest="start", metavar="RUN")
    parser.add_argument("--resume", metavar="DIR|auto")
    parser.add_argument("--folds", metavar="K", type=int)
    parser.add_argument("--trust-code", action="store_true")
    parser.add_argument("--accept-changed-data", action="store_true")
    parser.add_argument("--help-all", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
    elif options.help_all:
        from resnet_tl.cli.help_all import help_all

        print(help_all(command))
    elif not command.configs and options.resume in (None, "auto"):
        raise RecipeError("fit needs a recipe: -c RECIPE, a file or a name that `resnet-tl recipes list` shows")
    else:
        return _fit(command, options)
    return 0


def _fit(command: Command, options: Namespace) -> int:
    from resnet_tl.report.after_fit import after_fit
    from resnet_tl.run.fit import fit
    from resnet_tl.tracking.preemption import Preempted

    try:
        fit(
            command.configs,
            [*command.overrides, *_start(command, options.start)],
            run=options.run,
            resume=options.resume,
            finish=after_fit,
            trust_code=options.trust_code,
            accept_changed_data=options.accept_changed_data,
            folds=options.folds,
        )
    except Preempted as stopped:
        return stopped.exit_code
    return 0


def _start(command: Command, start: str | None) -> list[tuple[str, str]]:
    """Returns the overrides that `--from` is short for."""
    if start is None:
        return []
    for key, _ in command.overrides:
        if key.endswith(("backbone.weights", "backbone.keep_classifier")):
            raise RecipeError(
                f"--from {start} is short for --{WEIGHTS} {start} --{KEEP} known, so --{key} contradicts it: "
                f"leave one of the two out"
            )
    return [(WEIGHTS, start), (KEEP, "known")]
