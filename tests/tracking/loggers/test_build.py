from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import WandbLogger

from resnet_tl.errors import RunError
from resnet_tl.tracking.loggers.build import Wandb, _has_key, loggers
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking
from resnet_tl.tracking.terminal import terminal_log


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def test_csv_is_always_there_and_alone_by_default(run: RunFolder) -> None:
    assert [logger.name for logger in loggers(Tracking(), run)] == ["csv"]


@pytest.mark.usefixtures("no_key")
def test_a_key_is_looked_for_where_wandb_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _has_key()
    (tmp_path / "netrc").write_text("machine example.org login a password b\n")
    assert not _has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "a" * 40)
    assert _has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not _has_key()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert _has_key()


@pytest.mark.usefixtures("no_key")
def test_without_a_key_wandb_stays_offline_says_so_and_keeps_its_run(
    run: RunFolder, tiny: Any, batches: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    ids = []
    for _ in range(2):
        with terminal_log():
            chosen = loggers(Tracking(wandb=True, tags=["probe"]), run, {"seed_everything": 1})
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", logger=chosen, log_every_n_steps=1, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(tiny(), batches(), batches(8))
        assert wandb.run.offline
        assert dict(wandb.run.config) == {"seed_everything": 1}
        ids.append(wandb.run.id)
        wandb.finish()
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B: no key")]
    assert len(told) == 2
    assert ids[0] == ids[1]
    assert len(list((run.path / "wandb").glob("offline-run-*"))) == 2
    assert not list(run.path.rglob("*artifact*"))


@pytest.mark.usefixtures("no_key")
def test_a_wrong_key_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(RunError, match=r"^W&B: [^\n]*40\+ characters[^\n]*WANDB_MODE=offline[^\n]*$"):
        _ = loggers(Tracking(wandb=True), run)[1].experiment


def test_wandb_is_sent_nothing_twice_when_a_run_goes_on(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda self, metrics, step=None: sent.append((step, metrics)))
    logger = loggers(Tracking(wandb=True), run)[1]
    assert isinstance(logger, Wandb)
    logger.known = {4: {"step", "epoch", "train/loss"}}
    logger.log_metrics({"epoch": 1, "train/loss": 0.5}, 4)
    logger.log_metrics({"epoch": 1, "val/loss": 0.25}, 4)
    logger.log_metrics({"epoch": 1, "train/loss": 0.125}, 5)
    assert sent == [(4, {"epoch": 1, "val/loss": 0.25}), (5, {"epoch": 1, "train/loss": 0.125})]


def test_tensorboard_writes_into_the_run_folder(run: RunFolder, tiny: Any, batches: Any) -> None:
    pytest.importorskip("tensorboard")
    chosen = loggers(Tracking(tensorboard=True), run)
    chosen[1].log_metrics({"val/acc": 0.5}, 0)
    chosen[1].save()
    assert list((run.path / "tensorboard").glob("events.*"))


def test_tensorboard_that_is_not_installed_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install tensorboard$"):
        loggers(Tracking(tensorboard=True), run)
