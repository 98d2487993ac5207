"""MLflow's own files hold what was logged."""

from __future__ import annotations

import numpy as np
import pytest

from resnet_tl.errors import RunError
from resnet_tl.tracking.loggers.build import loggers
from resnet_tl.tracking.loggers.drawings import Confusion, Table
from resnet_tl.tracking.loggers.mlflow import MLflow
from resnet_tl.tracking.loggers.run_logger import Outcome
from resnet_tl.tracking.run_folder import RunFolder
from resnet_tl.tracking.settings import Tracking


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


RECIPE = {
    "seed_everything": 3,
    "model": {"init_args": {"backbone": {"name": "resnet18"}}},
    "data": {"init_args": {"root": "photos"}},
}


def _logger(run: RunFolder) -> MLflow:
    logger = loggers(Tracking(mlflow=True), run, RECIPE)[1]
    assert isinstance(logger, MLflow)
    return logger


@pytest.mark.usefixtures("no_server")
def test_numbers_parameters_drawings_and_files_of_a_resumed_run(run: RunFolder) -> None:
    first = _logger(run)
    first.log_metrics({"epoch": 0, "val/acc": 0.5, "val/loss": 1.0}, 4)
    second = _logger(run)
    second.already_sent = {4: {"epoch", "val/acc", "val/loss"}}
    second.log_metrics({"epoch": 0, "val/acc": 0.5, "val/loss": 1.0}, 4)
    second.draw({"val/classes": Table(["class"], [["wasp"]])}, 4)
    second.log_metrics({"epoch": 1, "val/acc": 0.75, "val/loss": 0.5}, 9)
    second.draw(
        {
            "val/classes": Table(["class", "f1"], [["ant", 0.5]]),
            "val/confusion": Confusion(["ant", "bee"], np.eye(2, dtype=np.int64)),
        },
        9,
    )
    checkpoint = run.path / "best.ckpt"
    checkpoint.write_bytes(b"weights")
    second.end(Outcome({"best/val/acc": 0.75}, {"recipe": "1234"}, {"best": checkpoint}, []))
    assert first.run_id == second.run_id
    client, stored = second.experiment, second.experiment.get_run(second.run_id)
    assert [(each.step, each.value) for each in client.get_metric_history(second.run_id, "val/acc")] == [
        (4, 0.5),
        (9, 0.75),
    ]
    assert stored.data.metrics["best/val/acc"] == 0.75
    assert stored.data.params["data/init_args/root"] == "photos"
    assert stored.data.tags["recipe_digest"] == "1234"
    (artifacts,) = run.path.glob("mlruns/*/*/artifacts")
    files = {path.relative_to(artifacts).as_posix() for path in artifacts.rglob("*.*")}
    assert files == {"val/classes.csv", "val/confusion.png", "checkpoints/best.ckpt"}
    assert (artifacts / "val/classes.csv").read_text() == "class,f1\nant,0.5\n"


def test_mlflow_that_is_not_installed_is_one_sentence(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnet_tl.extras.find_spec", lambda name: None)
    with pytest.raises(RunError, match=r"pip install 'resnet-tl\[mlflow\]'$"):
        loggers(Tracking(mlflow=True), run)
