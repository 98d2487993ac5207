"""A search as a file: a sweep of W&B, which `resnet-tl sweep` reads too."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import yaml

from resnet_tl.errors import RecipeError, RunError, did_you_mean
from resnet_tl.files import did_you_mean_path, write_new_text
from resnet_tl.recipe.node import Node, plain
from resnet_tl.recipe.read import read
from resnet_tl.run.build import compose
from resnet_tl.run.sweep_space import Parameter, headline_of, space_of
from resnet_tl.structures.scores import lower_is_better

Goal: TypeAlias = Literal["maximize", "minimize"]
METHODS = ("bayes", "random")
DISTRIBUTIONS = ("uniform", "log_uniform_values", "int_uniform")
IGNORED = ("name", "description", "entity", "program", "early_terminate")
"""Keys of W&B's sweeps that mean nothing without it."""
BEFORE, AFTER = ["${env}", "${program}", "fit"], "${args}"
"""The words around those of `fit` in a file's `command`; W&B's agent puts the drawn values in place of `${args}`, as
`--model.optimizer.lr=0.01`."""


@dataclass(frozen=True)
class Sweep:
    """A search for the best values of some keys of a recipe.

    words: of the command line after `resnet-tl fit`: the recipe, overlays and overrides that all trials share.
    metric, goal: of validation, and whether to maximize or minimize it.
    method: `bayes` or `random`.
    parameters: how each key is drawn, in the words of W&B.
    trials: how many.
    project: of W&B.
    """

    words: list[str]
    metric: str
    parameters: dict[str, Parameter]
    goal: Goal = "maximize"
    method: str = "bayes"
    trials: int = 20
    project: str | None = None


def sweep_of(recipes: Sequence[str], overrides: Sequence[tuple[str, str]]) -> Sweep:
    """Returns the search around a recipe's values.

    Raises:
        RecipeError: the recipe has faults.
        DataError: the class of its data is not named, and cannot be detected.
    """
    recipe = compose(recipes, overrides, training=True)
    parameters = space_of(recipe)
    words, project = words_of(recipes, overrides, parameters), recipe["tracking"]["project"]
    metric = headline_of(recipe)
    return Sweep(words, metric, parameters, "minimize" if lower_is_better(metric) else "maximize", project=project)


def words_of(
    recipes: Sequence[str], overrides: Sequence[tuple[str, str]], drawn: Sequence[str] | dict[str, Any]
) -> list[str]:
    """Returns the words of a command line, without overrides of keys that are drawn; of each key the last counts."""
    options = [f"--{key}={value}" for key, value in dict(overrides).items() if key not in drawn]
    return [*(word for recipe in recipes for word in ("-c", recipe)), *options]


def write_sweep(sweep: Sweep, path: Path) -> None:
    """Writes the file, which `read_sweep` reads back.

    Raises RunError: it exists, or cannot be written.
    """
    content = {
        "program": "resnet-tl",
        **({} if sweep.project is None else {"project": sweep.project}),
        "method": sweep.method,
        "metric": {"name": sweep.metric, "goal": sweep.goal},
        "run_cap": sweep.trials,
        "parameters": sweep.parameters,
        "command": [*BEFORE, *sweep.words, "--tracking.wandb=true", AFTER],
    }
    text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, allow_unicode=True, width=120)
    if path.exists():
        raise RunError(f"{path}: exists already, and nothing is overwritten; name another file: --out FILE")
    write_new_text(path, _HEADER.format(fit=shlex.join(["resnet-tl", "fit", *sweep.words]), path=path) + text)


_HEADER = """\
# A search around the values of: {fit}
# Change ranges, add and remove keys at will: any key of a recipe, as the command names it.
#   wandb sweep {path}          with W&B, on any number of machines: `wandb agent` as it then prints
#   resnet-tl sweep {path}      without W&B
"""


def read_sweep(path: Path) -> Sweep:
    """Reads and checks the file.

    Raises RecipeError with file and line: it is not YAML, or not a sweep of `resnet-tl fit`.
    """
    if not path.is_file():
        hint = did_you_mean_path(path) or "; a recipe is named by -c"
        raise RecipeError(f"{path}: no such file; `resnet-tl sweep-file -c RECIPE` writes one{hint}")
    keys: dict[str, Node] = read(path).value
    known = ("method", "metric", "run_cap", "parameters", "command", "project")
    for key, node in keys.items():
        if key not in (*known, *IGNORED):
            raise RecipeError(f"{node.where}: unknown key {key!r} of a sweep{did_you_mean(key, known)}")
    metric = keys.get("metric", Node({}, str(path)))
    names: Any = plain(metric) if isinstance(metric.value, dict) else {}
    goal = names.get("goal", "minimize")  # as W&B's default
    if not isinstance(names.get("name"), str) or goal not in get_args(Goal):
        raise RecipeError(f"{metric.where}: metric must be {{name: val/acc, goal: maximize}}, got {plain(metric)!r}")
    trials = keys.get("run_cap", Node(Sweep.trials, str(path)))
    if type(trials.value) is not int or trials.value < 1:
        raise RecipeError(f"{trials.where}: run_cap must be int >= 1, the number of trials, got {plain(trials)!r}")
    return Sweep(
        _words(keys.get("command", Node(None, str(path)))),
        names["name"],
        _parameters(keys.get("parameters", Node(None, str(path)))),
        goal,
        _choice(keys.get("method", Node(None, str(path))), "method", METHODS),
        trials.value,
        plain(keys["project"]) if "project" in keys else None,
    )


def _words(node: Node) -> list[str]:
    words = plain(node)
    if not isinstance(words, list) or "fit" not in words or words[-1] != AFTER:
        expected = f"[{', '.join(BEFORE)}, -c, RECIPE, {AFTER}]"
        raise RecipeError(f"{node.where}: command must be {expected}, got {words!r}")
    texts = [str(word) for word in words[words.index("fit") + 1 : -1]]
    return [word for word in texts if not word.startswith("--tracking.wandb=")]


def _parameters(node: Node) -> dict[str, Parameter]:
    if not isinstance(node.value, dict) or not node.value:
        raise RecipeError(f"{node.where}: parameters must name the keys to draw, got {plain(node)!r}")
    return {key: _parameter(key, each) for key, each in node.value.items()}


def _parameter(key: str, node: Node) -> Parameter:
    parameter = plain(node)
    if not isinstance(parameter, dict) or "parameters" in parameter:
        raise RecipeError(f"{node.where}: parameters.{key}: expected {{min: 1, max: 2}} or {{values: [1, 2]}}")
    if parameter.keys() <= {"value", "distribution"} and "value" in parameter:
        return {"value": parameter["value"]}
    if isinstance(parameter.get("values"), list) and parameter["values"] and "min" not in parameter:
        return {"values": parameter["values"]}
    low: Any = parameter.get("min")
    high: Any = parameter.get("max")
    if parameter.keys() - {"min", "max", "distribution"} or not (_is_number(low) and _is_number(high) and low <= high):
        raise RecipeError(
            f"{node.where}: parameters.{key}: expected {{min: 1, max: 2}}, {{values: [1, 2]}} or {{value: 1}}, "
            f"got {parameter!r}"
        )
    whole = isinstance(low, int) and isinstance(high, int)
    kind = node.value.get("distribution", Node("int_uniform" if whole else "uniform", node.where))
    distribution = _choice(kind, f"parameters.{key}.distribution", DISTRIBUTIONS)
    if distribution == "int_uniform" and not whole:
        raise RecipeError(f"{node.where}: parameters.{key}: int_uniform needs whole numbers, got {low} and {high}")
    if distribution == "log_uniform_values" and low <= 0:
        raise RecipeError(f"{node.where}: parameters.{key}: log_uniform_values needs min > 0, got {low}")
    return {"distribution": distribution, "min": low, "max": high}


def _choice(node: Node, name: str, choices: Sequence[str]) -> str:
    if node.value not in choices:
        near = did_you_mean(node.value, choices) if isinstance(node.value, str) else ""
        raise RecipeError(f"{node.where}: {name} must be one of {', '.join(choices)}, got {plain(node)!r}{near}")
    return str(node.value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
