from __future__ import annotations

import json

from resnet_tl.tracking.loggers.identity import data_digest, group_of, recipe_digest
from resnet_tl.tracking.run_folder import RunFolder


def test_seeds_and_tracking_are_no_difference_between_recipes() -> None:
    recipe = {"seed_everything": 1, "tracking": {"wandb": True}, "trainer": {"max_epochs": 3}}
    assert recipe_digest(recipe) == recipe_digest({**recipe, "seed_everything": 2, "tracking": {}})
    assert recipe_digest(recipe) != recipe_digest({**recipe, "trainer": {"max_epochs": 4}})


def test_folds_are_one_group_and_other_splits_are_not() -> None:
    def group(**options: int | None) -> str:
        data = {"class_path": "ImageFolder", "init_args": {"root": "photos", **options}}
        return group_of({"model": {"init_args": {"backbone": {"name": "resnet50"}}}, "data": data})

    assert group(folds=5, fold=0) == group(folds=5, fold=3)
    assert group(folds=5, fold=0) != group(folds=4, fold=0)
    assert group(folds=None, fold=0) != group(folds=None, fold=1)  # as in runs of earlier versions


def test_the_place_and_the_time_of_files_are_no_difference_between_data(run: RunFolder) -> None:
    def digest(labels: str, modified: int) -> str:
        split = {"labels": labels, "files": {"a.jpg": [10, modified, 7]}}
        run.files.write_text(json.dumps({"splits": {"train": split}, "accepted": []}))
        return data_digest(run)

    assert digest("1", 5) == digest("1", 6)
    assert digest("1", 5) != digest("2", 5)
