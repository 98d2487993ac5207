"""A search: what is drawn, resumed, pruned and found; its trainings are functions of the drawn values."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from optuna.trial import TrialState

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.recipe.read import write
from resnet_tl.run import sweep as module
from resnet_tl.run.fit import fit
from resnet_tl.run.sweep import Search
from resnet_tl.run.sweep_file import Sweep
from resnet_tl.run.sweep_results import best_of, by_score, results_text, run_of

PLANTED = 0.03
SWEEP = Sweep(
    [],
    "val/acc",
    {
        "model.optimizer.lr": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1.0},
        "data.augment": {"values": ["light", "strong"]},
    },
    trials=4,
)
SHARED = [("trainer.max_epochs", "3")]


def score(recipe: dict[str, Any], epoch: int) -> float:
    """Best at a rate of `PLANTED` with strong augmentation, and better from epoch to epoch."""
    decades = abs(math.log10(recipe["model"]["init_args"]["optimizer"]["lr"] / PLANTED))
    return 1 - 0.2 * decades - 0.3 * (recipe["data"]["init_args"]["augment"] == "light") - 0.1 / (1 + epoch)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the runs, in place of which `score` is reported."""
    folders: list[Path] = []

    def train(recipe: Any, folder: Callable[[], Any], checkpoint: Any, callbacks: list[Any]) -> None:
        run = folder()
        folders.append(run.path)
        write(recipe, run.recipe)
        for epoch in range(3):
            metrics = {"val/acc": torch.tensor(score(recipe, epoch)), "val/loss": torch.tensor(1.0)}
            trainer: Any = SimpleNamespace(callback_metrics=metrics, current_epoch=epoch)
            callbacks[0].on_train_batch_start(trainer, None, None, 0)
            callbacks[0].on_train_epoch_end(trainer, None)

    monkeypatch.setattr(module, "train", train)
    return folders


@pytest.fixture
def search(here: Path, images: Path) -> Callable[..., Search]:
    def make(sweep: Sweep = SWEEP, **options: Any) -> Search:
        shared = [("data.root", str(images)), *options.pop("overrides", SHARED)]
        (here / "study").mkdir(exist_ok=True)
        return Search(sweep, ["photos.yaml"], shared, Path("study"), **options)

    return make


def states(search: Search) -> list[TrialState]:
    return [each.state for each in search.study.trials]


def drawn(search: Search) -> list[dict[str, Any]]:
    return [each.params for each in search.study.trials]


def test_the_first_trial_is_the_recipe_and_the_planted_best_is_found(
    search: Callable[..., Search], trained: list[Path]
) -> None:
    planted = search(replace(SWEEP, trials=25))
    planted.run()
    assert len(trained) == 25
    assert drawn(planted)[0] == {"model.optimizer.lr": 0.02, "data.augment": "light"}
    best = best_of(planted.study)
    assert best is not None
    assert best.params["data.augment"] == "strong"
    assert 0.01 < best.params["model.optimizer.lr"] < 0.1
    pruned = [each for each in planted.study.trials if each.state is TrialState.PRUNED]
    assert len(pruned) > 3
    assert all(each.last_step == 1 for each in pruned)  # the first quarter of the epochs is spared


@pytest.mark.slow
def test_without_pruning_every_trial_is_trained(search: Callable[..., Search], trained: list[Path]) -> None:
    whole = search(replace(SWEEP, trials=12), prune=False)
    whole.run()
    assert states(whole) == [TrialState.COMPLETE] * 12


def test_a_stopped_search_draws_what_it_would_have_drawn(
    search: Callable[..., Search], trained: list[Path], monkeypatch: pytest.MonkeyPatch, here: Path
) -> None:
    unbroken = search()
    unbroken.run()
    (here / "study").rename(here / "unbroken")
    train = module.train

    def stopped(recipe: Any, folder: Any, checkpoint: Any, callbacks: list[Any]) -> Any:
        if folder().path.name == "trial3":
            callbacks[0].trial.report(0.25, 0)
            raise KeyboardInterrupt
        return train(recipe, folder, checkpoint, callbacks=callbacks)

    monkeypatch.setattr(module, "train", stopped)
    broken = search()
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    assert states(broken) == [TrialState.COMPLETE] * 2 + [TrialState.RUNNING]
    monkeypatch.setattr(module, "train", train)
    resumed = search()
    resumed.run()
    assert drawn(resumed) == drawn(unbroken)
    assert states(resumed) == states(unbroken) == [TrialState.COMPLETE] * 4
    assert [run.name for run in trained[4:]] == ["trial1", "trial2", "trial3", "trial4"]
    assert resumed.study.trials[2].intermediate_values[0] == 0.25  # what was reported stays
    resumed.run()
    assert len(trained) == 8


def test_a_trial_that_another_process_trains_is_left_to_it(
    search: Callable[..., Search], trained: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = search()
    busy.study.ask()
    claim = module.claim
    monkeypatch.setattr(module, "claim", lambda path: None if path.name == ".trial1.lock" else claim(path))
    busy.run()
    assert [run.name for run in trained] == ["trial2", "trial3", "trial4"]
    assert states(busy)[0] is TrialState.RUNNING


def test_a_failed_trial_keeps_its_reason_and_three_in_a_row_end_the_search(
    search: Callable[..., Search], trained: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    train = module.train

    def failing(recipe: Any, folder: Any, checkpoint: Any, callbacks: list[Any]) -> Any:
        if folder().path.name != "trial1":
            raise RunError("the loss of step 3 is not a number")
        return train(recipe, folder, checkpoint, callbacks=callbacks)

    monkeypatch.setattr(module, "train", failing)
    failed = search(replace(SWEEP, trials=9))
    with pytest.raises(RunError, match="3 trials in a row have failed, the last one thus: the loss of step 3"):
        failed.run()
    assert states(failed) == [TrialState.COMPLETE] + [TrialState.FAIL] * 3
    assert Path("study/trials.csv").read_text().splitlines()[-1].endswith(",the loss of step 3 is not a number")
    text = results_text(failed.study, failed.sweep, failed.folder, ["photos.yaml"], failed.overrides)
    assert "trial 4: the loss of step 3 is not a number" in text
    assert "fit -c photos.yaml -c study/best.yaml --data.root=" in text


def test_a_bug_ends_the_search_at_once_and_is_not_repeated(
    search: Callable[..., Search], trained: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "train", lambda *args, **options: {}["x"])
    with pytest.raises(KeyError):
        search().run()
    assert states(search()) == [TrialState.FAIL]
    assert search().study.trials[0].user_attrs["error"] == "a bug: KeyError: 'x'"


def test_smaller_is_better_where_the_file_says_so(search: Callable[..., Search], trained: list[Path]) -> None:
    least = search(replace(SWEEP, goal="minimize"))
    least.run()
    values = [each.value for each in by_score(least.study)]
    assert values == sorted(values)


@pytest.mark.parametrize("metric", ["val/accc", "train/loss"])
def test_a_metric_that_is_not_logged_is_named_before_the_first_trial(
    metric: str, search: Callable[..., Search], trained: list[Path]
) -> None:
    with pytest.raises(RecipeError) as raised:
        search(replace(SWEEP, metric=metric))
    expected = f"metric.name of the sweep: no {metric!r} is logged; expected one of val/loss, val/acc, val/f1, val/ece"
    assert str(raised.value).startswith(expected)
    assert metric != "val/accc" or str(raised.value).endswith("; did you mean 'val/acc'?")
    assert not list(Path("study").iterdir())


def test_a_metric_that_is_logged_next_to_the_headline_scores_trials(
    search: Callable[..., Search], trained: list[Path]
) -> None:
    search(replace(SWEEP, metric="val/f1"))


def test_a_search_of_which_every_trial_failed_is_an_error(
    search: Callable[..., Search], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: Any, **options: Any) -> None:
        raise RunError("the loss of step 3 is not a number")

    monkeypatch.setattr(module, "train", failing)
    with pytest.raises(RunError, match="study: every trial has failed, the last one thus: the loss of step 3 is not"):
        search(replace(SWEEP, trials=2)).run()


@pytest.mark.parametrize(
    ("parameters", "overrides", "message"),
    [
        ({"model.optimizer.lrr": {"value": 1}}, [], "--model.optimizer.lrr: unknown option; did you mean"),
        ({"data.augment": {"values": ["light", "none", "huge", "strong"]}}, [], "--data.augment must be one of"),
        ({"model.head.label_smoothing": {"distribution": "uniform", "min": 0.0, "max": 1.0}}, [], "got 1.0"),
        (SWEEP.parameters, [("trainer.devices", "2")], "trainer.devices is 2, but a trial trains on one device"),
    ],
)
def test_what_is_wrong_shows_before_the_first_trial(
    search: Callable[..., Search], parameters: Any, overrides: Any, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        search(replace(SWEEP, parameters=parameters), overrides=overrides)
    assert not list(Path("study").iterdir())


@pytest.mark.slow
def test_pruned_runs_can_be_resumed_and_are_not_finished(search: Callable[..., Search]) -> None:
    """Trained for real: three epochs of `photos.yaml`."""
    real = search(replace(SWEEP, metric="val/loss", trials=9))
    real.run()
    pruned = [each for each in real.study.trials if each.state is TrialState.PRUNED]
    assert pruned
    run = run_of(real.folder, pruned[0].number)
    assert "pruned after 2 epochs: val/loss is worse than" in run.log.read_text()
    assert "Traceback" not in run.log.read_text()
    assert '"finished": false' in run.summary.read_text()
    assert fit([], resume=run.path).final["epoch"] == 2
