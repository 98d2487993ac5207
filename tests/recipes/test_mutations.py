"""Recipes changed at random: `check` and a fit of two batches answer with sentences, never with a traceback.

As a program it prints what it finds: `python tests/recipes/test_mutations.py 1000 [FIRST]`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import multiprocessing
import os
import random
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from resnet_tl.cli.main import main
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.run.build import compose

SAMPLES = shipped_root() / "data" / "samples"
RECIPES = {
    "quickstart": {"data.root": SAMPLES / "classification"},
    "classify/folder_resnet50_finetune": {"data.root": SAMPLES / "classification"},
    "detect/folder_fcos_resnet50": {"data.root": SAMPLES / "detection", "data.max_size": 64},
    "instance/folder_mask_rcnn_resnet50": {"data.root": SAMPLES / "detection", "data.max_size": 64},
    "segment/folder_unet_resnet34": {"data.root": SAMPLES / "segmentation"},
}
TINY = {
    "model.backbone.name": "resnet_tiny", "model.backbone.weights": "null", "model.tuning.allow_untrained": "true",
    "data.image_size": "32", "data.batch_size": "2", "data.num_workers": "0", "trainer.max_epochs": "2",
    "model.schedule.warmup_epochs": "0.5",
}  # fmt: skip
SHORT = {
    "limit_train_batches": 2, "limit_val_batches": 1, "max_epochs": 2, "accelerator": "cpu",
    "devices": 1, "num_nodes": 1, "precision": "32", "strategy": "auto",
}  # fmt: skip
FORK = multiprocessing.get_context("fork")
NAN, INF = float("nan"), float("inf")
VALUES: list[Any] = [
    -1, -0.5, 0, 1, 2, 0.3, NAN, INF, -INF, 10**9, 10**30, 1e308, 1e-308, True, False, None, "", "x", "auto", "1e-4",
    "none", [], [1], [-1, 0.5], ["a"], [[]], {}, {"a": 1}, {"a": {"b": [1, {"c": None}]}}, "ä\u2028", "../..",
]  # fmt: skip
PATHS = [
    "os.system", "os.getcwd", "os.path", "../..", ".", "", "a.b.c", "json.JSONDecoder", "LinearHead", "MLPHead", "FPN",
    "ImageFolder", "ClassificationData", "torch.nn.Linear", "torch.nn.Identity", "torch.optim.SGD", "builtins.print",
    "torch.optim.lr_scheduler.StepLR", "resnet_tl.models.resnet.ResNet", "resnet_tl.models.resnet.resnet",
    "resnet_tl.models.heads.base.Head", "resnet_tl.models.heads.segmentation.base.SegmentationHead",
    "resnet_tl.recipe.read.read", "lightning.pytorch.callbacks.EarlyStopping",
]  # fmt: skip


@functools.cache
def base(name: str) -> dict[str, Any]:
    """A shipped recipe on the samples, small, with every default written out."""
    return compose([name], {**TINY, **RECIPES[name]}.items())


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def inside(recipe: Any, at: tuple[Any, ...]) -> Any:
    return reduce(lambda value, key: value[key], at, recipe)


def mutate(recipe: dict[str, Any], draw: random.Random) -> str:
    """Changes one thing; returns what."""
    kind = draw.choice(["value"] * 4 + ["nudge"] * 6 + ["path", "delete", "delete", "rename"])
    # At 224 pixels, the default, the tiny network's 8 channels crash PyTorch 2.14's backward pass on a CPU.
    at = draw.choice([place for place in places(recipe) if place[-1] != "image_size" or kind in ("value", "nudge")])
    around, key = inside(recipe, at[:-1]), at[-1]
    value = copy.deepcopy(draw.choice(VALUES))
    if kind == "path":
        spots = [place for place in places(recipe) if place[-1] in ("class_path", "name")]
        at = draw.choice(spots)
        inside(recipe, at[:-1])[at[-1]] = value = draw.choice(PATHS)
    elif kind == "nudge":
        around[key] = value = nudged(around[key], draw)
    elif kind == "delete":
        del around[key]
        value = "deleted"
    elif kind == "rename" and isinstance(around, dict):
        text = str(key)
        spot = draw.randrange(len(text) + 1)
        around[text[:spot] + draw.choice("aexz_. ") + text[spot + 1 :]] = around.pop(key)
    else:
        around[key] = value
    return f"{kind} {'.'.join(map(str, at))} = {value!r}"


def nudged(value: Any, draw: random.Random) -> Any:
    """Another value that may well be right."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return draw.choice([0, 1, 2, 3, 5, 8])
    if isinstance(value, float) or value is None:
        return draw.choice([0.0, 0.1, 0.5, 0.99, 1.0, 2.0, 1, 2])
    if isinstance(value, list) and value:
        return draw.choice([value[1:], value[:-1], value[::-1], [*value, *value]])
    return draw.choice(
        [None, "light", "frozen", "group", "max", "constant", "plateau", "gradual", "adamw", "off", "on"]
    )


def text_of(recipe: Any, draw: random.Random) -> str:
    """As YAML, now and then with a line doubled or damaged."""
    text = yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)
    lines = text.splitlines()
    chance, spot = draw.random(), draw.randrange(len(lines))
    if chance < 0.04:
        lines.insert(spot, lines[spot])
    elif chance < 0.06:
        lines[spot] = lines[spot].replace(":", draw.choice(["", "::", ": {", ": *x", ": !!int "]), 1)
    return "\n".join(lines) + "\n"


def run(arguments: list[str]) -> tuple[int | None, str]:
    """The exit code, None for a traceback, and what was printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            code = main(arguments)
        except BaseException:
            return None, traceback.format_exc()
    return code, out.getvalue()


def mutated(number: int, folder: Path) -> tuple[str, str, str]:
    """The n-th mutation: `refused`, `refused in fit`, `trained` or `traceback`; what was changed; what was printed."""
    draw = random.Random(number)
    name = list(RECIPES)[number % len(RECIPES)]
    recipe = copy.deepcopy(base(name))
    changes = [mutate(recipe, draw) for _ in range(draw.choice([1, 1, 1, 2]))]
    path = folder / f"{number}.yaml"
    path.write_text(text_of(recipe, draw), encoding="utf-8")
    what = f"{name}: {'; '.join(changes)}"
    (folder / f"{number}.txt").write_text(what)
    code, printed = run(["check", "-c", str(path)])
    if code != 0:
        return ("traceback" if code is None else "refused"), what, printed
    short = [word for key, value in SHORT.items() for word in (f"--trainer.{key}", str(value))]
    code, printed = run(["fit", "-c", str(path), *short, "--run", str(folder / f"run{number}")])
    return {None: "traceback", 0: "trained"}.get(code, "refused in fit"), what, printed


def isolated(number: int, folder: Path) -> tuple[str, str, str]:
    """`mutated` in a process of its own: settings that a fit leaves behind, and crashes, stay there."""
    parent, child = FORK.Pipe(duplex=False)
    process = FORK.Process(target=lambda: child.send(mutated(number, folder)))
    process.start()
    child.close()
    try:
        return parent.recv() if parent.poll(300) else ("traceback", "", "no answer after 300 s")
    except EOFError:
        process.join()
        return "traceback", str((folder / f"{number}.txt").read_text()), f"exit code {process.exitcode}"
    finally:
        process.kill()


def mutations(numbers: range, folder: Path, report: Any = print) -> Counter[str]:
    outcomes: Counter[str] = Counter()
    for number in numbers:
        outcome, what, printed = isolated(number, folder)
        outcomes[outcome] += 1
        if outcome == "traceback":
            report(f"{number}: {what}\n{printed}")
        if number % 50 == 49:
            report(f"{number + 1}: {dict(outcomes)}")
    return outcomes


@pytest.fixture(autouse=True)
def _as_it_was(tmp_path: Path) -> Iterator[None]:
    """What a fit sets for its process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        patch.setattr("logging.raiseExceptions", False)
        yield
    os.environ.pop("PL_GLOBAL_SEED", None)


@pytest.mark.parametrize("first", [0, 5])
def test_a_few_mutations_end_in_sentences(first: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[str] = []
    outcomes = mutations(range(first, first + 5), tmp_path, found.append)
    assert not outcomes["traceback"], found


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_a_thousand_mutations_end_in_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found: list[str] = []
    outcomes = mutations(range(1000), tmp_path, found.append)
    assert not outcomes["traceback"], found
    assert outcomes["trained"] > 100


if __name__ == "__main__":
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        os.environ["XDG_CACHE_HOME"] = temporary
        wanted = range(first, first + int(sys.argv[1]))
        print(dict(mutations(wanted, Path(temporary), lambda text: print(text, flush=True))))
