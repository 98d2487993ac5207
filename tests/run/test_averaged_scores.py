"""Statistics of norms are estimated again for the mean, and only where training has moved them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from resnet_tl import checkpoint
from resnet_tl.run.averaged_scores import Scorer
from resnet_tl.run.weighted_mean import mean
from tests.run.averaged import changed, runs

__all__ = ["runs"]


def test_statistics_that_training_has_kept_stay(runs: list[Path], tmp_path: Path) -> None:
    def other_head(content: dict[str, Any]) -> None:
        for key, tensor in content["state_dict"].items():
            if key.startswith("network.head."):
                content["state_dict"][key] = tensor * 2

    bundles = [checkpoint.read(path) for path in (runs[0], changed(runs[0], tmp_path / "other.ckpt", other_head))]
    state = mean([bundle.state_dict for bundle in bundles], [1, 1])
    Scorer(bundles, ()).recalibrated(state)
    before = bundles[0].state_dict
    assert all(torch.equal(before[key], state[key]) for key in before if "running_" in key)


def test_the_same_weights_have_the_same_score_and_statistics_again(runs: list[Path]) -> None:
    bundles = [checkpoint.read(path) for path in runs]
    scorer = Scorer(bundles, ())
    states = [mean([bundle.state_dict for bundle in bundles], [1, 1]) for _ in range(2)]
    assert scorer.recalibrated(states[0]) == scorer.recalibrated(states[1])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert scorer.score(bundles[0].state_dict) == Scorer(bundles[:1], ()).score(bundles[0].state_dict)
