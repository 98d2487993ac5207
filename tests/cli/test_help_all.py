"""`resnet-tl fit --help-all`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_help_all_lists_every_key_of_the_recipe(resnet_tl: Callable[..., Any], here: Path) -> None:
    done = resnet_tl("fit -c photos.yaml --help-all")
    keys = {line.split()[0]: line.split()[1] for line in done.out.splitlines()}
    assert keys["--data.image_size"] == "16"
    assert keys["--data.root"] == "null"
    assert {"--model.head.dropout", "--trainer.max_epochs", "--tracking.wandb", "--seed_everything"} <= set(keys)
    assert not {"--trainer.logger", "--trainer.use_distributed_sampler", "--model.classes"} & set(keys)
