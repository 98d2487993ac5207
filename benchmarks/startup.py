"""Seconds from a command's start to its end, next to what Python takes to import the libraries below it.

python -m benchmarks startup [--write] [--rounds 5]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from benchmarks.alternate import alternate, quartiles
from benchmarks.figures import Figure, write
from benchmarks.machine import machine

COMMAND = ("-m", "resnet_tl.cli.main")
STARTS = {
    "`resnet-tl --version`": (*COMMAND, "--version"),
    "`resnet-tl fit --help`": (*COMMAND, "fit", "--help"),
    "`resnet-tl plan -c quickstart`": (*COMMAND, "plan", "-c", "quickstart"),
    '`python -c "pass"`': ("-c", "pass"),
    '`python -c "import torch"`': ("-c", "import torch"),
    '`python -c "import lightning"`': ("-c", "import lightning"),
    '`python -c "import timm"`': ("-c", "import timm"),
}


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    seconds = alternate({name: start(words) for name, words in STARTS.items()}, options.rounds, warm_up=1)
    for name, values in seconds.items():
        print(f"  {name:<34} {quartiles(values)} s")
    if options.write:
        measured = {"machine": machine(), "seconds": seconds}
        write("startup", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    return [
        Figure("startup", name, "seconds", median, "s", low=low, high=high)
        for name, values in results["seconds"].items()
        for low, median, high in [quartiles(values)]
    ]


def start(words: tuple[str, ...]) -> Callable[[], object]:
    return lambda: subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/startup.json")
    return parser
