"""`resnet-tl average`: the mean of the weights of several runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnet_tl.cli.command import Command, Options, check_data_overrides
from resnet_tl.cli.table_text import lines
from resnet_tl.errors import RecipeError

if TYPE_CHECKING:
    from resnet_tl.run.average import Averaged, Score

HELP = """usage: resnet-tl average RUN RUN ... --out FILE.ckpt [--greedy | --weights SHARE SHARE ...]
       resnet-tl average RUN --wise-ft [--out FILE.ckpt]

Write the mean of the weights of runs (their best checkpoints) and checkpoints: one network, as fast as each of them.
They have the same network, classes and preprocessing, and were fine-tuned from the same weights. The running statistics
of norms are estimated again over training images of the first run; then the mean is scored next to its ingredients, on
the validation images of the first run, as by `validate`. FILE.ckpt is a checkpoint as any other. A folder of folds
stands for all of its folds.

  --out FILE.ckpt                   a new file
  --greedy                          start with the best run, and keep each other, by falling score, only if the mean
                                    does not score lower on the validation images
  --weights 0.3 0.7                 the share of each run (default: all the same)
  --wise-ft                         of a run whose first phase trained the head alone: mix the end of that phase with
                                    the best checkpoint in shares of 0, 0.1 ... 1, and write the mix with the best
                                    validation score, and next to it the curve of all as JSON (default file:
                                    RUN/checkpoints/wise_ft.ckpt, whose curve `resnet-tl report RUN` draws)
  --data.root PATH                  where the first run's images are now, if they have moved
  --trust-code                      let the runs name classes outside resnet_tl

example: resnet-tl average runs/photos/2026-01-31_12-00-00 runs/photos/2026-01-31_13-00-00 --greedy --out mean.ckpt"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--greedy", action="store_true")
    parser.add_argument("--weights", nargs="+", type=float)
    parser.add_argument("--wise-ft", action="store_true")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if command.configs:
        raise RecipeError("average takes the recipe of the first run, so -c means nothing there")
    check_data_overrides(command, "average")
    from resnet_tl.run.average import average

    done = average(
        options.runs,
        options.out,
        options.weights,
        command.overrides,
        greedy=options.greedy,
        wise_ft=options.wise_ft,
        trust_code=options.trust_code,
    )
    print("\n".join([*lines(list(_mixes(done) if done.curve else _rows(done))), "", *done.notes]))
    return 0


def _rows(done: Averaged) -> Iterator[dict[str, Any]]:
    for each in done.ingredients:
        yield _row(done.metric, str(each.path), each.share, each.score)
    yield _row(done.metric, f"mean: {done.path}", None, done.score)


def _mixes(done: Averaged) -> Iterator[dict[str, Any]]:
    end, head = done.ingredients
    names = {0.0: str(head.path), 1.0: str(end.path), end.share: f"mix: {done.path}"}
    for share, score in done.curve:
        yield _row(done.metric, names.get(share, "mix"), share, score)


def _row(metric: str, name: str, share: float | None, score: Score) -> dict[str, Any]:
    interval = "" if score.interval is None else "{:.3f} to {:.3f}".format(*score.interval)
    return {"weights": name, "share": share, metric: score.value, "95 % interval": interval}
