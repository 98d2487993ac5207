from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from lightning.pytorch.utilities import rank_zero_only

from resnet_tl.errors import RunError
from resnet_tl.tracking.run_folder import RunFolder, start_run


def test_a_run_has_a_new_folder_named_after_recipe_and_time(tmp_path: Path) -> None:
    runs = [start_run("classify/probe.yaml", root=str(tmp_path)) for _ in range(3)]
    assert len({run.path for run in runs}) == 3, "even within one second"
    for run in runs:
        assert run.path.is_dir()
        assert run.path.parent == tmp_path / "probe"
        assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d(_\d)?", run.path.name)
    assert runs[0].checkpoints == runs[0].path / "checkpoints"


def test_a_given_folder_may_be_new_or_empty(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("empty", "new/below"):
        assert start_run("probe", given=str(tmp_path / name)).path == tmp_path / name


def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"^--run .*: the folder is not empty; nothing was written[^\n]*$"):
        start_run("probe", given=str(tmp_path))
    assert os.listdir(tmp_path) == ["notes.txt"]


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(RunError, match=r"runs.*: cannot create the run's folder: [^\n]*$"):
        start_run("probe", root=str(tmp_path / "runs"))
    with pytest.raises(RunError, match=r"^--run .*/runs: is a file, expected a folder$"):
        start_run("probe", given=str(tmp_path / "runs"))


def test_no_permission_is_one_sentence(tmp_path: Path) -> None:
    """In a process that is not root's: root may write anywhere."""
    (tmp_path / "locked").mkdir(mode=0o555)
    for folder in (*tmp_path.parents[:2], tmp_path):
        folder.chmod(0o755)
    errors = tmp_path / "errors"
    child = os.fork()
    if child == 0:
        with open(errors, "w") as file:
            os.chdir(tmp_path)
            if os.getuid() == 0:
                os.setuid(65534)
            for where in ({"given": "locked"}, {"given": "locked/run"}, {"root": "locked"}):
                try:
                    start_run("probe", **where)
                except RunError as error:
                    print(error, file=file)
        os._exit(0)
    os.waitpid(child, 0)
    lines = errors.read_text().splitlines()
    assert lines[:2] == [
        "--run locked: no permission to write into this folder",
        "--run locked/run: cannot create the run's folder: Permission denied",
    ]
    assert re.fullmatch(r"locked/probe/\S+: cannot create the run's folder: Permission denied", lines[2])


def test_ranks_that_lightning_starts_use_rank_0s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = start_run("probe", root=str(tmp_path))
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    assert start_run("probe", root=str(tmp_path)) == first
    assert len(os.listdir(tmp_path / "probe")) == 1


RANK = """
import sys
from pathlib import Path
from lightning.pytorch import Trainer
sys.path.insert(0, {tests!r})
from conftest import Tiny, loader
from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.loggers.metrics_csv import MetricsCsv
from resnet_tl.tracking.run_folder import start_run
from resnet_tl.tracking.terminal import terminal_log

run = start_run("probe", root={root!r})
trainer = Trainer(
    max_epochs=1, accelerator="cpu", devices=2, strategy="ddp", logger=[MetricsCsv(run.metrics)],
    callbacks=callbacks(run, "val/acc"), plugins=[SafeCheckpointIO()], log_every_n_steps=1,
)
with terminal_log():
    trainer.fit(Tiny(), loader(), loader(8))
print("FOLDER", run.path)
"""


def test_two_ranks_started_independently_share_one_folder(tmp_path: Path, free_port: int) -> None:
    """As torchrun and SLURM start them: no rank is another's child."""
    code = RANK.format(tests=str(Path(__file__).parent), root=str(tmp_path))
    joined = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            env={**os.environ, **joined, "LOCAL_RANK": rank, "OMP_NUM_THREADS": "1", "RESNET_TL_RUN_FOLDER": "stale"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in "01"
    ]
    outputs = [process.communicate(timeout=400)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    (folder,) = (tmp_path / "probe").iterdir()
    assert [re.findall(r"FOLDER (.*)", text) for text in outputs] == [[str(folder)]] * 2
    assert sorted(path.name for path in folder.rglob("*")) == [
        *("best.ckpt", "checkpoints", "last.ckpt", "metrics.csv", "summary.json")
    ]
    assert "epoch 1/1" in outputs[0]
    assert "epoch 1/1" not in outputs[1]


def test_a_fold_is_called_by_its_folder_of_folds(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "today-folds")
    assert run.fold(2).path.parent == run.path
    assert run.fold(2).name == "fold2"
    run.path.mkdir()
    run.folds.write_text("{}")
    assert run.fold(2).name == "today-folds/fold2"
    assert run.name == "today-folds"
