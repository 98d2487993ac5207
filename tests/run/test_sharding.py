"""A head that ranks share is trained, saved and resumed as one that each has whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from numpy.typing import NDArray

import resnet_tl
from resnet_tl.errors import RecipeError, WeightsError
from resnet_tl.prediction.classification import ClassPrediction
from resnet_tl.recipe import shipped
from resnet_tl.run.plan import plan_text
from resnet_tl.tasks.sharded_head import ShardedHead
from resnet_tl.tracking.run_folder import RunFolder
from tests.cli.conftest import RECIPE
from tests.cli.test_stops import differences, last

HEAD = "--model.head '{class_path: MLPHead, init_args: {hidden: 5}}'"
"""Of 5 and 2 rows: two ranks have 3 and 2, and 1 and 1."""

PHASES = "--model.tuning.phases '[{epochs: 1, train: [head]}, {train: all}]' --model.tuning.allow_untrained true"
SAME = "--model.tuning.norm frozen"
"""So that the steps are the same on any number of ranks, up to rounding."""

AT = """
import json, os, signal
from pathlib import Path
from lightning.pytorch import Callback

class At(Callback):
    def on_train_batch_start(self, trainer, module, batch, batch_idx):
        if str(trainer.global_step) == os.environ.get("STOP"):
            os.kill(os.getpid(), signal.SIGTERM)

    def on_train_end(self, trainer, module):
        if trainer.strategy.__class__.__name__ == "ShardedHead":
            parameters = list(module.network.head.parameters())
            states = [trainer.optimizers[0].state[each]["exp_avg"] for each in parameters]
            rows = [[len(each.to_local()) for each in group] for group in (parameters, states)]
            Path(f"rows.{trainer.global_rank}").write_text(json.dumps(rows))
"""

Ranks = Callable[..., list[int | None]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharding")
    (folder / "photos.yaml").write_text(RECIPE)
    (folder / "at.py").write_text(AT)
    return folder


@pytest.fixture(scope="module")
def ranks(on_ranks: Callable[..., list[int | None]], folder: Path) -> Ranks:
    """Runs a line on so many ranks, and returns their exit codes."""
    return lambda count, line, **environment: on_ranks(
        f"{line} --trainer.devices {count}", folder, *[environment] * count
    )


@pytest.fixture(scope="module")
def line(images: Path) -> str:
    """12 images, in 3 steps an epoch."""
    data = f"--data.root {images} --trainer.global_batch 4 --trainer.accelerator cpu --model.optimizer.name adamw"
    clip = "--trainer.gradient_clip_val 0.05"
    return f"fit -c photos.yaml {HEAD} {PHASES} {SAME} {data} {clip} --trainer.callbacks '[{{class_path: at.At}}]'"


@pytest.fixture(scope="module")
def sharded(ranks: Ranks, line: str, folder: Path) -> Path:
    assert ranks(2, f"{line} --trainer.strategy fsdp2 --run sharded") == [0, 0]
    return folder / "sharded"


@pytest.fixture(scope="module")
def stopped(ranks: Ranks, line: str, folder: Path) -> Path:
    """In mid-epoch, in the second phase."""
    assert ranks(2, f"{line} --trainer.strategy fsdp2 --run stopped", STOP="3") == [143, 143]
    assert last(folder / "stopped")["global_step"] == 5
    return folder / "stopped"


def apart(run: Path, other: Path) -> float:
    first, second = last(run), last(other)
    weights = [(first["state_dict"][key], second["state_dict"][key]) for key in first["state_dict"]]
    (state,), (others,) = first["optimizer_states"], second["optimizer_states"]
    weights += [(each[key], others["state"][n][key]) for n, each in state["state"].items() for key in each]
    return max(float((one.double() - two.double()).abs().max()) for one, two in weights)


def probabilities(run: Path, image: Path) -> NDArray:
    (prediction,) = resnet_tl.load(str(run)).predict([image])
    assert isinstance(prediction, ClassPrediction)
    return prediction.probabilities


def test_each_rank_has_its_rows_and_the_weights_are_those_of_ddp(
    ranks: Ranks, line: str, folder: Path, sharded: Path, images: Path
) -> None:
    rows = [json.loads((folder / f"rows.{rank}").read_text()) for rank in (0, 1)]
    assert rows == [[[1, 1, 3, 3]] * 2, [[1, 1, 2, 2]] * 2], "of fc and hidden: weights and biases, and their state"
    assert ranks(2, f"{line} --trainer.strategy ddp --run whole") == [0, 0]
    assert apart(folder / "whole", sharded) <= 1e-6
    assert ", the head sharded by FSDP2" in RunFolder(sharded).log.read_text()
    image = images / "val" / "blue" / "0.png"
    one, other = (probabilities(run, image) for run in (sharded, folder / "whole"))
    assert one == pytest.approx(other, abs=1e-6)


def test_a_run_stopped_in_mid_epoch_resumes_bit_for_bit(
    ranks: Ranks, folder: Path, stopped: Path, sharded: Path
) -> None:
    resumed = shutil.copytree(stopped, folder / "resumed")
    assert ranks(2, "fit --resume resumed --trust-code") == [0, 0]
    keys = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "loops")
    one, other = ({key: last(run)[key] for key in keys} for run in (sharded, resumed))
    assert differences(one, other) == []
    assert RunFolder(sharded).metrics.read_text() == RunFolder(resumed).metrics.read_text()


def test_a_flipped_bit_is_named_when_a_run_resumes(stopped: Path, tmp_path: Path) -> None:
    content, damaged = bytearray(RunFolder(stopped).last.read_bytes()), tmp_path / "last.ckpt"
    content[content.index(last(stopped)["state_dict"]["network.head.fc.weight"].numpy().tobytes())] ^= 1
    damaged.write_bytes(content)
    assert ShardedHead().load_checkpoint(RunFolder(stopped).last)["global_step"] == 5
    with pytest.raises(WeightsError, match=r"last\.ckpt: damaged: .*/data/\d+ does not match its checksum"):
        ShardedHead().load_checkpoint(damaged)


@pytest.mark.slow
def test_it_may_resume_on_other_ranks(ranks: Ranks, folder: Path, stopped: Path, sharded: Path) -> None:
    for count in (1, 4):  # of the 2 rows of `fc`, two of four ranks have none
        resumed = shutil.copytree(stopped, folder / f"resumed{count}")
        assert ranks(count, f"fit --resume resumed{count} --trust-code") == [0] * count
        assert apart(sharded, resumed) <= 1e-6
    rows = [json.loads((folder / f"rows.{rank}").read_text()) for rank in range(4)]
    assert [row for row, _ in rows] == [[1, 1, 2, 2], [1, 1, 2, 2], [0, 0, 1, 1], [0, 0, 0, 0]]


CASES: list[tuple[str, Any, str]] = [
    ("model.tuning.phases", [{"epochs": 1, "train": ["layer4"]}, {}], "phases[0] does not train the whole head"),
    ("model.tuning.phases", [{"train": ["layer4", "biases"]}], "phases[0] does not train the whole head"),
    ("model.tuning.phases", "lpft_solved", "phases[0].solver is lbfgs"),
    ("model.tuning.phases", [{"until": "plateau", "restore_best": True}], "phases[0].restore_best is true"),
    ("model.tuning.ema", 0.9, "tuning.ema is 0.9; expected no average"),
    ("model.tuning.l2_sp", 0.1, "tuning has regularisers"),
    ("model.tuning.compile", "all", "tuning.compile is all; expected frozen or off"),
    ("model.optimizer.name", "lamb", "optimizer.name is lamb; expected sgd, adam, adamw"),
    ("model.optimizer.fused", True, "optimizer.fused is true; expected auto"),
    ("trainer.precision", "16-mixed", "trainer.precision is 16-mixed; expected bf16-mixed or 32-true"),
    ("trainer.accumulate_grad_batches", 2, "accumulate_grad_batches is 2; expected trainer.global_batch"),
    ("data.batch_size", "auto", "data.batch_size is auto; expected a number"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), CASES)
def test_what_needs_the_head_whole_is_refused(here: Path, images: Path, key: str, value: Any, sentence: str) -> None:
    set_to = [("data.root", images), ("model.tuning.allow_untrained", True), ("trainer.strategy", "fsdp2")]
    assert "head" in plan_text(["photos.yaml"], set_to)
    with pytest.raises(RecipeError) as error:
        plan_text(["photos.yaml"], [*set_to, (key, value)])
    assert str(error.value).startswith("trainer.strategy is fsdp2, but ")
    assert sentence in str(error.value)


def test_the_example_of_the_overlay_is_accepted(images: Path) -> None:
    example = next(line for line in shipped.find("overlays/fsdp2").read_text().splitlines() if "resnet-tl fit" in line)
    recipes = [after for word, after in pairwise(example.split()) if word == "-c"]
    set_to = [("data.root", images), ("model.backbone.weights", None), ("model.tuning.allow_untrained", True)]
    assert recipes[1:] == ["overlays/fsdp2"]
    assert "head" in plan_text(recipes, set_to)
