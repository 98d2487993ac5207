"""What a search has found: its trials by score, and the best one's values as an overlay."""

from __future__ import annotations

import csv
import io
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from resnet_tl.files import atomic_create
from resnet_tl.recipe.node import plain
from resnet_tl.recipe.read import as_text, read
from resnet_tl.run.sweep_file import Sweep, words_of
from resnet_tl.run.sweep_space import overlay_of
from resnet_tl.tracking.run_folder import RunFolder

STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}


def run_of(folder: Path, number: int) -> RunFolder:
    """The run of a trial, which Optuna counts from 0."""
    return RunFolder(folder / f"trial{number + 1}")


def write_results(study: optuna.Study, sweep: Sweep, folder: Path) -> None:
    """Writes trials.csv, and best.yaml as soon as a trial is complete; other processes may write them too."""
    keys = list(sweep.parameters)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", "epochs", sweep.metric, *keys, "error"])
    for each in by_score(study):
        values = [_params(each, sweep).get(key, "") for key in keys]
        table.writerow([each.number + 1, STATES[each.state], _epochs(each), _score(each), *values, _error(each)])
    with atomic_create(folder / "trials.csv") as file:
        file.write(text.getvalue().encode())
    best = best_of(study)
    if best is not None:
        recipe: Any = plain(read(run_of(folder, best.number).recipe))
        header = f"# {sweep.metric} {best.value:.4g}: trial {best.number + 1} of {folder}\n"
        with atomic_create(folder / "best.yaml") as file:
            file.write((header + as_text(overlay_of(recipe, [key.split(".") for key in keys]))).encode())


def results_text(
    study: optuna.Study, sweep: Sweep, folder: Path, recipes: Sequence[str], overrides: Sequence[tuple[str, Any]]
) -> str:
    """Returns the trials as a table, the best first, and the command that trains by the best one's values."""
    keys = list(sweep.parameters)
    rows = [["trial", sweep.metric, "state", *_short(keys)]]
    for each in by_score(study):
        score = each.value
        state = STATES[each.state] + (f" at {_epochs(each)}" if each.state is TrialState.PRUNED else "")
        values = [brief(_params(each, sweep).get(key, "")) for key in keys]
        rows.append([str(each.number + 1), "" if score is None else f"{score:.4f}", state, *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [f"trial {each.number + 1}: {_error(each)}" for each in by_score(study) if each.state is TrialState.FAIL]
    best = best_of(study)
    if best is not None:
        words = words_of([*recipes, str(folder / "best.yaml")], overrides, keys)
        lines += ["", f"best: {run_of(folder, best.number).path}; its values: {folder / 'best.yaml'}"]
        lines += [f"  {shlex.join(['resnet-tl', 'fit', *words])}"]
    return "\n".join(lines)


def by_score(study: optuna.Study) -> list[FrozenTrial]:
    """The trials that have ended: complete ones from the best to the worst, pruned ones, failed ones."""
    sign = -1 if study.direction is optuna.study.StudyDirection.MAXIMIZE else 1
    ended = [each for each in study.get_trials(deepcopy=False) if each.state in STATES]
    order = list(STATES)
    return sorted(ended, key=lambda each: (order.index(each.state), sign * (each.value or 0), each.number))


def best_of(study: optuna.Study) -> FrozenTrial | None:
    return next((each for each in by_score(study) if each.state is TrialState.COMPLETE), None)


def _params(trial: FrozenTrial, sweep: Sweep) -> dict[str, Any]:
    constant = {key: each["value"] for key, each in sweep.parameters.items() if "value" in each}
    return {**constant, **trial.params}


def _epochs(trial: FrozenTrial) -> int:
    return 0 if trial.last_step is None else trial.last_step + 1


def _score(trial: FrozenTrial) -> float | str:
    return "" if trial.value is None else trial.value


def _error(trial: FrozenTrial) -> str:
    return str(trial.user_attrs.get("error", ""))


def _short(keys: Sequence[str]) -> list[str]:
    """The ends of keys, as long as needed to tell them apart."""
    return [
        next(
            end
            for end in (".".join(key.split(".")[start:]) for start in range(key.count("."), -1, -1))
            if not end[0].isdigit() and sum(other.endswith(f".{end}") or other == end for other in keys) == 1
        )
        for key in keys
    ]


def brief(value: Any) -> str:
    """Returns a value of a trial as text, numbers with four digits."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
