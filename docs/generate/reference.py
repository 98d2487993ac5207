"""The pages of the reference that are made from the code: Markdown by its place in the site. Needs no MkDocs."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Sequence
from importlib import import_module

from tables import cell, table

from resnet_tl.cli.main import VERBS
from resnet_tl.data.base import ImageData
from resnet_tl.recipe.docstrings import arguments, summary
from resnet_tl.recipe.reference import Argument, Entry, reference
from resnet_tl.recipe.schema import import_object, mapping_of
from resnet_tl.recipe.shipped import describe, shipped
from resnet_tl.run.sections import sections

PLACES = {
    "Task": "model",
    "Head": "model.head",
    "Neck": "model.neck",
    "PixelLoss": "model.head.losses",
    "Regulariser": "model.tuning.regularisers",
    "ImageData": "data",
}
"""Where a recipe names a class of a kind. Callbacks are Lightning's, or the user's own."""

TITLES = {
    "quickstart": "Quick start",
    "classify": "Classify",
    "detect": "Detect",
    "instance": "Instance masks",
    "segment": "Segment",
    "overlays": "Overlays, laid over any of these",
}

TRAINER = (
    "The arguments of Lightning's `Trainer`, in its documentation's words; `precision: auto` is the default here, and "
    "`channels_last`, `tf32` and `prefetch` are [ours](../howto/gpu.md). What the command sets itself (`logger`, "
    "`plugins`, `default_root_dir` and so on) is not a key."
)


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
| [Keys of a recipe](keys.md) | `model`, `trainer`, `tracking`: every key with type, range, default and meaning |
| [Data](data.md) | every data class and its keys |
| [Necks and heads](heads.md) | every neck, head and loss, and its keys |
| [Verbs](verbs.md) | every verb of the command and its options |
| [Shipped recipes](recipes.md) | every recipe and overlay |
"""


def entries() -> list[Entry]:
    """Every class that a recipe can name and every mapping of keys, without the recipe itself."""
    found = reference(sections())
    return [entry for entry in found if entry.name != "recipe" and entry.kind in ("", *PLACES)]


def keys_page() -> str:
    everything = entries()
    places = _places(everything)
    chosen = [entry for entry in everything if entry.kind in ("Task", "", "Regulariser")]
    parts = [
        "# Keys of a recipe\n",
        "A recipe has five sections. Every value is a key of the file and an option of the command:",
        "`model: {init_args: {optimizer: {lr: 0.02}}}` is `--model.optimizer.lr 0.02`; the command leaves out",
        "`class_path` and `init_args`.\n",
        "| section | what |",
        "| --- | --- |",
        "| `seed_everything` | the seed of everything random: an integer, 1 by default |",
        "| `model` | the task and its network: [Classification](#classification), [Detection](#detection), "
        "[Segmentation](#segmentation) |",
        "| `data` | the images: a class of the [data page](data.md) |",
        "| `trainer` | Lightning's [Trainer](#trainer) |",
        "| `tracking` | what a run writes besides its folder: [Tracking](#tracking) |",
        "",
    ]
    for entry in chosen:
        parts += _section(entry, places.get(entry.name, PLACES.get(entry.kind, "")))
    return "\n".join(parts)


def data_page() -> str:
    """Every data class with the keys of its own constructor; those of its bases are listed once."""
    classes = [entry for entry in entries() if entry.kind == "ImageData"]
    names = ", ".join(f"[{entry.name}](#{entry.name.lower()})" for entry in classes)
    parts = [
        "# Data\n",
        f"Classes for the recipe's `data` section: {names}. Which files each reads: [layouts](../layouts.md).\n",
    ]
    shared: dict[type, dict[str, Argument]] = {}
    for entry in classes:
        kind = import_object(entry.path)
        bases = _bases(kind)
        parts += _section(entry._replace(arguments=_own(kind, entry.arguments)), "data", bases[:1])
        for base in bases:
            shared.setdefault(base, {}).update({argument.name: argument for argument in _own(base, entry.arguments)})
    for base in sorted(shared, key=lambda base: -len(base.__mro__)):
        described = arguments(base)
        rows = [row._replace(description=described.get(row.name, "")) for row in shared[base].values()]
        parts += _section(Entry(base.__name__, "", "", summary(base), rows), "data", _bases(base)[:1])
    return "\n".join(parts)


def heads_page() -> str:
    chosen = [entry for entry in entries() if entry.kind in ("Head", "Neck", "PixelLoss")]
    chosen.sort(key=lambda entry: ("Neck", "Head", "PixelLoss").index(entry.kind))
    parts = [
        "# Necks and heads\n",
        "Classes for `model.neck`, `model.head` and a head's `losses`. A class of your own is named by its import",
        "path: [use your own head](../howto/head.md).\n",
    ]
    for entry in chosen:
        parts += _section(entry, PLACES[entry.kind])
    return "\n".join(parts)


def verbs_page() -> str:
    """The help text of every verb, as the command prints it."""
    parts = [
        "# Verbs\n",
        "`resnet-tl VERB --help` prints the same. Exit codes: 0 done, 1 a bug (a traceback), 2 a mistake of the user's",
        "(one sentence), 130 after Ctrl-C, 143 after SIGTERM; of `data check` 1 where it finds something.\n",
    ]
    for verb, text in VERBS.items():
        parts += [f"## {verb}\n", f"{text[0].upper()}{text[1:]}.\n", f"```text\n{help_of(verb)}\n```\n"]
    return "\n".join(parts)


def help_of(verb: str) -> str:
    from resnet_tl.cli import main

    text: str = import_module(f"resnet_tl.cli.{main._MODULES.get(verb, verb)}").HELP
    return text.format(verb=verb, split="test" if verb == "test" else "validation") if "{verb}" in text else text


def recipes_page() -> str:
    """Every shipped recipe with what its header says."""
    folders: dict[str, list[str]] = {}
    for name in shipped():
        folders.setdefault(name.rpartition("/")[0] or "quickstart", []).append(name)
    parts = [
        "# Shipped recipes\n",
        "`resnet-tl recipes list` prints the names, `recipes show NAME` a recipe, `recipes copy NAME` gives you one to "
        "edit.\n",
    ]
    for folder in [*(name for name in TITLES if name in folders), *sorted(set(folders) - set(TITLES))]:
        parts += [f"## {TITLES.get(folder, folder)}\n", "| recipe | what for | needs |", "| --- | --- | --- |"]
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


def _section(entry: Entry, place: str, bases: Sequence[type] = ()) -> Iterator[str]:
    description = TRAINER if entry.name == "trainer" else entry.description
    yield f"## {entry.name.title() if entry.name == 'trainer' else entry.name}\n"
    yield f"At `{place}`. {description}\n"
    rows = [row._replace(description=_meaning(entry, row)) for row in entry.arguments]
    yield table(rows) if rows else "No keys."
    yield "".join(f"\nAlso the keys of [{base.__name__}](#{base.__name__.lower()}).\n" for base in bases)


def _meaning(entry: Entry, row: Argument) -> str:
    """A description; of "see `Task`" that of the base; of Lightning's the first two sentences."""
    if entry.name == "trainer":
        return " ".join(re.split(r"(?<=[.!?])\s+", row.description)[:2])
    if not row.description.startswith("see `"):
        return row.description
    bases = import_object(entry.path).__mro__[1:]
    return next((found[row.name] for base in bases if row.name in (found := arguments(base))), row.description)


def _places(everything: Sequence[Entry]) -> dict[str, str]:
    """Where the keys of each dataclass and section stand in a recipe: `Backbone` at `model.backbone`."""
    places = {"trainer": "trainer", "Tracking": "tracking"}
    for _ in range(2):  # of dataclasses within dataclasses, too
        for entry in everything:
            above = PLACES.get(entry.kind) or places.get(entry.name)
            for row in entry.arguments if above else []:
                inner = next((mapping for hint in _hints(row.hint) if (mapping := mapping_of(hint)) is not None), None)
                if inner is not None:
                    places.setdefault(inner.__name__, f"{above}.{row.name}")
    return places


def _hints(hint: object) -> Iterator[object]:
    """A hint and what it holds: a list's items, a union's arms."""
    yield hint
    for inner in getattr(hint, "__args__", ()):
        yield from _hints(inner)


def _bases(kind: type) -> list[type]:
    return [base for base in kind.__mro__[1:] if issubclass(base, ImageData)]


def _own(kind: type, rows: Sequence[Argument]) -> list[Argument]:
    """Those that a data class's own constructor names; `images` of a base is a listing, given in Python."""
    named = inspect.signature(kind).parameters
    is_base = any(issubclass(other, kind) for other in kind.__subclasses__())
    return [row for row in rows if row.name in named and not (is_base and row.name == "images")]
