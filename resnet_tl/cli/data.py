"""`resnet-tl data`: look at a data set before training on it."""

from __future__ import annotations

import csv
import json
import sys
from argparse import Namespace
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.cli.command import Command, Options
from resnet_tl.errors import RecipeError, RunError, did_you_mean

if TYPE_CHECKING:
    from resnet_tl.run.data import Finding

HELP = """usage: resnet-tl data check PATH | -c RECIPE [--json FILE] [--write FILE.csv] [--KEY VALUE ...]
       resnet-tl data stats PATH | -c RECIPE [--json FILE] [--KEY VALUE ...]

check: look for what is probably wrong with a data set: what fit refuses, damaged images, duplicates and near-duplicates
(within a split and across splits), groups in two splits, empty and tiny classes, class names that differ by case,
missing labels, boxes out of frame, doubled, tiny and giant ones, masks that show nothing, unusual sizes and modes.
stats: count images, classes, sizes, objects or pixels, and the channels' mean and standard deviation.
PATH is a folder, zip or CSV in any form that is read; its form is detected.

  -c RECIPE                         the data section of a recipe, in place of PATH
  --data CLASS                      the class that reads PATH, where the form detected is not the right one
  --KEY VALUE                       any value of the data section: --data.val_fraction 0.3
  --json FILE                       all findings or numbers as JSON; never overwritten
  --write FILE.csv                  check only: the images that are better excluded, one key a line; never overwritten
  --all                             check only: list every finding, not the first few of each kind

Exit code of check: 0 if nothing is found, 1 if something is, 2 if the data cannot be used at all.

example: resnet-tl data check photos --json findings.json"""

FIRST = 5
"""Findings of a kind that are listed without `--all`."""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--write", type=Path, metavar="FILE.csv")
    parser.add_argument("--all", action="store_true")
    options = parser.read(command)
    if options.help or not options.words:
        print(HELP)
        return 0
    action, *paths = options.words
    if action not in ACTIONS:
        raise RecipeError(f"data has no {action!r}: expected {', '.join(ACTIONS)}{did_you_mean(action, ACTIONS)}")
    if len(paths) + bool(command.configs) != 1:
        raise RecipeError(f"data {action} needs a folder, zip or CSV, or a recipe: resnet-tl data {action} photos")
    for file in (options.json, options.write):
        if file is not None and file.exists():
            raise RunError(f"{file}: exists already, and nothing is overwritten")
    root = paths[0] if paths else None
    return ACTIONS[action](command, root, options)


def _stats(command: Command, root: str | None, options: Namespace) -> int:
    from resnet_tl.run.data import open_data, stats

    data = open_data(command.configs, command.overrides, root)
    print("\n".join(data.notes))
    numbers = stats(data)
    print(_table(numbers))
    if options.json is not None:
        with open(options.json, "x", encoding="utf-8") as file:
            json.dump(numbers, file, indent=1, ensure_ascii=False)
    return 0


def _table(numbers: dict[str, Any]) -> str:
    """The classes by split, and a line for each of the other numbers."""
    splits = list(numbers["splits"])
    rows = [[numbers["counted"], *splits]]
    rows += [[name, *(f"{counts.get(split, 0):,}" for split in splits)] for name, counts in numbers["classes"].items()]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
    for side, (least, median, most) in numbers.get("sizes", {}).items():
        lines.append(f"{side}: {least} to {most} pixels, median {median}")
    if "objects" in numbers:
        lines.append("objects by area: " + ", ".join(f"{count:,} {name}" for name, count in numbers["objects"].items()))
    if "channels" in numbers:
        lines.append(f"channel mean {numbers['channels']['mean']}, std {numbers['channels']['std']}")
    return "\n".join(lines)


def _check(command: Command, root: str | None, options: Namespace) -> int:
    from resnet_tl.run.data import check_data

    progress = _progress if sys.stderr.isatty() else lambda done, total: None
    notes, findings = check_data(command.configs, command.overrides, root, progress)
    print("\n".join(notes))
    print(_report(findings, None if options.all else FIRST))
    if options.json is not None:
        with open(options.json, "x", encoding="utf-8") as file:
            json.dump([finding._asdict() for finding in findings], file, indent=1, ensure_ascii=False)
    if options.write is not None:
        _write_excluded(findings, options.write)
    return 1 if findings else 0


def _report(findings: list[Finding], first: int | None) -> str:
    """Every kind with its first findings, and a table of all kinds."""
    if not findings:
        return "nothing found"
    lines: list[str] = []
    counts = Counter(finding.kind for finding in findings)
    for kind, count in counts.items():
        lines.append(f"\n{kind} ({count})")
        of_kind = [finding for finding in findings if finding.kind == kind]
        lines += [f"  {finding.path}: {finding.text}" for finding in of_kind[:first]]
        if first is not None and count > first:
            lines.append(f"  ... and {count - first} more (--all lists them)")
    width = max(map(len, counts))
    return "\n".join([*lines, "", *(f"{kind:<{width}}  {count:>6}" for kind, count in counts.items())]).lstrip("\n")


def _write_excluded(findings: list[Finding], path: Path) -> None:
    reasons = {finding.exclude: finding for finding in reversed(findings) if finding.exclude}
    with open(path, "x", newline="", encoding="utf-8") as file:
        rows = [(key, finding.kind) for key, finding in sorted(reasons.items())]
        csv.writer(file, lineterminator="\n").writerows([("key", "reason"), *rows])
    print(f"{path}: {len(reasons)} images to exclude: --data.exclude {path}")


def _progress(done: int, total: int) -> None:
    if done % 20 == 0 or done == total:
        print(f"\r{done}/{total} images", end="\n" if done == total else "", file=sys.stderr, flush=True)


ACTIONS = {"check": _check, "stats": _stats}
