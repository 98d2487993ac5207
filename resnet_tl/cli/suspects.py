"""`resnet-tl data suspects`: annotations that are probably wrong, by a run's predictions."""

from __future__ import annotations

import csv
import io
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from resnet_tl.cli.command import Command, Options, check_counts, check_data_overrides
from resnet_tl.cli.new_files import check_new, counted, show_progress, write_excluded
from resnet_tl.csv_text import text_cell
from resnet_tl.errors import RecipeError
from resnet_tl.files import write_new_text

if TYPE_CHECKING:
    from resnet_tl.run.suspects import Suspect, Suspects

HELP = """usage: resnet-tl data suspects RUN [--out FILE.csv] [--sheet FILE.jpg] [--write FILE.csv] [--top N]

List what is probably labelled wrongly: labels of images; boxes of another class, missed, spurious and badly placed
ones; regions of masks. RUN is a run's folder, of which the validation images are examined, or the folder of
`fit --folds 5`, which covers all images.

  --out FILE.csv                    all suspects: key, kind, given, suggested, score, box, suggested_box, pixels
  --sheet FILE.jpg                  draw the first suspects, to look at
  --write FILE.csv                  the images with suspects, for --data.exclude; delete the lines you disagree with
  --top N                           how many are listed and drawn (20)
  --data.root PATH                  where the run's images are now, if they have moved
  --trust-code                      let the run name classes outside resnet_tl

Scores are from 0 to 1, one minus the probability of what is given. Nothing is overwritten.

example: resnet-tl data suspects runs/photos/2026-01-31_12-00-00-folds --sheet suspects.jpg --write exclude.csv"""

COLUMNS = ("key", "kind", "given", "suggested", "score", "box", "suggested_box", "pixels")


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    for name in ("out", "sheet", "write"):
        parser.add_argument(f"--{name}", type=Path, metavar="FILE")
    parser.add_argument("--top", type=int, default=20)
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if len(options.runs) != 1 or command.configs:
        raise RecipeError("data suspects needs a run folder: resnet-tl data suspects RUN")
    check_data_overrides(command, "data suspects")
    check_counts(options, "top")
    check_new(options, pictures=["sheet"])
    from resnet_tl.run.suspects import find_suspects, save, suspects_sheet

    suspects = find_suspects(options.runs[0], command.overrides, show_progress(), trust_code=options.trust_code)
    print("\n".join([*suspects.notes, *(_table(suspects, options.top) if suspects.found else [_nothing(options)])]))
    if not suspects.found:
        return 0
    if options.out is not None:
        write_new_text(options.out, _csv(suspects.found))
    if options.sheet is not None:
        save(suspects_sheet(suspects, options.top), options.sheet)
    if options.write is not None:
        write_excluded({each.key: each.kind for each in reversed(suspects.found)}, options.write)
    return 0


def _nothing(options: Namespace) -> str:
    """Returns the line of a search without a result, with the files that are not written."""
    files = [str(path) for path in (options.out, options.sheet, options.write) if path is not None]
    return "nothing found" + (f", so nothing is written: {', '.join(files)}" if files else "")


def _table(suspects: Suspects, top: int) -> Iterator[str]:
    """Yields the first suspects, and how many there are of each kind and confusion."""
    found = suspects.found
    rows = [("score", "kind", "image", "given", "suggested")]
    rows += [(f"{each.score:.2f}", each.kind, each.key, each.given, _suggested(each)) for each in found[:top]]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    if len(found) > top:
        yield f"... and {len(found) - top} more (--out FILE.csv lists all)"
    yield ""
    counts = Counter(each.kind for each in found)
    width = max(map(len, counts))
    for kind, count in counts.most_common():
        pairs = Counter(f"{each.given} -> {each.suggested}" for each in found if each.kind == kind)
        yield f"{kind:<{width}}  {count:>6}  {', '.join(f'{pair} {number}' for pair, number in pairs.most_common(5))}"
    images = len({each.key for each in found})
    total = len(suspects.evaluation)
    yield f"{counted(len(found), 'suspect')} in {images} of {counted(total, 'image')}"


def _suggested(suspect: Suspect) -> str:
    """The suggested class, with where it is: that of a badly placed box is the given one, in another place."""
    box = suspect.suggested_box or suspect.box
    return suspect.suggested if box is None else f"{suspect.suggested} at {_corners(box)}"


def _csv(found: list[Suspect]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for each in found:
        names = [text_cell(name, True) for name in (each.key, each.kind, each.given, each.suggested)]
        boxes = ["" if box is None else _corners(box) for box in (each.box, each.suggested_box)]
        table.writerow([*names, f"{each.score:.4f}", *boxes, each.pixels or ""])
    return text.getvalue()


def _corners(box: tuple[float, ...]) -> str:
    return " ".join(f"{value:.0f}" for value in box)
