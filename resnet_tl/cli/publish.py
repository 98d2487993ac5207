"""`resnet-tl publish`: a run or checkpoint as a folder that others load."""

from __future__ import annotations

from pathlib import Path

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError

HELP = """usage: resnet-tl publish RUN_OR_CHECKPOINT FOLDER [--licence NAME] [--with-images] [--hub USER/NAME]

Write a new folder to give away: the weights (model.safetensors), all that predicting needs (config.json), and a model
card (README.md) with data, scores and their intervals, limits and recipe. `resnet_tl.load("FOLDER")`,
`resnet-tl predict FOLDER photos` and `--model.backbone.weights FOLDER` take it; where timm has the same classifier,
which is tried, `timm.create_model("local-dir:FOLDER", pretrained=True)` gives equal logits. No path of this machine is
in it.

  --licence NAME                    of the weights, by the hub's short name, as apache-2.0 (default: unknown)
  --with-images                     add a few validation images with predictions: only if you may show them
  --hub USER/NAME                   also push the folder to the Hugging Face hub (log in by `hf auth login`); a new
                                    repository is private. Then: resnet_tl.load("hf://USER/NAME")
  --trust-code                      let the checkpoint name classes outside resnet_tl

example: resnet-tl publish runs/folder_resnet50_finetune/2026-01-31_12-00-00 birds --licence apache-2.0"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("run", nargs="?", metavar="RUN_OR_CHECKPOINT")
    parser.add_argument("folder", nargs="?", metavar="FOLDER", type=Path)
    parser.add_argument("--licence", "--license")
    parser.add_argument("--with-images", action="store_true")
    parser.add_argument("--hub")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command, recipe=False)
    if options.help:
        print(HELP)
        return 0
    if options.run is None or options.folder is None:
        raise RecipeError("publish needs a run or checkpoint, and a new folder: resnet-tl publish RUN FOLDER")
    from resnet_tl.publish.publish import publish
    from resnet_tl.weights.publishers import HUB, hub_repository

    name = None if options.hub is None else f"{HUB}{hub_repository(options.hub)}"
    done = publish(
        options.run, options.folder, name=name, licence=options.licence, with_images=options.with_images,
        trust_code=options.trust_code,
    )  # fmt: skip
    print(f"{done.path}: {', '.join(sorted(path.name for path in done.path.iterdir()))}")
    print(f'resnet_tl.load("{done.path}")')
    if done.in_timm:
        print(f'timm.create_model("local-dir:{done.path}", pretrained=True): logits equal on random images')
    if name is not None:
        from huggingface_hub import HfApi

        from resnet_tl.publish.hub import push

        print(push(done.path, name, HfApi()))
    return 0
