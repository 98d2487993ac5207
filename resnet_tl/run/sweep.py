"""Searches a recipe's best values by Optuna. Each trial is an ordinary run in the study's folder.

The study is in study.db, written after every epoch: a search that was stopped or killed resumes. Several processes may
search in one folder: each trial has a lock, which ends with its process; a running trial without one is resumed.
"""

from __future__ import annotations

import gc
import json
import math
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TextIO

import optuna
from lightning.pytorch import Callback, LightningModule, Trainer
from optuna.trial import FrozenTrial, Trial, TrialState

from resnet_tl.data.base import ImageData
from resnet_tl.errors import RecipeError, RunError, did_you_mean
from resnet_tl.files import claim
from resnet_tl.recipe.faults import raise_if_any
from resnet_tl.run.build import Recipe, build_seeded, compose, faults_of
from resnet_tl.run.resume import has_finished
from resnet_tl.run.sweep_file import Sweep
from resnet_tl.run.sweep_results import brief, by_score, run_of, write_results
from resnet_tl.run.sweep_space import Parameter, headline_of, value_at
from resnet_tl.run.train import train
from resnet_tl.run.trainer import build_trainer, resolve_precision, translate_errors
from resnet_tl.tasks.base import Task
from resnet_tl.tracking.log import log_info
from resnet_tl.tracking.run_folder import STUDY

FAILURES = 3
"""Trials in a row that end in an error of the user's: then the search does, too."""

Overrides = Sequence[tuple[str, Any]]


class Pruned(SystemExit):
    """The run of a trial was stopped early. It is saved, and can be resumed."""


@dataclass
class Search:
    """A search in a folder.

    Args:
        sweep: what is drawn and what it is scored by.
        recipes, overrides: what all trials share.
        folder: of the study.
        prune: stop trials whose metric is worse than the median of the others at the same epoch.
    """

    sweep: Sweep
    recipes: Sequence[str]
    overrides: Overrides
    folder: Path
    prune: bool = True
    _recipe: Recipe = field(init=False)

    def __post_init__(self) -> None:
        """Checks the recipe, its data and weights, and the values that may be drawn. Writes nothing.

        Raises UserError: one of them is wrong.
        """
        self._recipe = compose(self.recipes, self.overrides, training=True)
        self.overrides = [*self.overrides, *_one_device(self._recipe)]
        self._check_space()
        data, task = build_seeded(self._recipe)
        if self.sweep.metric not in (headline_of(self._recipe), "val/loss"):
            self._check_metric(data, task)

    @cached_property
    def study(self) -> optuna.Study:
        """The study, which begins with a trial of the recipe's own values."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            storage=f"sqlite:///{self.folder / STUDY}",
            study_name="sweep",
            direction=self.sweep.goal,
            load_if_exists=True,
            pruner=_pruner(self._recipe) if self.prune else optuna.pruners.NopPruner(),
        )
        if not study.get_trials(deepcopy=False):
            study.enqueue_trial(_own_values(self._recipe, self.sweep.parameters))
        return study

    def run(self) -> None:
        """Runs trials until the study has `sweep.trials`.

        Raises:
            Preempted, KeyboardInterrupt: a signal; the trial is resumed by the next search in this folder.
            UserError: several trials in a row have failed, or all.
        """
        failed = 0
        while (claimed := self._claim()) is not None:
            trial, lock = claimed
            with lock:
                failed = failed + 1 if self._train(trial) is TrialState.FAIL else 0
            write_results(self.study, self.sweep, self.folder)
            if failed == FAILURES:
                reason = self.study.get_trials(deepcopy=False)[trial.number].user_attrs["error"]
                raise RunError(f"{self.folder}: {FAILURES} trials in a row have failed, the last one thus: {reason}")
        ended = by_score(self.study)
        if ended and all(each.state is TrialState.FAIL for each in ended):
            raise RunError(f"{self.folder}: every trial has failed, the last one thus: {ended[-1].user_attrs['error']}")

    def _claim(self) -> tuple[Trial, TextIO] | None:
        """Returns a trial and its lock: one that a process left behind, else a new one; None if there are enough."""
        while True:
            started = _started(self.study)
            for each in started:
                if each.state is TrialState.RUNNING and (lock := self._lock(each.number)) is not None:
                    if _started(self.study)[each.number].state is TrialState.RUNNING:
                        self.study.sampler = self._sampler(each.number)
                        return Trial(self.study, each._trial_id), lock
                    lock.close()
            number = len(started)
            if number >= self.sweep.trials:
                return None
            lock = self._lock(number)
            if lock is not None and len(_started(self.study)) == number:
                self.study.sampler = self._sampler(number)
                return self.study.ask(), lock
            time.sleep(0.2)  # another process is starting this trial

    def _lock(self, number: int) -> TextIO | None:
        return claim(self.folder / f".trial{number + 1}.lock")

    def _sampler(self, number: int) -> optuna.samplers.BaseSampler:
        """The sampler of one trial: a resumed study draws what it would have drawn."""
        seed = self._recipe["seed_everything"] + number
        if self.sweep.method == "random":
            return optuna.samplers.RandomSampler(seed)
        return optuna.samplers.TPESampler(seed=seed)

    def _train(self, trial: Trial) -> TrialState:
        drawn = {key: _draw(trial, key, parameter) for key, parameter in self.sweep.parameters.items()}
        values = ", ".join(f"{key} {brief(value)}" for key, value in drawn.items())
        log_info(f"trial {trial.number + 1} of {self.sweep.trials}: {values}")
        try:
            self._fit(trial, [*self.overrides, *drawn.items()])
        except Pruned:
            self.study.tell(trial, state=TrialState.PRUNED)
            return TrialState.PRUNED
        except (RunError, RecipeError) as error:  # a loss that is NaN, a full memory, values that do not fit together
            return self._fail(trial, str(error))
        except Exception as error:
            self._fail(trial, f"a bug: {type(error).__name__}: {error}")
            raise
        reached = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values.values()
        scores = [score for score in reached if math.isfinite(score)]
        if not scores:
            return self._fail(trial, f"{self.sweep.metric} was never a number")
        self.study.tell(trial, max(scores) if self.sweep.goal == "maximize" else min(scores))
        return TrialState.COMPLETE

    def _fail(self, trial: Trial, reason: str) -> TrialState:
        trial.set_user_attr("error", reason)
        self.study.tell(trial, state=TrialState.FAIL)
        log_info(f"trial {trial.number + 1} failed: {reason}")
        return TrialState.FAIL

    def _fit(self, trial: Trial, overrides: Overrides) -> None:
        """Trains the run of a trial, or what is left of it."""
        run = run_of(self.folder, trial.number)
        if has_finished(run):
            return
        checkpoint = run.last if run.last.is_file() else None
        if checkpoint is None:  # nothing, or what a process left that was killed before the first checkpoint
            shutil.rmtree(run.path, ignore_errors=True)
            run.path.mkdir()
        train(compose(self.recipes, overrides), lambda: run, checkpoint, callbacks=[Report(trial, self.sweep.metric)])
        # A Trainer and its network refer to each other: only this frees the memory of the device.
        gc.collect()

    def _check_space(self) -> None:
        """Checks all keys that are drawn, and the limits of their values."""
        drawn = self.sweep.parameters
        limits = ({key: _limits(each)[index] for key, each in drawn.items()} for index in (0, -1))
        choices = ({key: choice} for key, each in drawn.items() for choice in _limits(each)[1:-1])
        faults = [
            fault
            for values in (*limits, *choices)
            for fault in faults_of(self.recipes, [*self.overrides, *values.items()], training=True)
        ]
        raise_if_any(faults)

    def _check_metric(self, data: ImageData, task: Task) -> None:
        """Validates a batch to learn the names of the metrics."""
        options, _ = resolve_precision(compose(self.recipes, self.overrides)["trainer"])
        trainer = build_trainer({**options, "limit_val_batches": 1}, callbacks=[], loggers=[])
        with translate_errors():
            (metrics,) = trainer.validate(task, datamodule=data, verbose=False)
        if self.sweep.metric not in metrics:
            expected = f"expected one of {', '.join(metrics)}{did_you_mean(self.sweep.metric, metrics)}"
            raise RecipeError(f"metric.name of the sweep: no {self.sweep.metric!r} is logged; {expected}")


class Report(Callback):
    """Reports the metric of each epoch to the study, and stops the run before the next one if that is pruned."""

    def __init__(self, trial: Trial, metric: str) -> None:
        self.trial, self.metric = trial, metric
        self.pruned = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        if not metrics:
            return
        with warnings.catch_warnings():  # a resumed run repeats what was reported after its checkpoint
            warnings.filterwarnings("ignore", message=".*already reported.*")
            self.trial.report(metrics[self.metric], trainer.current_epoch)
        self.pruned = self.trial.should_prune()

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if self.pruned:  # last.ckpt has just been saved
            log_info(
                f"pruned after {trainer.current_epoch} epochs: {self.metric} is worse than the median of other trials"
            )
            raise Pruned(0)


def _pruner(recipe: Recipe) -> optuna.pruners.BasePruner:
    """The median of at least 5 trials, after a quarter of the epochs: heads that are trained first start alike."""
    epochs = recipe["trainer"]["max_epochs"] or 0
    return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=max(epochs // 4, 1))


def _one_device(recipe: Recipe) -> list[tuple[str, Any]]:
    """The override by which a trial trains in this process alone."""
    devices = recipe["trainer"]["devices"]
    if devices == "auto":
        return [("trainer.devices", "1")]
    if devices not in (1, "1") and not (isinstance(devices, list) and len(devices) == 1):
        raise RecipeError(
            f"trainer.devices is {devices}, but a trial trains on one device: set it to 1, and start the same command "
            "again for each further GPU (CUDA_VISIBLE_DEVICES=1 resnet-tl sweep --study DIR)"
        )
    return []


def _own_values(recipe: Recipe, parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The recipe's values of the keys that are drawn, as far as they can be drawn."""
    own: dict[str, Any] = {}
    for key, parameter in parameters.items():
        try:
            value = value_at(recipe, key)
        except (LookupError, ValueError, TypeError):  # only some of the trials have this key
            continue
        if value in parameter.get("values", ()) or ("min" in parameter and _is_within(value, parameter)):
            own[key] = value
    return own


def _is_within(value: Any, parameter: Parameter) -> bool:
    whole = parameter["distribution"] == "int_uniform"
    return isinstance(value, int if whole else (int, float)) and parameter["min"] <= value <= parameter["max"]


def _limits(parameter: Parameter) -> list[Any]:
    if "value" in parameter:
        return [parameter["value"]]
    return list(parameter["values"]) if "values" in parameter else [parameter["min"], parameter["max"]]


def _draw(trial: Trial, key: str, parameter: Parameter) -> Any:
    if "value" in parameter:
        return parameter["value"]
    if "values" in parameter:
        return trial.suggest_categorical(key, [_as_choice(value) for value in parameter["values"]])
    low, high = parameter["min"], parameter["max"]
    if parameter["distribution"] == "int_uniform":
        return trial.suggest_int(key, low, high)
    return trial.suggest_float(key, low, high, log=parameter["distribution"] == "log_uniform_values")


def _as_choice(value: Any) -> Any:
    """Lists and mappings as the text by which an option sets them."""
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _started(study: optuna.Study) -> list[FrozenTrial]:
    return [each for each in study.get_trials(deepcopy=False) if each.state is not TrialState.WAITING]
