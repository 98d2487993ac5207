"""Runs of a recipe whose batch does not fit into memory."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from resnet_tl.checkpoint import read
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone
from resnet_tl.run import batch_probe
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tuning.plan import Tuning
from resnet_tl.tuning.rates import Optimizer
from tests.cli.conftest import Done

pytestmark = pytest.mark.filterwarnings("default:memory was full")
Command = Callable[..., Done]

EXACT = '--model.tuning.norm frozen --model.tuning.allow_untrained true --trainer.precision "64-true"'


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], list[int]]]:
    """`memory(2)`: no more than two images can be trained on at once from now on; returns how many were tried."""
    forward = LinearHead.forward

    def limit(images: int) -> list[int]:
        tried: list[int] = []

        def limited(head: LinearHead, maps: dict[str, Tensor], *rest: Any) -> Tensor:
            if torch.is_grad_enabled():
                tried.append(len(next(iter(maps.values()))))
                if tried[-1] > images:
                    raise torch.OutOfMemoryError("CUDA out of memory.")
            return forward(head, maps, *rest)

        monkeypatch.setattr(LinearHead, "forward", limited)
        return tried

    return limit


def trainer_options(run: str) -> dict[str, Any]:
    options: dict[str, Any] = yaml.safe_load((Path(run) / "recipe.yaml").read_text())["trainer"]
    return options


def rows(run: str) -> list[dict[str, str]]:
    with open(Path(run) / "metrics.csv") as file:
        return list(csv.DictReader(file))


def apart(run: str, other: str) -> float:
    first, second = (torch.load(RunFolder(Path(each)).last, weights_only=True)["state_dict"] for each in (run, other))
    return max(float((first[key].double() - second[key].double()).abs().max()) for key in first)


def test_a_full_memory_keeps_the_global_batch_and_a_resume_the_micro_batch(
    here: Path, images: Path, resnet_tl: Command, memory: Callable[[int], list[int]]
) -> None:
    common = f"fit -c photos.yaml --data.root {images} {EXACT}"
    whole = resnet_tl(common + " --run started --data.batch_size 2 --trainer.accumulate_grad_batches 2")
    longer = resnet_tl("fit --resume started --trainer.max_epochs 3")
    assert (whole.code, longer.code) == (0, 0)
    memory(2)
    full = resnet_tl(common + " --run full")
    assert full.code == 0, full.err
    printed = full.out + full.err
    assert "global batch: 4\n" in printed
    assert printed.count("memory was full in step 0: from this step on, 2 images at a time go through") == 1
    assert trainer_options("full")["micro_batch"] == read(Path("full")).recipe["trainer"]["micro_batch"] == 2
    resumed = resnet_tl("fit --resume full --trainer.max_epochs 3")
    assert resumed.code == 0, resumed.err
    assert "global batch: 4 in micro-batches of 2" in resumed.out + resumed.err
    assert "memory was full" not in resumed.out + resumed.err
    assert apart("full", "started") <= 1e-9
    of_full, of_started = (
        [(row["step"], row["lr/head"], row["val/loss"][:9]) for row in rows(run)] for run in ("full", "started")
    )
    assert of_full == of_started


def test_a_run_resumes_in_other_micro_batches_where_these_are_given(
    here: Path, images: Path, resnet_tl: Command, memory: Callable[[int], list[int]]
) -> None:
    common = f"fit -c photos.yaml --data.root {images} {EXACT} --trainer.recover_memory false"
    for run in ("whole", "split"):
        assert resnet_tl(f"{common} --run {run} --trainer.max_epochs 1").code == 0
    for epochs in (2, 3):
        assert resnet_tl(f"fit --resume whole --trainer.max_epochs {epochs}").code == 0
    tried = memory(2)
    full = resnet_tl("fit --resume split --trainer.max_epochs 2")
    assert "the device's memory is full: set trainer.micro_batch" in full.err
    tried.clear()
    assert resnet_tl("fit --resume split --trainer.max_epochs 2 --trainer.micro_batch 2").code == 0
    assert tried == [2] * 6
    assert (
        trainer_options("split")["micro_batch"]
        == read(RunFolder(Path("split")).last).recipe["trainer"]["micro_batch"]
        == 2
    )
    assert resnet_tl("fit --resume split --trainer.max_epochs 3").code == 0
    assert tried == [2] * 12, "the run keeps it"
    assert apart("split", "whole") <= 1e-9


def test_an_automatic_batch_is_the_recipes_in_micro_batches_that_fit(
    here: Path, images: Path, resnet_tl: Command, memory: Callable[[int], list[int]]
) -> None:
    common = f"fit -c photos.yaml --data.root {images} {EXACT}"
    assert resnet_tl(common + " --run started --data.batch_size 3 --trainer.accumulate_grad_batches 4").code == 0
    tried = memory(3)
    auto = resnet_tl(common + " --run auto --data.batch_size auto --trainer.accumulate_grad_batches 3")
    assert auto.code == 0, auto.err
    assert "global batch: 12 in micro-batches of 3" in auto.out + auto.err
    assert "memory was full" not in auto.out + auto.err
    assert tried[:4] == [12, 6, 3, 3], "two steps of a copy, from the whole batch down"
    assert apart("auto", "started") <= 1e-9, "the search has changed nothing"
    recipe = yaml.safe_load(Path("auto/recipe.yaml").read_text())
    assert recipe["data"]["init_args"]["batch_size"] == 12
    assert (recipe["trainer"]["micro_batch"], recipe["trainer"]["accumulate_grad_batches"]) == (3, 1)
    again = resnet_tl(
        common
        + " --run auto --data.batch_size auto --trainer.accumulate_grad_batches 3 --trainer.max_epochs 3 --resume auto"
    )
    assert again.code == 0, again.err
    assert "resumes at step" in again.out + again.err
    assert tried.count(12) == 1, "the run's own micro-batch is kept"


def test_where_memory_is_no_limit_the_batch_stays_whole(here: Path, images: Path, resnet_tl: Command) -> None:
    done = resnet_tl(f"fit -c photos.yaml --data.root {images} --run auto --data.batch_size auto")
    assert done.code == 0, done.err
    assert (done.out + done.err).count("global batch: 4\n") == 1
    assert "data.batch_size is auto: whole batches fit into memory\n" in done.out + done.err
    assert trainer_options("auto")["micro_batch"] == 4
    plain = resnet_tl(f"fit -c photos.yaml --data.root {images} --run plain")
    assert plain.code == 0
    assert apart("auto", "plain") == 0


def test_without_recovery_and_below_one_image_the_run_ends_with_a_sentence(
    here: Path, images: Path, resnet_tl: Command, memory: Callable[[int], list[int]]
) -> None:
    memory(2)
    off = resnet_tl(f"fit -c photos.yaml --data.root {images} --trainer.recover_memory false")
    assert off.code == 2
    assert "the device's memory is full: set trainer.micro_batch" in off.err
    memory(0)
    none = resnet_tl(f"fit -c photos.yaml --data.root {images} {EXACT} --data.batch_size auto")
    assert none.code == 2
    assert "full even with one image at a time" in none.err


def test_the_search_takes_the_phase_that_trains_most(
    here: Path, images: Path, resnet_tl: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[set[str]] = []
    fits = batch_probe._fits

    def spy(task: Any, *rest: Any) -> bool:
        trained.append({name.split(".")[1] for name, value in task.network.named_parameters() if value.requires_grad})
        return fits(task, *rest)

    monkeypatch.setattr(batch_probe, "_fits", spy)
    phases = "[{epochs: 1, train: [head]}, {train: [layer3, layer4, head]}]"
    command = f"fit -c photos.yaml --data.root {images} --data.batch_size auto --model.tuning.allow_untrained true"
    done = resnet_tl(command + " --run auto --model.tuning.phases {}", phases)
    assert done.code == 0, done.err
    assert trained == [{"layer3", "layer4", "fc"}]


def test_the_search_waits_for_no_other_rank() -> None:
    task = Classification(["a", "b"], Backbone("resnet20_cifar"), LinearHead, Tuning(), Optimizer("sgd"))
    task.network = nn.SyncBatchNorm.convert_sync_batchnorm(task.network)
    before = [type(part) for part in task.network.modules()]
    with batch_probe._copied_network(task, epochs=1):
        parts = list(task.network.modules())
    assert nn.SyncBatchNorm in before
    assert not any(isinstance(part, nn.SyncBatchNorm) for part in parts)
    assert [type(part) for part in task.network.modules()] == before
