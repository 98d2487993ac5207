"""WiSE-FT: mixes of a run's end with the end of its head's phase."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import resnet_tl
from resnet_tl import checkpoint
from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.run.average import average
from resnet_tl.run.averaged_scores import Score
from resnet_tl.run.finished import Run
from resnet_tl.run.mixes import SHARES, best_mix
from resnet_tl.run.weighted_mean import mean
from tests.cli.conftest import RECIPE


@pytest.fixture(scope="module")
def run(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose head is trained before all stages; its last checkpoint is its only one next to head.ckpt."""
    tuning = {"phases": [{"train": ["head"], "epochs": 1}, {"train": "all"}], "allow_untrained": True}
    options: dict[str, Any] = {"data.root": images, "model.tuning": tuning, "trainer.max_epochs": 3}
    folder = tmp_path_factory.mktemp("wise") / "run"
    resnet_tl.fit(yaml.safe_load(RECIPE), run=folder, **options, **{"tracking.report": False})
    (folder / "checkpoints" / "best.ckpt").unlink()
    return folder


def test_the_best_mix_is_written_with_the_curve_of_all(run: Path, tmp_path: Path) -> None:
    done = resnet_tl.average(Run(run), tmp_path / "mix.ckpt", wise_ft=True)
    end, head = (run / "checkpoints" / name for name in ("last.ckpt", "head.ckpt"))
    scores = [resnet_tl.evaluate(path)["metrics"]["val/acc"] for path in (end, head, done.path)]
    assert [done.curve[-1].score.value, done.curve[0].score.value, done.score.value] == pytest.approx(scores)
    assert done.score.value == max(mix.score.value for mix in done.curve) >= max(scores[:2])
    assert [mix.share for mix in done.curve] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1])
    assert [each.path for each in done.ingredients] == [end, head]
    curve = json.loads((tmp_path / "mix.json").read_text())
    assert [(row["share"], row["value"], row["low"], row["high"]) for row in curve["mixes"]] == [
        (mix.share, mix.score.value, *(mix.score.interval or ())) for mix in done.curve
    ]
    assert (curve["metric"], curve["best"]) == ("acc", done.ingredients[0].share)
    states = [checkpoint.read(path).state_dict for path in (end, head, done.path)]
    expected = mean(states[:2], [curve["best"], 1 - curve["best"]])
    assert any(note.endswith("alone, whose weights are written") for note in done.notes) == (curve["best"] in (0, 1))
    trained = [key for key in expected if "running_" not in key and "num_batches" not in key]
    assert all(torch.equal(states[2][key], expected[key]) for key in trained)


@given(st.lists(st.integers(0, 4), min_size=11, max_size=11), st.sampled_from(["acc", "mae"]))
def test_the_best_is_no_worse_than_the_ends_and_of_equals_the_nearest_to_the_middle(
    values: list[int], metric: str
) -> None:
    by_share = dict(zip(SHARES, map(float, values), strict=True))

    def score(state: dict[str, torch.Tensor]) -> Score:
        return Score(by_share[round(float(state["w"]), 1)], None)

    scorer: Any = SimpleNamespace(
        task=SimpleNamespace(metrics=SimpleNamespace(headline=metric)), score=score, recalibrated=score
    )
    curve, best, state = best_mix({"w": torch.tensor(1.0)}, {"w": torch.tensor(0.0)}, scorer)
    assert [mix.score.value for mix in curve] == values
    highest = min(values) if metric == "mae" else max(values)
    equal = [share for share, value in by_share.items() if value == highest]
    assert best.score.value == highest
    assert abs(best.share - 0.5) == pytest.approx(min(abs(share - 0.5) for share in equal))
    assert float(state["w"]) == pytest.approx(best.share)


def test_what_cannot_be_mixed_is_a_sentence(run: Path, images: Path, tmp_path: Path) -> None:
    changes: dict[str, Callable[[Path], object]] = {
        r"head.ckpt: no such file; expected": lambda folder: (folder / "head.ckpt").unlink(),
        r"nothing to mix; name .*last": lambda folder: shutil.copy(folder / "head.ckpt", folder / "best.ckpt"),
        r"wise_ft.json: exists already": lambda folder: (folder / "wise_ft.json").touch(),
    }
    for number, (sentence, change) in enumerate(changes.items()):
        shutil.copytree(run, copy := tmp_path / str(number))
        change(copy / "checkpoints")
        with pytest.raises(RunError, match=sentence):
            average([copy], wise_ft=True)
    with pytest.raises(RecipeError, match=r"--wise-ft mixes one run .*, but 2 are named"):
        average([run, run], wise_ft=True)
    with pytest.raises(RecipeError, match=r"--greedy and --wise-ft: .* name one of them"):
        average([run], greedy=True, wise_ft=True)
    shutil.copytree(images / "val", tmp_path / "photos" / "test")
    with pytest.raises(DataError, match=r"no validation images, by which --wise-ft chooses"):
        average([run], tmp_path / "mix.ckpt", overrides=[("data.root", tmp_path / "photos")], wise_ft=True)
