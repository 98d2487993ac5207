"""Quantised exports: what they cost is measured, and one that costs too much does not appear."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_graphs import GRAPHS, example_of

import resnet_tl
from resnet_tl.errors import DataError, RecipeError, RunError
from resnet_tl.export import int8
from resnet_tl.export.export import Export, export
from resnet_tl.export.forms import Trial, choose_form
from resnet_tl.export.int8 import Cost
from resnet_tl.export.openvino import save, write_openvino
from resnet_tl.prediction.exported.openvino import DESCRIPTION, open_openvino, read_model

TESTS = Path(__file__).resolve().parents[1]
RUN = TESTS / "fixtures" / "saved_2026_11" / "half_run"
SAMPLES = TESTS.parent / "data" / "samples" / "classification"


def quantise(out: Path, *more: tuple[str, Any], max_loss: float | None = 1.0) -> Export:
    return export(RUN, out, to="int8", overrides=[("data.root", str(SAMPLES)), *more], max_loss=max_loss)


def test_a_quantised_classifier_knows_its_cost(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    done = quantise(tmp_path / "int8")
    assert capfd.readouterr() == ("", "")
    cost = done.agreement
    assert isinstance(cost, Cost)
    assert cost.images == len(list((SAMPLES / "train").rglob("*.png")))
    assert str(cost) in (done.path / "README.md").read_text()
    about = json.loads(read_model(done.path / "model.xml").get_rt_info(DESCRIPTION).value)
    assert about["quantised"]["after"] == cost.after
    images = sorted((SAMPLES / "val").rglob("*.png"))[:3]
    for ours, theirs in zip(
        resnet_tl.load(RUN).predict(images), resnet_tl.load(done.path).predict(images), strict=True
    ):
        difference = np.abs(ours.probabilities - theirs.probabilities).max()  # type: ignore[union-attr]
        assert 0 < difference < 0.2


def test_what_costs_more_than_allowed_does_not_appear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([0.9412, 0.9186])
    monkeypatch.setattr(int8, "_score", lambda *_: ("val/acc", next(scores)))
    with pytest.raises(RunError) as raised:
        quantise(tmp_path / "int8", max_loss=None)
    assert "int8: not written, because it loses more than 2 points (val/acc 0.9412 -> 0.9186 (-2.26 points), " in str(
        raised.value
    )
    assert str(raised.value).endswith("; allow more by --max-loss")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("after", "holds"), [(0.93, True), (0.9, True), (0.899, False), (float("nan"), False)])
def test_a_score_may_fall_by_its_limit(after: float, holds: bool) -> None:
    assert Cost(300, "val/acc", 0.92, after, 0.0200001, (1.0, 1.0)).holds is holds


def test_images_that_are_gone_or_not_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"int8 is quantised by the images of the split train, and .* has val only"):
        quantise(tmp_path / "int8", ("data.val_fraction", 1), ("data.root", str(SAMPLES / "val")))
    with pytest.raises(DataError, match="nowhere"):
        quantise(tmp_path / "int8", ("data.root", str(tmp_path / "nowhere")))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("to", "trial", "sentence"),
    [
        ("onnx", Trial(RUN, max_loss=0.1), "--max-loss is for --to int8, not for onnx; remove it"),
        ("openvino", Trial(RUN, [("data.root", "x")]), "--data.root is for --to int8, not for openvino"),
        ("int8", Trial(RUN, [("lr", "0.1")]), "--lr: unknown option"),
        ("int8", Trial(RUN, max_loss=2), "--max-loss 2: expected 0 to 1, as 0.02 for 2 points"),
    ],
)
def test_options_that_mean_nothing_are_refused(to: str, trial: Trial, sentence: str) -> None:
    with pytest.raises(RecipeError, match=f"^{sentence}"):
        choose_form(to, None).check_trial(trial)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fcos", "mask_rcnn", "unet"])
def test_maps_are_quantised_and_coordinates_of_boxes_are_not(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    write_openvino(graph, *example_of(graph), "{}", tmp_path / "fp32")
    images = np.random.default_rng(0).integers(0, 256, (4, 1, 3, 96, 128), np.uint8)
    model = int8._quantised(read_model(tmp_path / "fp32" / "model.xml"), iter(images), 4)
    quantised = [node for node in model.get_ops() if node.get_type_name() == "FakeQuantize"]
    activations = [node for node in quantised if node.input_value(0).get_node().get_type_name() != "Constant"]
    assert activations
    for node in activations:
        followers = {target.get_node().get_type_name() for target in node.output(0).get_target_inputs()}
        # A reshape leads to group norm's next convolution; arithmetic would be that of boxes.
        assert node.get_output_partial_shape(0).rank.get_length() == 4 or followers <= {"MatMul", "Reshape"}
    save(model, tmp_path / "int8")
    full, small = (open_openvino(tmp_path / each / "model.xml")[0](images[0]) for each in ("fp32", "int8"))
    assert not np.array_equal(full[0], small[0])
    assert all(np.isfinite(output).all() for output in small)
