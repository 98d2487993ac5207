"""The pages of the reference that are made from the code: Markdown by its place in the site. Needs no MkDocs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module

from lightning.pytorch import Trainer
from schema_tables import Documented, cell, documented, meanings_of, summary_of, table

from resnet_tl.cli.main import VERBS
from resnet_tl.data.base import ImageData
from resnet_tl.recipe.schema import Field, Section, fields_of
from resnet_tl.recipe.shipped import describe, shipped
from resnet_tl.run.build import sections

MODULES = {"validate": "evaluate", "test": "evaluate"}
PYTHON_ONLY = {
    *("ImageSet", "BoxSet", "MaskSet", "ClassificationData", "DetectionData", "SegmentationData"),
    *("SegmentationHead", "Decoder"),
}
"""What a recipe cannot name: bases of data and heads of your own, and what their constructors are given in Python."""


def pages() -> dict[str, str]:
    """Every generated page."""
    return {
        "reference/keys.md": keys_page(),
        "reference/data.md": data_page(),
        "reference/heads.md": heads_page(),
        "reference/verbs.md": verbs_page(),
        "reference/recipes.md": recipes_page(),
    }


def contents() -> str:
    """The list of generated pages, for the reference's first page."""
    return """## Made from the code

| page | what it lists |
| --- | --- |
| [Keys of a recipe](keys.md) | `model`, `trainer`, `tracking`: every key with type, default and meaning |
| [Data](data.md) | every data class and its keys |
| [Necks and heads](heads.md) | every neck, head and loss, and its keys |
| [Verbs](verbs.md) | every verb of the command and its options |
| [Shipped recipes](recipes.md) | every recipe and overlay |
"""


def public() -> list[Documented]:
    """Every class that a recipe can name or whose keys it sets."""
    return [entry for entry in documented(sections()) if entry.name not in PYTHON_ONLY]


def keys_page() -> str:
    top = sections().fields
    trainer = top["trainer"].hint
    assert isinstance(trainer, Section)
    entries = [entry for entry in public() if not (entry.at == "data" or _is_head_or_neck(entry))]
    return "\n".join(
        [
            "# Keys of a recipe\n",
            "A recipe has five sections. Every value is a key of the file and an option of the command:",
            "`model: {init_args: {optimizer: {lr: 0.02}}}` is `--model.optimizer.lr 0.02`; the command leaves out",
            "`class_path` and `init_args`.\n",
            "| section | what |",
            "| --- | --- |",
            "| `seed_everything` | the seed of everything random; an integer, default `1` |",
            "| `model` | the task and its network: [Classification](#classification), [Detection](#detection), "
            "[Segmentation](#segmentation) |",
            "| `data` | where images come from: a class of the [data page](data.md) |",
            "| `trainer` | Lightning's [Trainer](#trainer) |",
            "| `tracking` | what a run writes besides its folder: [Tracking](#tracking) |",
            "",
            *(text for entry in entries for text in _entry(entry)),
            "## Trainer\n",
            "At `trainer`. The arguments of Lightning's `Trainer`, whose documentation has more. `precision: auto` is",
            "the default here. What the command sets itself (`logger`, `plugins`, ...) is not a key.\n",
            table(Documented(Trainer, "trainer", "", trainer.fields, TRAINER)),
            "",
        ]
    )


TRAINER = {
    "accelerator": "`auto`, `cpu`, `gpu`, `mps`",
    "devices": "how many, which ones, or `auto`",
    "strategy": "`ddp` for several devices",
    "num_nodes": "machines",
    "precision": "see [precision](../concepts/precision.md)",
    "max_epochs": "epochs of the run; phases and schedule span them",
    "max_steps": "optimizer steps after which the run ends, if it is not at its end before",
    "accumulate_grad_batches": "batches summed up for one optimizer step",
    "gradient_clip_val": "largest norm of the gradient",
    "callbacks": "more Lightning callbacks, by import path",
    "limit_train_batches": "batches (a number) or share of an epoch (a float)",
    "limit_val_batches": "the same of validation",
    "limit_test_batches": "the same of the test",
    "check_val_every_n_epoch": "epochs from one validation to the next",
    "val_check_interval": "training batches from one validation to the next, or share of an epoch",
    "log_every_n_steps": "optimizer steps from one line of `metrics.csv` to the next",
    "deterministic": "only deterministic algorithms, or an error",
    "detect_anomaly": "find the operation behind a gradient that is NaN; slow",
}


def data_page() -> str:
    """Every data class with the keys of its own constructor; those of its bases are listed once."""
    classes = [entry for entry in public() if entry.at == "data"]
    bases = list(dict.fromkeys(base for entry in classes for base in _bases(entry.target)))
    bases.sort(key=lambda base: len(base.__mro__))
    names = ", ".join(f"[{entry.name}](#{entry.name.lower()})" for entry in classes)
    parts = [
        "# Data\n",
        f"Classes for the recipe's `data` section: {names}. Which files each reads: [layouts](../layouts.md).\n",
    ]
    for entry in classes:
        parts += _entry(replace(entry, fields=_own(entry.target)), _bases(entry.target)[:1])
    for base in bases:
        entry = Documented(base, "data", summary_of(base), _own(base), meanings_of(base))
        parts += _entry(entry, _bases(base)[:1])
    return "\n".join(parts)


def _bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__[1:] if issubclass(base, ImageData)]


def _own(kind: type) -> dict[str, Field]:
    """The fields that a data class's own constructor names, without the listing that its base is given in Python."""
    named = inspect.signature(kind).parameters
    python_only = {"images"} if kind.__name__ not in ("CocoDetection", "CocoSegmentation") else set()
    return {name: field for name, field in fields_of(kind).items() if name in named and name not in python_only}


def heads_page() -> str:
    return "\n".join(
        [
            "# Necks and heads\n",
            "Classes for `model.neck`, `model.head` and a head's `losses`. A class of your own is named by its import",
            "path: [use your own head](../howto/head.md).\n",
            *(text for entry in public() if _is_head_or_neck(entry) for text in _entry(entry)),
        ]
    )


def verbs_page() -> str:
    """The HELP text of every verb, as the command prints it."""
    parts = [
        "# Verbs\n",
        "`resnet-tl VERB --help` prints the same. Exit codes: 0 done, 1 a bug (a traceback), 2 a mistake of the user's "
        "(one sentence), 130 after Ctrl-C, 143 after SIGTERM.\n",
    ]
    for verb, summary in VERBS.items():
        parts += [f"## {verb}\n", f"{summary[0].upper()}{summary[1:]}.\n", f"```text\n{help_of(verb)}\n```\n"]
    return "\n".join(parts)


def help_of(verb: str) -> str:
    text: str = import_module(f"resnet_tl.cli.{MODULES.get(verb, verb)}").HELP
    return text.format(verb=verb, split="test" if verb == "test" else "validation") if verb in MODULES else text


def recipes_page() -> str:
    """Every shipped recipe with what its header says."""
    folders: dict[str, list[str]] = {}
    for name in shipped():
        folders.setdefault(name.rpartition("/")[0] or "quickstart", []).append(name)
    titles = {
        "quickstart": "Quick start",
        "classify": "Classify",
        "detect": "Detect",
        "instance": "Instance masks",
        "segment": "Segment",
        "overlays": "Overlays, laid over any of these",
    }
    parts = [
        "# Shipped recipes\n",
        "`resnet-tl recipes list` prints the names, `recipes show NAME` a recipe, `recipes copy NAME` gives you one to "
        "edit.\n",
    ]
    for folder in [*titles, *sorted(set(folders) - set(titles))]:
        if folder not in folders:
            continue
        parts += [f"## {titles.get(folder, folder)}\n", "| recipe | what for | needs |", "| --- | --- | --- |"]
        for name in folders[folder]:
            text = shipped()[name].read_text(encoding="utf-8")
            parts.append(f"| `{name}` | {cell(describe(shipped()[name]))} | {cell(header(text, 'Needs'))} |")
        parts.append("")
    return "\n".join(parts)


def header(recipe: str, word: str) -> str:
    """What a recipe's header says after `word:`, up to the next such word."""
    lines = [line.lstrip("# ") for line in recipe.splitlines() if line.startswith("#")]
    found = re.search(rf"\b{word}: (.*?)(?=\s[A-Z][a-z]+: |\s[A-Z][a-z ]+: |$)", " ".join(lines))
    return found[1] if found else ""


def _entry(entry: Documented, bases: Sequence[type] = ()) -> Iterator[str]:
    yield f"## {entry.name}\n"
    yield f"At `{entry.at}`. {entry.summary}\n"
    yield table(entry) if entry.fields else "No keys."
    yield "".join(f"\nAlso the keys of [{base.__name__}](#{base.__name__.lower()}).\n" for base in bases)


def _is_head_or_neck(entry: Documented) -> bool:
    return entry.at.startswith(("model.head", "model.neck"))
