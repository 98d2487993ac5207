"""A stated global batch is the same on any number of devices, and the rate is scaled where that is asked for."""

from __future__ import annotations

import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml

from resnet_tl.errors import RecipeError
from resnet_tl.run.build import compose
from resnet_tl.run.global_batch import scale_rate, share_global_batch
from resnet_tl.run.plan import plan_text
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tuning.rates import Optimizer, Schedule

EXACT = '--model.tuning.norm frozen --model.tuning.allow_untrained true --trainer.precision "64-true"'


def shared(batch: int | None, ranks: int, *, at_once: int = 32, micro: int | str | None = None) -> tuple[Any, Any]:
    """The batch of a loader and the micro-batch."""
    recipe = {"trainer": {"global_batch": batch, "micro_batch": micro}}
    data: Any = SimpleNamespace(batch_size=at_once)
    task: Any = SimpleNamespace(micro_batches=SimpleNamespace(size=micro if isinstance(micro, int) else None))
    share_global_batch(recipe, data, task, ranks)
    return data.batch_size, task.micro_batches.size


def test_each_rank_takes_its_share_in_pieces_that_fit() -> None:
    assert shared(None, 4) == (32, None)
    assert shared(256, 8) == (32, None)
    assert shared(256, 1) == (256, 32)
    assert shared(254, 2) == (127, 32), "pieces need not divide the share"
    assert shared(256, 16) == (16, None)
    assert shared(256, 4, micro=8) == (64, 8)
    assert shared(256, 64, micro=8) == (4, 8), "kept for a resume on fewer devices"
    assert shared(256, 4, micro="auto") == (64, None), "found when the run starts"


@pytest.mark.parametrize(
    ("batch", "ranks", "nearest"),
    [
        (256, 3, "a global batch of 255 or 258, or 2 or 4 devices"),
        (6, 4, "a global batch of 4 or 8, or 3 or 6 devices"),
        (2, 3, "a global batch of 3, or 2 devices"),
        (1, 2, "a global batch of 2, or 1 device"),
    ],
)
def test_what_ranks_cannot_share_is_refused_with_the_nearest_that_fit(batch: int, ranks: int, nearest: str) -> None:
    with pytest.raises(RecipeError) as error:
        shared(batch, ranks)
    assert str(error.value) == (
        f"trainer.global_batch is {batch}, which {ranks} devices cannot share equally; nearest that fit: {nearest}"
    )


def test_what_else_would_change_the_global_batch_is_refused(here: Path, images: Path) -> None:
    stated = [("data.root", images), ("trainer.global_batch", 8)]
    with pytest.raises(RecipeError, match=r"--trainer\.global_batch is 8, .*accumulate_grad_batches is 2: omit one"):
        compose(["photos.yaml"], [*stated, ("trainer.accumulate_grad_batches", 2)])
    automatic = compose(["photos.yaml"], [*stated, ("data.batch_size", "auto")])["trainer"]
    assert (automatic["global_batch"], automatic["micro_batch"]) == (8, "auto")


def scaled(batch: int, base: int | None, **schedule: Any) -> tuple[float, str]:
    task: Any = SimpleNamespace(optimizer=Optimizer(lr=0.1, base_batch=base), schedule=Schedule(**schedule))
    text = scale_rate(task, batch)
    return task.optimizer.lr, text


def test_a_rate_is_scaled_where_the_recipe_says_for_which_batch_it_is() -> None:
    assert scaled(2048, None) == (0.1, "")
    rate, text = scaled(2048, 256, warmup_epochs=5)
    assert rate == pytest.approx(0.8)
    assert text == "learning rate: 0.8 = 0.1 x 2048 / 256, scaled to the global batch, after a warm-up of 5 epochs"
    assert scaled(2048, 256)[1].endswith(
        "without a warm-up (arXiv:1706.02677 takes 5 epochs: model.schedule.warmup_epochs)"
    )
    assert scaled(64, 256) == (0.025, "learning rate: 0.025 = 0.1 x 64 / 256, scaled to the global batch")


def test_a_plan_shows_the_scaled_rates(here: Path, images: Path) -> None:
    based = [("data.root", images), ("model.optimizer.base_batch", 8)]
    assert "are for a global batch of 8 images (optimizer.base_batch)" in plan_text(["photos.yaml"], based)
    text = plan_text(["photos.yaml"], [*based, ("trainer.global_batch", 4)])
    assert "learning rate: 0.01 = 0.02 x 4 / 8" in text


AT = """
import os, signal
from lightning.pytorch import Callback

class At(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if str(trainer.global_step) == os.environ.get("STOP"):
            os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.fixture
def ranks(process: Callable[..., BaseProcess], here: Path) -> Callable[..., list[int | None]]:
    """Runs a line on so many ranks, and returns their exit codes."""
    (here / "at.py").write_text(AT)

    def ranks(count: int, line: str, **environment: str) -> list[int | None]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        joined = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "NODE_RANK": "0"}
        each = [process(line, here, LOCAL_RANK=str(rank), **joined, **environment) for rank in range(count)]
        for one in each:
            one.join(300)
        return [one.exitcode for one in each]

    return ranks


def apart(run: Path, other: Path) -> float:
    first, second = (torch.load(RunFolder(each).last, weights_only=True)["state_dict"] for each in (run, other))
    return max(float((first[key].double() - second[key].double()).abs().max()) for key in first)


def test_one_and_two_ranks_take_the_same_steps_and_may_change_within_an_epoch(
    ranks: Callable[..., list[int | None]], here: Path, images: Path
) -> None:
    """12 images in steps of 6: on one rank in pieces of at most 4, on two in 3 each."""
    batch = "--trainer.global_batch 6 --model.optimizer.base_batch 3 --trainer.accelerator cpu"
    line = f"fit -c photos.yaml --data.root {images} {EXACT} {batch} --trainer.callbacks '[{{class_path: at.At}}]'"
    assert ranks(1, f"{line} --run one") == [0]
    assert ranks(2, f"{line} --trainer.devices 2 --run two") == [0, 0]
    printed = (here / "output.txt").read_text()
    assert "global batch: 6 in micro-batches of 4\n" in printed
    assert "global batch: 6 = 3 per device x 2 devices x 1 accumulated\n" in printed
    assert printed.count("learning rate: 0.04 = 0.02 x 6 / 3") == 2
    assert apart(here / "one", here / "two") <= 1e-9
    assert ranks(1, f"{line} --run part", STOP="2") == [143]
    assert torch.load(RunFolder(here / "part").last, weights_only=True)["global_step"] == 3, "in mid-epoch"
    assert ranks(2, "fit --resume part --trainer.devices 2 --trust-code") == [0, 0]
    assert apart(here / "one", here / "part") <= 1e-9
    recipe = yaml.safe_load((here / "part" / "recipe.yaml").read_text())
    assert (recipe["data"]["init_args"]["batch_size"], recipe["trainer"]["global_batch"]) == (4, 6)
