"""head.ckpt: when it is saved, and which weights it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.run.head_checkpoint import end_of_head
from resnet_tl.tensor_file import load_safely
from resnet_tl.tuning.plan import Phase, Tuning
from resnet_tl.tuning.resolve import resolve
from tests.cli.conftest import RECIPE

HEAD, ALL = Phase(["head"], epochs=2), Phase()
STAGES = ("stem", "layer1", "neck", "head")


@pytest.mark.parametrize(
    ("phases", "epoch"),
    [
        ([HEAD, ALL], 2),
        ([Phase(["head"], solver="lbfgs"), HEAD, ALL], 3),
        ([Phase(["neck", "head"], epochs=1), ALL], 1),
        ([HEAD, Phase(["layer1", "head"], epochs=1), ALL], 2),
        ("lpft", 4),
        ("lpft_solved", 1),
        ([Phase(["norms", "head"], epochs=2), ALL], None),
        ([Phase(["layer1"], epochs=2), HEAD, ALL], None),
        ([Phase(["head"])], None),
        ([ALL], None),
    ],
)
def test_the_heads_phases_end_where_more_is_trained(phases: Any, epoch: int | None) -> None:
    assert end_of_head(resolve(Tuning(phases=phases), STAGES, 8)) == epoch


@pytest.mark.parametrize("ema", [None, 0.9])
def test_it_holds_what_a_run_of_the_heads_phase_ends_with(images: Path, tmp_path: Path, ema: float | None) -> None:
    def fit(run: str, *phases: dict[str, Any], **options: Any) -> Path:
        tuning = {"phases": list(phases), "allow_untrained": True, "ema": ema}
        options |= {"data.root": images, "model.tuning": tuning, "model.schedule.name": "constant"}
        return (
            resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / run, **options, **{"tracking.report": False}).path
            / "checkpoints"
        )

    both = fit("both", {"train": ["head"], "epochs": 1}, {"train": "all"})
    alone = fit("alone", {"train": ["head"]}, **{"trainer.max_epochs": 1})
    saved, expected, end = (
        checkpoint.read(path) for path in (both / "head.ckpt", alone / "last.ckpt", both / "last.ckpt")
    )
    assert saved.step == expected.step == end.step // 2
    assert all(torch.equal(tensor, expected.state_dict[key]) for key, tensor in saved.state_dict.items())
    assert not all(torch.equal(tensor, end.state_dict[key]) for key, tensor in saved.state_dict.items())
    assert not {"optimizer_states", "raw_state_dict", "loops"} & load_safely(both / "head.ckpt").keys()
    assert not (alone / "head.ckpt").exists()


def test_a_word_turns_it_off(images: Path, tmp_path: Path) -> None:
    tuning = {"phases": [{"train": ["head"], "epochs": 1}, {"train": "all"}], "allow_untrained": True}
    options: dict[str, Any] = {
        "data.root": images,
        "model.tuning": tuning,
        "tracking.keep_head": False,
        "tracking.report": False,
    }
    run = resnet_tl.fit(yaml.safe_load(RECIPE), run=tmp_path / "run", **options).path
    assert not (run / "checkpoints" / "head.ckpt").exists()
