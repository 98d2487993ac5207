"""`resnet-tl report`: a run, or a comparison of several, as one HTML file."""

from __future__ import annotations

import sys
from pathlib import Path

from resnet_tl.cli.command import Command, Options, check_data_overrides
from resnet_tl.errors import RecipeError, RunError, printable

HELP = """usage: resnet-tl report RUN [--split test] [--out FILE.html] [--data.root PATH]
       resnet-tl report RUN RUN ... [--split test] [--out FILE.html] [--data.root PATH]

Write what there is to know about a run into one HTML file that opens without a network: its scores with intervals, its
training, mistakes with their images, confidence, data, and how to repeat it. `fit` writes it at its end, unless
`tracking.report` is false. Of several runs: their scores, their differences on the same images with intervals, the keys
in which their recipes differ, and the images that decide; each is compared with the first. A folder of folds is a run
whose images were each predicted by the fold that was not trained on it.

  --out FILE.html                   the file; never overwritten (default: RUN/report.html, which is replaced;
                                    of several runs comparison.html)
  --split test                      the test images, on which nothing was chosen, in place of the validation images;
                                    they are evaluated (default file: RUN/report_test.html)
  --data.root PATH                  where the run's images are now, if they have moved
  --trust-code                      let the run name classes outside resnet_tl

A run without predictions.npz is evaluated first.

example: resnet-tl report runs/folder_resnet50_finetune/2026-01-31_12-00-00"""


def run(verb: str, command: Command) -> int:
    parser = Options(verb)
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN")
    parser.add_argument("--out", type=Path, metavar="FILE.html")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--trust-code", action="store_true")
    options = parser.read(command)
    if options.help:
        print(HELP)
        return 0
    if not options.runs or command.configs:
        raise RecipeError("report needs a run folder: resnet-tl report RUN")
    if len({path.resolve() for path in options.runs}) < len(options.runs):
        raise RecipeError(f"report {' '.join(map(str, options.runs))}: a run is named twice; expected different ones")
    several = len(options.runs) > 1
    own = "report.html" if options.split == "val" else "report_test.html"
    out = options.out or (Path("comparison.html") if several else options.runs[0] / own)
    if out.exists() and (several or options.out is not None):
        raise RunError(f"{out}: exists already, and nothing is overwritten; name another file: --out FILE.html")
    check_data_overrides(command, "a report")
    from resnet_tl.report.after_fit import require_packages

    require_packages()
    from resnet_tl.report.compare import write_comparison
    from resnet_tl.report.page import write_report
    from resnet_tl.report.records import read_run

    runs = [
        read_run(path, command.overrides, split=options.split, trust_code=options.trust_code) for path in options.runs
    ]
    for note in dict.fromkeys(note for each in runs for note in each.notes):
        print(printable(note), file=sys.stderr)
    if several:
        write_comparison(runs, out)
    else:
        write_report(runs[0], out)
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB")
    return 0
