"""Trainers from a recipe's `trainer` section, and Lightning's errors as sentences."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning import Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.profilers import SimpleProfiler
from torch._inductor.exc import CppCompileError
from torch.utils.data import DataLoader

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.recipe.read import as_text
from resnet_tl.run.build import compose
from resnet_tl.run.trainer import build_trainer, global_batch, resolve_precision, translate_errors
from resnet_tl.tracking.checkpoints import SafeCheckpointIO


@pytest.fixture
def options(here: Path, images: Path) -> dict[str, Any]:
    values = {"data.root": images, "trainer.accelerator": "cpu"}
    trainer: dict[str, Any] = compose(["photos.yaml"], values.items())["trainer"]
    return trainer


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)


def test_a_precision_of_the_recipes_stays_and_auto_becomes_one_with_its_reason(options: dict[str, Any]) -> None:
    resolved, precision = resolve_precision(options)
    assert (resolved, str(precision)) == (options, "precision: 32")
    resolved, precision = resolve_precision({**options, "precision": "auto"})
    assert resolved["precision"] in ("32-true", "bf16-mixed")
    assert str(precision).startswith(f"precision: {resolved['precision']}; this CPU ")
    assert {**resolved, "precision": options["precision"]} == options


@pytest.mark.parametrize("precision", ["bf16-true", "16-true"])
def test_weights_of_16_bits_are_refused(precision: str) -> None:
    with pytest.raises(RecipeError, match=rf"^trainer\.precision is {precision}, .*; expected auto, bf16-mixed"):
        resolve_precision({"precision": precision})


@pytest.mark.usefixtures("no_gpu")
def test_an_accelerator_that_is_missing_is_refused(options: dict[str, Any]) -> None:
    for accelerator in ("gpu", "cuda"):
        with pytest.raises(RunError, match=f"trainer.accelerator is '{accelerator}', but torch finds no GPU"):
            resolve_precision({**options, "accelerator": accelerator})
    with pytest.raises(RunError, match=r"trainer.devices is 2, .* --trainer.accelerator cpu$"):
        resolve_precision({**options, "accelerator": "auto", "devices": 2})


def test_the_trainer_has_the_recipes_values_and_ours(options: dict[str, Any]) -> None:
    trainer: Any = build_trainer({**options, "max_epochs": 7}, callbacks=[], loggers=[])
    assert trainer.max_epochs == 7
    assert trainer.loggers == []
    assert isinstance(trainer.strategy.checkpoint_io, SafeCheckpointIO)
    assert not trainer._accelerator_connector.use_distributed_sampler


def test_a_strategy_of_its_own_class_has_its_timeout_in_seconds(here: Path, images: Path) -> None:
    strategy = {"class_path": "lightning.pytorch.strategies.DDPStrategy", "init_args": {"timeout": 60}}
    values = {"data.root": images, "trainer.accelerator": "cpu", "trainer.devices": 2}
    recipe = compose(["photos.yaml"], [*values.items(), ("trainer.strategy", strategy)])
    (here / "resolved.yaml").write_text(as_text(recipe))
    again = compose(["resolved.yaml"], [])
    assert again == recipe
    trainer: Any = build_trainer(again["trainer"], callbacks=[], loggers=[])
    assert trainer.strategy._timeout == timedelta(seconds=60)


def test_hooks_are_not_profiled_unless_the_recipe_says_so(options: dict[str, Any]) -> None:
    trainer: Any = build_trainer({**options, "max_epochs": 1}, callbacks=[], loggers=[])
    with trainer.profiler.profile("one"), trainer.profiler.profile("one"):
        assert trainer.profiler.profile("one") is trainer.profiler.profile("other")
    profiled: Any = build_trainer({**options, "max_epochs": 1, "profiler": "simple"}, callbacks=[], loggers=[])
    assert isinstance(profiled.profiler, SimpleProfiler)


def test_what_lightning_refuses_is_a_sentence_in_its_words(options: dict[str, Any]) -> None:
    with pytest.raises(RunError, match=r"^trainer: You selected an invalid strategy name: `strategy='dpp'`[^\n]*$"):
        build_trainer({**options, "strategy": "dpp"}, callbacks=[], loggers=[])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MisconfigurationException("No\n  way."), "^trainer: No way$"),
        (torch.OutOfMemoryError("CUDA out of memory"), "^the device's memory is full: set trainer.micro_batch"),
        (RuntimeError("CUDA error: out of memory"), "^the device's memory is full: set trainer.micro_batch"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED"), "^the device's memory is full: set trainer.micro"),
        (MemoryError(), "^this machine's memory is full: lower the batch size"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. "), "^a worker of the loader was ended"),
        (
            RuntimeError("[gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:25754. GLHF!"),
            r"^another process of this run has ended or cannot be reached \(Connection closed by peer\): what it",
        ),
    ],
)
def test_errors_of_the_work_are_sentences(error: Exception, message: str) -> None:
    with pytest.raises(RunError, match=message), translate_errors():
        raise error


def test_ctrl_c_stays_ctrl_c_and_other_exits_stay_exits() -> None:
    error = SystemExit(1)
    error.__context__ = KeyboardInterrupt()  # as Lightning raises it
    with pytest.raises(KeyboardInterrupt), translate_errors():
        raise error
    with pytest.raises(SystemExit), translate_errors():
        raise SystemExit(143)


@pytest.mark.parametrize(
    ("devices", "accumulated", "line"),
    [(1, 1, "global batch: 8"), (2, 3, "global batch: 48 = 8 per device x 2 devices x 3 accumulated")],
)
def test_the_global_batch_is_spelled_out(devices: int, accumulated: int, line: str) -> None:
    trainer: Any = SimpleNamespace(world_size=devices, accumulate_grad_batches=accumulated)
    assert global_batch(8, trainer) == line


def test_one_value_per_channel_is_a_sentence() -> None:
    with (
        pytest.raises(RunError, match=r"^a norm cannot normalise a single value per channel"),
        translate_errors(),
    ):
        torch.nn.BatchNorm2d(2)(torch.zeros(1, 2, 1, 1))
    with pytest.raises(ValueError, match="another"), translate_errors():
        raise ValueError("another")


def test_a_backward_pass_that_does_not_compile_is_a_sentence() -> None:
    error = CppCompileError(["g++", "x.cpp"], "x.cpp:1: warning\nKilled")
    message = r"^torch.compile fails here: C\+\+ compile error; set model.tuning.compile to off$"
    with pytest.raises(RunError, match=message), translate_errors():
        raise error


def test_complaints_that_lightning_raises_are_sentences_and_other_errors_are_not(tmp_path: Path) -> None:
    stopping = EarlyStopping("val/nope")
    for fault, options in (
        ("conditioned on metric `val/nope` which is not available", {"callbacks": [stopping]}),
        (r"`val_check_interval` \(30\) must be less than", {"val_check_interval": 30}),
    ):
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=tmp_path, **options,
        )  # fmt: skip
        batches = DataLoader(torch.zeros(2, 32))
        with pytest.raises(RunError, match=f"^trainer: .*{fault}"), translate_errors():
            trainer.fit(BoringModel(), batches, batches)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), translate_errors():
        torch.zeros(2, 3) @ torch.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"^a store"), translate_errors():
        raise RuntimeError("a store: Connection reset by peer")
