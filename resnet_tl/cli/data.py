"""`resnet-tl data`: look at a data set before training on it."""

from __future__ import annotations

import json
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from resnet_tl.cli import suspects
from resnet_tl.cli.command import Command, Options, check_counts
from resnet_tl.cli.new_files import check_new, counted, show_progress, write_excluded
from resnet_tl.errors import RecipeError, did_you_mean
from resnet_tl.files import write_new_text

if TYPE_CHECKING:
    from resnet_tl.run.data import Finding

HELP = f"""usage: resnet-tl data check PATH | -c RECIPE [--json FILE] [--write FILE.csv] [--KEY VALUE ...]
       resnet-tl data stats PATH | -c RECIPE [--json FILE] [--draw FILE.png] [--KEY VALUE ...]
       resnet-tl data preview PATH | -c RECIPE [--out FILE.png] [--count N] [--epochs N] [--KEY VALUE ...]
       resnet-tl data pack PATH DEST | -c RECIPE DEST [--shard-mb N] [--resize N] [--workers N] [--KEY VALUE ...]

check: look for what is probably wrong with a data set: what fit refuses, damaged images, duplicates and near-duplicates
(within a split and across splits), groups in two splits, empty and tiny classes, class names that differ by case,
missing labels, boxes out of frame, doubled, tiny and giant ones, masks that show nothing, unusual sizes and modes.
stats: count images, classes, sizes, objects or pixels, and the channels' mean and standard deviation; for objects also
how many are small, medium and large, and how many fit no anchor of the recipe's head (RetinaNet without one).
preview: draw training images as the network receives them, cropped and augmented, with labels, boxes or masks.
pack: write images and targets into a few large files (LitData's shards) in DEST, a folder or an address
(s3://bucket/photos), which fit reads as it reads PATH: --data.root DEST. A pack that was stopped goes on when the
command is given again.
PATH is a folder, zip or CSV in any form that is read; its form is detected.

  -c RECIPE                         the data section of a recipe, in place of PATH
  --data CLASS                      the class that reads PATH, where the form detected is not the right one
  --KEY VALUE                       any value of the data section: --data.val_fraction 0.3
  --json FILE                       check, stats: all findings or numbers as JSON
  --write FILE.csv                  check: the images that are better excluded, one key a line; of masks in colours
                                    without a class file: that file, with a line for each colour, to be named
  --all                             check: list every finding, not the first few of each kind
  --draw FILE.png                   stats: the counts as bars
  --out FILE.png                    preview: the file to draw (preview.png)
  --count N                         preview: how many images (16)
  --epochs N                        preview: show each image as N epochs show it, side by side (1)
  --shard-mb N                      pack: MB of a shard (256)
  --resize N                        pack: reduce images with a longer short side to N pixels; without it files are kept
                                    as they are
  --workers N                       pack: shards written at a time, each of which needs three times its size of memory
                                    (one per core, at most 4)

Nothing is overwritten. Exit code of check: 0 if nothing is found, 1 if something is, 2 if the data cannot be read.

example: resnet-tl data check photos --json findings.json

{suspects.HELP}"""

LARGEST_SHARD = 2000
"""MB; LitData's offsets have 32 bits."""
FIRST = 5
"""Findings of a kind that are listed without `--all`."""


def run(verb: str, command: Command) -> int:
    action, words = (command.rest or [""])[0], command.rest[1:]
    if action in ("", "-h", "--help"):
        print(HELP)
        return 0
    actions = [*ACTIONS, "suspects"]
    if action not in actions:
        raise RecipeError(f"data has no {action!r}: expected {', '.join(actions)}{did_you_mean(action, actions)}")
    command.rest = words
    if action == "suspects":
        return suspects.run(f"{verb} {action}", command)
    parser = Options(f"{verb} {action}")
    parser.add_argument("paths", nargs="*")
    for name, settings in ACTIONS[action].options.items():
        parser.add_argument(f"--{name}", **settings)
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    places = ACTIONS[action].places
    if len(options.paths) + bool(command.configs) != 1 + len(places):
        into = "".join(f", and {place}" for place in places)
        example = " ".join(["photos", *places])
        raise RecipeError(
            f"data {action} needs a folder, zip or CSV, or a recipe{into}: resnet-tl data {action} {example}"
        )
    check_new(options, PICTURES)
    root = None if command.configs else options.paths[0]
    return ACTIONS[action].run(Source(command.configs, command.overrides, root), options)


class Source(NamedTuple):
    """Where the data are: recipes and their overrides, or a path."""

    recipes: Sequence[str]
    overrides: Sequence[tuple[str, str]]
    root: str | None


def _preview(source: Source, options: Namespace) -> int:
    from resnet_tl.run.data import open_data
    from resnet_tl.run.preview import preview, save

    check_counts(options, "count", "epochs")
    data = open_data(*source)
    print("\n".join(data.notes))
    save(preview(data, options.count, options.epochs), options.out)
    print(f"{options.out}: what training sees of {min(options.count, len(data.listings['train']))} images")
    return 0


def _stats(source: Source, options: Namespace) -> int:
    from resnet_tl.run.data import data_stats

    notes, numbers = data_stats(*source)
    print("\n".join([*notes, *_table(numbers)]))
    if options.json is not None:
        write_new_text(options.json, json.dumps(numbers, indent=1, ensure_ascii=False))
    if options.draw is not None:
        from resnet_tl.run.data import stats_picture
        from resnet_tl.run.preview import save

        save(stats_picture(numbers), options.draw)
    return 0


def _table(numbers: dict[str, Any]) -> Iterable[str]:
    """Yields the classes by split (objects by size, too), and a line for each of the other numbers."""
    splits, sizes = list(numbers["splits"]), list(numbers.get("objects", {}))
    rows = [[numbers["counted"], *splits, *sizes]]
    for name, counts in numbers["classes"].items():
        by_size = numbers.get("objects_by_class", {}).get(name, {})
        cells = [*(counts.get(split, 0) for split in splits), *(by_size[size] for size in sizes)]
        rows.append([name, *(f"{cell:,}" for cell in cells)])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
        yield "  ".join([first.ljust(widths[0]), *cells])
    for name, by_split in numbers.get("values", {}).items():
        each = (
            f"{least:.4g} to {most:.4g}, median {median:.4g} ({split})"
            for split, (least, median, most) in by_split.items()
        )
        yield f"{name}: {'; '.join(each)}"
    for side, (least, median, most) in numbers.get("sizes", {}).items():
        yield f"{side}: {least} to {most} pixels, median {median}"
    if sizes:
        listed = ", ".join(f"{count:,} {name}" for name, count in numbers["objects"].items())
        yield f"objects by area (below 32 x 32, below 96 x 96 pixels, more): {listed}"
    if fit := numbers.get("anchors"):
        levels = ", ".join(f"{count:,} {name}" for name, count in fit["levels"].items())
        share = fit["none"] / max(sum(fit["levels"].values()) + fit["none"], 1)
        where = f"anchors of {fit['head']}, images of {fit['image_size']} pixels"
        yield f"{where}: {levels}; {fit['none']:,} training objects ({share:.1%}) fit none"
    if "channels" in numbers:
        yield f"channel mean {numbers['channels']['mean']}, std {numbers['channels']['std']}"
        yield f"sizes and channels of {numbers['decoded']}"


def _check(source: Source, options: Namespace) -> int:
    from resnet_tl.run.data import UnlistedColours, check_data

    try:
        notes, findings = check_data(*source, show_progress())
    except UnlistedColours as error:
        if options.write is None:
            raise
        write_new_text(options.write, error.class_file)
        print(f"{options.write}: the colours of the masks, to be named; then: --data.class_file {options.write}")
        return 1
    print("\n".join([*notes, _report(findings, None if options.all else FIRST)]))
    if options.json is not None:
        write_new_text(
            options.json, json.dumps([finding._asdict() for finding in findings], indent=1, ensure_ascii=False)
        )
    if options.write is not None:
        excluded = [finding for finding in reversed(findings) if finding.exclude]
        write_excluded({finding.exclude: finding.kind for finding in excluded}, options.write)
    return 1 if findings else 0


def _pack(source: Source, options: Namespace) -> int:
    from resnet_tl.run.data import pack_data

    names = {"shard_mb": options.shard_mb, "resize": options.resize, "workers": options.workers}
    check_counts(options, *names)
    if options.shard_mb > LARGEST_SHARD:
        raise RecipeError(f"--shard-mb is {options.shard_mb}; expected {LARGEST_SHARD} or less")
    if not options.paths[-1].strip():
        raise RecipeError("DEST is blank; expected a new folder, or an address as s3://bucket/photos")
    notes, packed = pack_data(*source, options.paths[-1], show_progress(), **names)
    images = ", ".join(f"{count:,} {split}" for split, count in packed.splits.items())
    size = sum(shard.bytes for shard in packed.shards)
    shards = counted(len(packed.shards), "shard")
    print("\n".join([*notes, f"{options.paths[-1]}: {images} in {shards}, {size / 1e6:,.1f} MB, verified"]))
    return 0


def _report(findings: list[Finding], first: int | None) -> str:
    """Every kind with its first findings, and a table of all kinds."""
    if not findings:
        return "nothing found"
    lines: list[str] = []
    counts = Counter(finding.kind for finding in findings)
    for kind, count in counts.items():
        lines.append(f"\n{kind} ({count})")
        of_kind = [finding for finding in findings if finding.kind == kind]
        lines += [f"  {': '.join(filter(None, (finding.path, finding.text)))}" for finding in of_kind[:first]]
        if first is not None and count > first:
            lines.append(f"  ... and {count - first} more (--all lists them)")
    width = max(map(len, counts))
    return "\n".join([*lines, "", *(f"{kind:<{width}}  {count:>6}" for kind, count in counts.items())]).lstrip("\n")


class Action(NamedTuple):
    """run: does it and returns the exit code. options: name -> argparse's settings. places: what it writes to."""

    run: Callable[[Source, Namespace], int]
    options: dict[str, dict[str, Any]]
    places: tuple[str, ...] = ()


PICTURES = ("draw", "out")
FILE = {"type": Path, "metavar": "FILE"}
ACTIONS = {
    "check": Action(_check, {"json": FILE, "write": FILE, "all": {"action": "store_true"}}),
    "stats": Action(_stats, {"json": FILE, "draw": FILE}),
    "preview": Action(
        _preview,
        {
            "out": {**FILE, "default": Path("preview.png")},
            "count": {"type": int, "default": 16},
            "epochs": {"type": int, "default": 1},
        },
    ),
    "pack": Action(
        _pack,
        {"shard-mb": {"type": int, "default": 256}, "resize": {"type": int}, "workers": {"type": int}},
        places=("DEST",),
    ),
}
