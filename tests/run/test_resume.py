"""Which run `resume="auto"` resumes."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from resnet_tl.errors import RecipeError
from resnet_tl.recipe.read import write
from resnet_tl.run.build import Recipe, compose
from resnet_tl.run.fit import fit
from resnet_tl.run.resume import find_unfinished, foreign_code_of
from resnet_tl.tracking.run_folder import RunFolder


def recipe_with(images: Path, **values: Any) -> Recipe:
    return compose(["photos.yaml"], [("data.root", images), *values.items()])


@pytest.fixture
def recipe(here: Path, images: Path) -> Recipe:
    """Of 2 epochs."""
    return recipe_with(images)


def run(name: str, recipe: Recipe, epochs: int | None, finished: bool = False) -> RunFolder:
    """A folder as a run leaves it after so many epochs; None: before its first checkpoint."""
    folder = RunFolder(Path("runs/photos") / name)
    folder.checkpoints.mkdir(parents=True)
    write(recipe, folder.recipe)
    if epochs is not None:
        loops = {"fit_loop": {"epoch_progress": {"current": {"processed": epochs}}}}
        torch.save({"loops": loops}, folder.last)
        folder.summary.write_text(json.dumps({"finished": finished}))
    return folder


def test_the_newest_unfinished_run_of_the_same_recipe(recipe: Recipe, images: Path) -> None:
    assert find_unfinished(recipe, "photos.yaml") is None
    run("2026-01-01", recipe, 1)
    newest = run("2026-01-02", recipe, 1)
    run("2026-01-03", recipe, 2, finished=True)
    run("2026-01-04", recipe_with(images, **{"model.optimizer.lr": 0.5}), 1)
    (Path("runs/photos") / "2026-01-05").mkdir()
    assert find_unfinished(recipe, "elsewhere/photos.yaml") == newest
    assert find_unfinished(recipe, "other") is None


def test_one_that_was_killed_before_its_first_checkpoint_counts(recipe: Recipe) -> None:
    killed = run("2026-01-01", recipe, None)
    assert find_unfinished(recipe, "photos") == killed


def test_values_that_may_change_do_not_make_it_another_recipe(recipe: Recipe, images: Path) -> None:
    stopped = run("2026-01-01", recipe, 1)
    other = recipe_with(images, **{"trainer.max_epochs": 9, "data.num_workers": 1, "trainer.devices": 1})
    assert find_unfinished(other, "photos") == stopped


def test_a_finished_run_is_resumed_for_more_epochs_alone(recipe: Recipe, images: Path) -> None:
    done = run("2026-01-01", recipe, 2, finished=True)
    assert find_unfinished(recipe, "photos") is None
    assert find_unfinished(recipe_with(images, **{"trainer.max_epochs": 3}), "photos") == done
    ended_early = run("2026-01-02", recipe, 1, finished=True)  # by its plan
    assert find_unfinished(recipe, "photos") is None
    assert find_unfinished(recipe_with(images, **{"trainer.max_epochs": 3}), "photos") == ended_early


def test_one_that_was_stopped_after_its_last_epoch_is_unfinished(recipe: Recipe, images: Path) -> None:
    stopped = run("2026-01-01", recipe, 2)
    assert find_unfinished(recipe, "photos") == stopped
    assert find_unfinished(recipe_with(images, **{"trainer.max_epochs": 3}), "photos") == stopped
    assert find_unfinished(recipe_with(images, **{"trainer.max_epochs": 1}), "photos") is None


def test_a_run_with_a_damaged_summary_is_unfinished(recipe: Recipe) -> None:
    damaged = run("2026-01-01", recipe, 2)
    damaged.summary.write_text("{")
    assert find_unfinished(recipe, "photos") == damaged


def test_a_given_folder_is_the_only_candidate(recipe: Recipe) -> None:
    older, _ = run("2026-01-01", recipe, 1), run("2026-01-02", recipe, 1)
    assert find_unfinished(recipe, "photos", older.path) == older
    assert find_unfinished(recipe, "photos", Path("nowhere")) is None


def test_other_ranks_take_the_choice_of_rank_0(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("2026-01-01", recipe, 1)
    find_unfinished(recipe, "photos")
    run("2026-01-02", recipe, 1)
    monkeypatch.setattr("resnet_tl.run.resume.is_rank_zero", lambda: False)
    assert find_unfinished(recipe, "photos") == first


CODE = "open({mark!r}, 'w')\ndef boom(*args, **more): ...\nclass Stop: ...\n"


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("model", "init_args", "schedule", "name"), "evilmod.boom"),
        (("model", "init_args", "optimizer", "name"), "evilmod.boom"),
        (("model", "init_args", "backbone", "name"), "evilmod.boom"),
        (("model", "init_args", "head"), "evilmod.boom"),
        (("model", "class_path"), "evilmod.Stop"),
        (("data", "class_path"), "evilmod.Stop"),
        (("data", "init_args", "train_transforms"), [{"class_path": "OneOf", "init_args": {"a": ["evilmod.boom"]}}]),
        (("trainer", "callbacks"), [{"class_path": "evilmod.Stop", "init_args": {}}]),
        (("trainer", "callbacks"), ["evilmod.Stop"]),
        (("trainer", "profiler"), "evilmod.boom"),
    ],
)  # fmt: skip
def test_the_folder_of_someone_else_imports_nothing(
    recipe: Recipe, here: Path, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, ...], value: Any
) -> None:
    (here / "evilmod.py").write_text(CODE.format(mark=str(here / "ran")))
    monkeypatch.syspath_prepend(str(here))
    hostile = copy.deepcopy(recipe)
    parent = hostile
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value
    folder = run("2026-01-01", hostile, 1).path
    with pytest.raises(RecipeError, match=rf"^--resume {folder}: its recipe needs 'evilmod\.\w+', which is"):
        fit([], resume=folder)
    assert find_unfinished(recipe, "photos", folder) is None
    assert not (here / "ran").exists()


def test_a_callback_of_lightning_needs_no_trust(images: Path, here: Path) -> None:
    name = "lightning.pytorch.callbacks.RichModelSummary"
    folder = run("2026-01-01", recipe_with(images, **{"trainer.callbacks": [{"class_path": name}]}), 1)
    assert foreign_code_of(folder) == []
