from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch import Trainer

from resnet_tl import fit
from resnet_tl.errors import RunError
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.loggers.drawings import Table
from resnet_tl.tracking.loggers.identity import recipe_digest
from resnet_tl.tracking.loggers.run_logger import Outcome
from resnet_tl.tracking.loggers.wandb import Wandb, has_key
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking
from resnet_tl.tracking.terminal import terminal_log

RECIPE = {
    "seed_everything": 1,
    "model": {
        "class_path": "resnet_tl.tasks.classification.Classification",
        "init_args": {"backbone": {"name": "resnet18"}},
    },
    "data": {"class_path": "resnet_tl.data.classification.ImageFolder", "init_args": {"root": "data/photos"}},
}


@pytest.fixture
def no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


@pytest.mark.usefixtures("no_key")
def test_a_key_is_found_where_wandb_looks_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not has_key()
    (tmp_path / "netrc").write_text("machine example.org login a password b\n")
    assert not has_key()
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password " + "a" * 40)
    assert has_key()
    monkeypatch.setenv("WANDB_BASE_URL", "https://wandb.example.org")
    assert not has_key()
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert has_key()


@pytest.mark.usefixtures("no_key")
def test_without_a_key_wandb_is_offline_reports_it_and_keeps_its_run(
    run: RunFolder, tiny: Any, batches: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    import wandb

    ids = []
    for _ in range(2):
        with terminal_log():
            chosen = loggers(Tracking(wandb=True, tags=["probe"]), run, RECIPE)
        trainer = Trainer(
            max_epochs=1, accelerator="cpu", logger=chosen, log_every_n_steps=1, enable_checkpointing=False,
            enable_progress_bar=False, enable_model_summary=False,
        )  # fmt: skip
        trainer.fit(tiny(), batches(), batches(8))
        assert wandb.run.offline
        assert dict(wandb.run.config) == RECIPE
        assert wandb.run.tags == ("probe", "classification", "photos")
        assert wandb.run.group == f"resnet18-{recipe_digest(RECIPE)}"
        ids.append(wandb.run.id)
        wandb.finish()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("W&B: no key")]
    assert len(lines) == 2
    assert ids[0] == ids[1]
    assert len(list((run.path / "wandb").glob("offline-run-*"))) == 2
    assert not list(run.path.rglob("*artifact*"))


@pytest.mark.usefixtures("no_key")
def test_a_wrong_key_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    with pytest.raises(RunError, match=r"^W&B: [^\n]*40\+ characters[^\n]*WANDB_MODE=offline[^\n]*$"):
        _ = loggers(Tracking(wandb=True), run)[1].experiment


def test_a_trial_of_a_sweep_keeps_the_id_that_its_agent_gives(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WANDB_SWEEP_ID": "sweep", "WANDB_RUN_ID": "agents"}.items():
        monkeypatch.setenv(name, value)
    loggers(Tracking(wandb=True), run)
    assert (run.path / "wandb_id.txt").read_text() == "agents"


def test_a_resumed_run_sends_nothing_twice(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, logger = _recorded(run, monkeypatch)
    logger.already_sent = {4: {"step", "epoch", "train/loss"}}
    logger.log_metrics({"epoch": 1, "train/loss": 0.5}, 4)
    logger.log_metrics({"epoch": 1, "val/loss": 0.25}, 4)
    logger.log_metrics({"epoch": 1, "train/loss": 0.125}, 5)
    assert sent == [
        (4, {"epoch": 1, "val/loss": 0.25, "trainer/global_step": 4}),
        (5, {"epoch": 1, "train/loss": 0.125, "trainer/global_step": 5}),
    ]


def test_a_resumed_run_draws_no_validation_twice(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, logger = _recorded(run, monkeypatch)
    logger.already_sent = {4: {"step", "epoch", "val/loss"}, 5: {"step", "epoch", "train/loss"}}
    for step in (4, 5):
        logger.draw({"val/classes": Table(["class"], [["ant"]])}, step)
    assert [step for step, _ in sent] == [5]


def test_measurements_go_with_the_row_of_their_step(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, logger = _recorded(run, monkeypatch)
    logger.already_sent = {4: {"step", "epoch", "train/loss"}}
    logger.measure({"train/grad_norm": 1.0}, 4, "train/loss")
    logger.measure({"speed/waiting": 0.5}, 4, "val/loss")
    logger.measure({"train/grad_norm": 2.0}, 5, "train/loss")
    assert [values for _, values in sent] == [
        {"speed/waiting": 0.5, "trainer/global_step": 4},
        {"train/grad_norm": 2.0, "trainer/global_step": 5},
    ]


@pytest.mark.parametrize("offline", [True, False])
def test_checkpoints_are_versions_of_one_artifact(
    offline: bool, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Online, the versions of an earlier end lose their aliases, and are deleted."""
    import wandb

    logged, deleted, summary = [], [], {}
    old, new = (SimpleNamespace(aliases=aliases, delete=lambda: deleted.append(1)) for aliases in ([], ["best"]))

    def log_artifact(artifact: Any, aliases: list[str] | None = None) -> Any:
        logged.append((artifact.type, artifact.name, list(artifact.manifest.entries), aliases))
        return SimpleNamespace(wait=lambda: None)

    experiment = SimpleNamespace(
        id="abc", offline=offline, entity="lab", project="bees", log_artifact=log_artifact, summary=summary
    )
    versions = {("model", "lab/bees/model-abc"): [old, new]}
    monkeypatch.setattr(Wandb, "experiment", experiment)
    monkeypatch.setattr(wandb, "Api", lambda: SimpleNamespace(artifacts=lambda *name: versions[name]))
    logger = loggers(Tracking(wandb=True), run)[1]
    assert isinstance(logger, Wandb)
    paths = {name: run.path / f"{name}.ckpt" for name in ("best", "last")}
    for path in (*paths.values(), run.files):
        path.write_text(path.name)
    logger.end(Outcome({"best/val/acc": 0.5}, {"recipe": "1", "data": "2"}, paths, [run.files]))
    assert logged == [
        ("dataset", "data-2", ["files.json"], None),
        ("model", "model-abc", ["best.ckpt"], ["best"]),
        ("model", "model-abc", ["last.ckpt"], ["last"]),
    ]
    assert summary == {"best/val/acc": 0.5}
    assert len(deleted) == (0 if offline else 1)


def _recorded(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> tuple[list[tuple[int | None, dict[str, Any]]], Wandb]:
    """A logger, and what it sends: W&B's step and the values."""
    sent: list[tuple[int | None, dict[str, Any]]] = []
    experiment = SimpleNamespace(log=lambda values, step=None: sent.append((step, values)))
    monkeypatch.setattr(Wandb, "experiment", experiment)
    logger = loggers(Tracking(wandb=True), run)[1]
    assert isinstance(logger, Wandb)
    return sent, logger


def test_each_training_of_a_process_has_a_run_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_MODE", "offline")
    recipe = {
        "model": {"class_path": "Classification", "init_args": {"backbone": {"name": "resnet_tiny"}}},
        "data": {"class_path": "ImageFolder", "init_args": {
            "root": str(shipped_root() / "data/samples/classification"), "image_size": 16, "num_workers": 0}},
        "trainer": {
            "max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 1, "accelerator": "cpu", "precision": "32"},
        "tracking": {"wandb": True},
    }  # fmt: skip
    for name in ("first", "second"):
        fit(recipe, run=tmp_path / name)
        assert wandb.run is None
        assert len(list((tmp_path / name / "wandb").glob("offline-run-*"))) == 1
