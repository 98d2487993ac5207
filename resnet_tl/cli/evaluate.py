"""`resnet-tl validate` and `test`: evaluate a trained network, or a recipe's weights as they are."""

from __future__ import annotations

import json
import os
from argparse import Namespace
from pathlib import Path
from typing import Any

from resnet_tl.cli.command import Command, Options, names_recipe
from resnet_tl.cli.table_text import texts
from resnet_tl.errors import RecipeError, RunError

HELP = """usage: resnet-tl {verb} MODEL [--tables DIR] [--out FILE.json] [--KEY VALUE ...]
       resnet-tl {verb} -c RECIPE [--tables DIR] [--out FILE.json] [--KEY VALUE ...]

Evaluate on the {split} images: a run (its best checkpoint), a checkpoint, an exported file, a published folder (with
--data.root), the weights that a recipe names, or all folds of a folder together, on images that none of them was
trained on. An exported file has the scores of its checkpoint, but no loss; those of a classifier are of calibrated
probabilities.

  --data.root PATH                  images other than the run's; the classes must be the same
  --data.crops 10                   ten crops per image: corners and centre, and their mirror images
  --data.scales "[224, 256, 288]"   average over several sizes of each image
  --tables DIR                      the printed tables as CSVs, in full: summary.csv (scores with 95 % intervals),
                                    per_class.csv, confusion.csv, of detectors errors.csv; never overwritten
  --specificity 0.95                of classifiers: the sensitivity of each class at that specificity
  --spacing 0.5                     of segmentation: distances between true and predicted surfaces; the side of a pixel
                                    of the image files, in mm or any unit
  --out FILE.json                   all of it in one file; never overwritten
  --trust-code                      let a checkpoint name classes outside resnet_tl; open .pt2 files, which run code

example, published weights with their own classifier:
  resnet-tl {verb} -c classify/cifar10_resnet20_scratch --data.root test.zip --data.val_fraction 1 \\
    --model.backbone.weights resnet20.th --model.backbone.keep_classifier true"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("run", nargs="?", metavar="MODEL")
    parser.add_argument("--out", metavar="FILE.json")
    parser.add_argument("--tables", metavar="DIR")
    parser.add_argument("--specificity", type=float)
    parser.add_argument("--spacing", type=float)
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP.format(verb=verb, split="test" if verb == "test" else "validation"))
        return 0
    if options.run is None and not command.configs:
        raise RecipeError(f"{verb} needs a run folder, a checkpoint or an exported file, or a recipe: -c RECIPE")
    if options.run is not None and names_recipe(options.run):
        raise RecipeError(f"{verb} {options.run}: a recipe is named by -c: resnet-tl {verb} -c {options.run}")
    _check_outputs(options)
    from resnet_tl.run.evaluate import Asked, evaluate_recipe, evaluate_run
    from resnet_tl.tracking.log import is_rank_zero

    asked = Asked(options.specificity, options.spacing)
    split, recipes = "test" if verb == "test" else "val", command.configs
    if options.run is None:
        result = evaluate_recipe(split, recipes, command.overrides, asked)
    else:
        result = evaluate_run(split, options.run, recipes, command.overrides, asked, trust_code=options.trust_code)
    if is_rank_zero():
        print(_metrics(result))
        for line in (*texts(result["tables"]), *result["notes"]):
            print(line)
        if options.tables is not None:
            from resnet_tl.run.table_files import write_tables

            write_tables(result["tables"], Path(options.tables))
        if options.out is not None:
            from resnet_tl.prediction.writers.output import new_file

            with new_file(Path(options.out)) as file:
                json.dump(result, file, indent=2)
    return 0


def _check_outputs(options: Namespace) -> None:
    """Refuses, before anything is evaluated, what could not be written then; `--out` may lie in the new `--tables`."""
    for name, path in (("out", options.out), ("tables", options.tables)):
        if path is not None and Path(path).exists():
            raise RunError(f"--{name} {path}: exists already, and nothing is overwritten")
    out, tables = (path and Path(path).resolve() for path in (options.out, options.tables))
    if out and out == tables:
        raise RunError(f"--out and --tables are both {options.out}; expected a file and a folder of different names")
    if tables:
        _check_parent("tables", options.tables, next(each for each in tables.parents if each.exists()))
    if out and out.parent != tables:
        _check_parent("out", options.out, out.parent)


def _check_parent(name: str, path: str, parent: Path) -> None:
    if not parent.is_dir():
        raise RunError(f"--{name} {path}: {parent} is not a folder")
    if not os.access(parent, os.W_OK):
        raise RunError(f"--{name} {path}: {parent} cannot be written to")


def _metrics(result: dict[str, Any]) -> str:
    """One line per metric; the headline has its interval."""
    width = max(map(len, result["metrics"]))
    missing = -1 if result["headline"] == "map" else None  # COCO's number where there are no objects, as of a size
    texts = {name: "–" if value == missing else f"{value:.4f}" for name, value in result["metrics"].items()}
    lines = [f"{name:<{width}}  {text}" for name, text in texts.items()]
    headline = next(i for i, name in enumerate(result["metrics"]) if name.endswith(f"/{result['headline']}"))
    interval = "95 % interval {:.4f} to {:.4f}, ".format(*result["interval"]) if result["interval"] else ""
    lines[headline] += f"  ({interval}{result['images']} images)"
    return "\n".join(lines)
