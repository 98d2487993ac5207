"""The mean of the weights of several runs: one network, as fast as each of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from resnet_tl import checkpoint
from resnet_tl.checkpoint import Bundle
from resnet_tl.data.base import ImageData
from resnet_tl.errors import DataError, RecipeError, RunError, WeightsError
from resnet_tl.prediction.exported.load import refuse_exported
from resnet_tl.prediction.members import ALIKE, check_trust
from resnet_tl.run.averaged_scores import Score, Scorer, Weights
from resnet_tl.run.build import Overrides
from resnet_tl.run.files_record import same_files
from resnet_tl.structures.decisions import Decisions
from resnet_tl.structures.scores import improves, lower_is_better
from resnet_tl.tensor_file import save_atomically
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.terminal import terminal_log

TRAINING_ONLY = frozenset({"weights", "sha256", "keep_classifier", "drop_path", "zero_init_last", "checkpoint_segments",
                           "dropout", "label_smoothing", "class_weights"})  # fmt: skip
"""Options of backbone and head in which runs of one network may differ."""


@dataclass(frozen=True)
class Ingredient:
    """share: of the mean, 0...1; 0 if it was not kept."""

    path: Path
    score: Score
    share: float


@dataclass(frozen=True)
class Averaged:
    """metric: what the scores are of. ingredients: as they were given. notes: what is to be known about the result."""

    path: Path
    metric: str
    ingredients: list[Ingredient]
    score: Score
    notes: list[str]


def average(
    runs: Sequence[Path],
    out: Path,
    shares: Sequence[float] | None = None,
    overrides: Overrides = (),
    *,
    greedy: bool = False,
    trust_code: bool = False,
) -> Averaged:
    """Writes the mean of the weights of runs and checkpoints as a checkpoint, and scores it next to them.

    All are scored on the validation images of the first. The running statistics of norms are estimated again over its
    training images, except those that are the same in all.

    Args:
        runs: run folders (their best checkpoints) and checkpoint files, of one network and the same classes.
        out: a new file, `FILE.ckpt`.
        shares: of each in the mean, 0 or more; they are divided by their sum. None: all the same.
        overrides: of the first run's recipe, as `data.root` where its images have moved.
        greedy: start with the best, and keep each other, by falling score, only if the mean does not score lower.

    Raises:
        RecipeError: fewer than two runs, or shares that do not fit.
        RunError: `out` exists.
        WeightsError: a run is not there, damaged, exported, or not of the same network.
        DataError: the first run's images cannot be read; or with `greedy`, there are no validation images, or a run was
            trained on them.
    """
    shares = _checked(runs, out, shares, greedy)
    with terminal_log():
        bundles = [_read(run, trust_code) for run in runs]
        _check_alike(bundles)
        scorer = Scorer(bundles, overrides)
        learned = _learned(bundles, scorer.data)
        if greedy:
            _check_choosable(scorer.data, learned)
        scores = [scorer.score(bundle.state_dict) for bundle in bundles]
        if greedy:
            shares, state, score = _chosen(bundles, scores, scorer)
        else:
            state = mean([bundle.state_dict for bundle in bundles], shares)
            score = scorer.recalibrated(state)
        _save(bundles, state, out)
    total = sum(shares)
    ingredients = [
        Ingredient(path, score, share / total) for path, score, share in zip(runs, scores, shares, strict=True)
    ]
    return Averaged(
        out, scorer.task.metrics.headline, ingredients, score, [*learned, *scorer.notes, *_dropped(bundles)]
    )


def mean(states: Sequence[Mapping[str, Tensor]], shares: Sequence[float]) -> Weights:
    """Returns the weighted mean of each tensor; integers, which count, are those of the first.

    shares: 0 or more each, with a positive sum, by which they are divided.
    """
    total = math.fsum(shares)
    result = {}
    for key, first in states[0].items():
        if first.is_floating_point():
            pairs = zip(states, shares, strict=True)
            sum_ = sum((state[key].double() * share for state, share in pairs), torch.zeros_like(first).double())
            result[key] = (sum_ / total).to(first.dtype)
        else:
            result[key] = first.clone()
    return result


def _checked(runs: Sequence[Path], out: Path, shares: Sequence[float] | None, greedy: bool) -> Sequence[float]:
    """Returns the shares. Raises for what can be refused before anything is read."""
    if len(runs) < 2:
        raise RecipeError("average needs two or more runs or checkpoints: resnet-tl average RUN RUN --out FILE.ckpt")
    if out.exists():
        raise RunError(f"{out}: exists already, and nothing is overwritten")
    if out.suffix != ".ckpt":
        raise RecipeError(f"--out {out}: expected a file that ends in .ckpt")
    if shares is None:
        return [1.0] * len(runs)
    if greedy:
        raise RecipeError("--weights and --greedy: the shares of a greedy mean are equal; name one of the two")
    if len(shares) != len(runs):
        raise RecipeError(f"--weights has {len(shares)} shares for {len(runs)} runs; expected one for each")
    if min(shares) < 0 or not 0 < sum(shares) < math.inf:
        given = " ".join(f"{share:g}" for share in shares)
        raise RecipeError(f"--weights {given}: expected shares of 0 or more with a positive sum, as 0.3 0.7")
    return shares


def _read(run: Path, trust_code: bool) -> Bundle:
    refuse_exported(run)
    bundle = checkpoint.read(run)
    check_trust([bundle.recipe.get(name) for name in ("model", "data")], bundle.path, trust_code)
    return bundle


def _check_alike(bundles: Sequence[Bundle]) -> None:
    """Raises WeightsError unless all are different weights of one network, with the same classes and preprocessing."""
    first = bundles[0]
    for position, other in enumerate(bundles[1:], 1):
        cannot = f"{other.path} and {first.path} cannot be averaged: their"
        if _network(other) != _network(first) or _shapes(other) != _shapes(first):
            raise WeightsError(f"{cannot} networks differ")
        for name in ALIKE:
            if getattr(other, name) != getattr(first, name):
                raise WeightsError(f"{cannot} {name} differ")
        for earlier in bundles[:position]:
            if all(torch.equal(other.state_dict[key], tensor) for key, tensor in earlier.state_dict.items()):
                raise WeightsError(f"{other.path} and {earlier.path} have the same weights; expected different ones")


def _network(bundle: Bundle) -> dict[str, Any]:
    """The model of a recipe without what concerns its training alone."""
    options = bundle.recipe["model"]["init_args"]
    head = options.get("head") or {}
    return {
        "class_path": bundle.recipe["model"]["class_path"],
        "backbone": _lasting(options.get("backbone") or {}),
        "neck": options.get("neck"),
        "head": {**head, "init_args": _lasting(head.get("init_args") or {})},
    }


def _lasting(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in TRAINING_ONLY}


def _shapes(bundle: Bundle) -> dict[str, Any]:
    return {key: tensor.shape for key, tensor in bundle.state_dict.items()}


def _learned(bundles: Sequence[Bundle], data: ImageData) -> list[str]:
    """Returns a sentence for each run that was trained on the images that all are scored on."""
    files = data.split_files().get("val")
    if files is None:
        return []
    images, sentences = {image.key for image in data.listings["val"]}, []
    for path in dict.fromkeys(bundle.path.absolute().parent.parent for bundle in bundles):
        run = RunFolder(path)
        known = [key for key in same_files(run, files, ("train",)) if key in images] if run.files.is_file() else []
        if known:
            fold = ", another fold's" if RunFolder(path.parent).is_folds else ""
            sentences.append(
                f"{path}: trained on {len(known)} of the {len(images)} validation images{fold}, as {known[0]}: its "
                "score here, and the mean's, are too high"
            )
    return sentences


def _check_choosable(data: ImageData, learned: Sequence[str]) -> None:
    """Raises DataError unless the validation images can choose between the runs."""
    if "val" not in data.listings:
        raise DataError(f"{data.root} has no validation images, by which --greedy chooses")
    if learned:
        raise DataError(
            f"{learned[0]}, so --greedy cannot choose by them; leave it out, or name runs with these validation images"
        )


def _chosen(bundles: Sequence[Bundle], scores: Sequence[Score], scorer: Scorer) -> tuple[list[float], Weights, Score]:
    """Returns the shares, weights and score of the greedy mean."""
    metric = scorer.task.metrics.headline
    falling = not lower_is_better(metric)
    best, *others = sorted(range(len(bundles)), key=lambda index: scores[index].value, reverse=falling)
    kept, state, score = [best], bundles[best].state_dict, scores[best]
    for index in others:
        candidates = [*kept, index]
        candidate = mean([bundles[each].state_dict for each in candidates], [1.0] * len(candidates))
        if not improves(metric, score.value, (reached := scorer.recalibrated(candidate)).value):
            kept, state, score = candidates, candidate, reached
    if len(kept) == 1:
        scorer.notes.append(f"no mean scores as high as {bundles[best].path} alone, whose weights are written")
    return [float(index in kept) for index in range(len(bundles))], state, score


def _save(bundles: Sequence[Bundle], state: Weights, out: Path) -> None:
    first = bundles[0]
    content = checkpoint.bundle(
        first.recipe["model"],
        first.classes,
        first.preprocessing,
        first.recipe,
        eval_transforms=first.eval_transforms,
        colours=first.colours,
        codes=first.codes,
    )
    save_atomically(
        {
            "state_dict": {f"network.{key}": tensor for key, tensor in state.items()},
            "epoch": max(bundle.epoch for bundle in bundles),
            "global_step": max(bundle.step for bundle in bundles),
            checkpoint.KEY: content,
        },
        out,
    )


def _dropped(bundles: Sequence[Bundle]) -> list[str]:
    if all(bundle.decisions == Decisions() for bundle in bundles):
        return []
    return [
        "what validation decided for the runs (temperatures, thresholds of scores, limits of unlike images) does not "
        "hold for their mean, and is not in it"
    ]
