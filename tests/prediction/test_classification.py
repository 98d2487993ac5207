"""Predictions of classes are those of validation."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer

import resnet_tl
from resnet_tl.data.classification import ImageFolder
from resnet_tl.errors import DataError, RecipeError
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, build
from resnet_tl.prediction.classification import ClassPrediction, ClassPredictor
from resnet_tl.prediction.load import AnyPredictor, load
from resnet_tl.structures.decisions import Decisions
from resnet_tl.tasks.classification import Classification
from resnet_tl.tracking.callbacks import callbacks
from resnet_tl.tracking.checkpoints import SafeCheckpointIO
from resnet_tl.tracking.run_folder import RunFolder

CLASSES = ["ant", "bee", "cat"]


def data(photos: Path, **options: Any) -> ImageFolder:
    return ImageFolder(str(photos), image_size=24, batch_size=7, num_workers=0, val_fraction=0.5, **options)


def trained(photos: Path, folder: Path, **options: Any) -> Classification:
    """A task after one epoch, its run in `folder`."""
    torch.manual_seed(0)
    task = Classification(CLASSES, Backbone(name="resnet_tiny"))
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=callbacks(RunFolder(folder), "val/acc"),
        plugins=[SafeCheckpointIO()],
        enable_model_summary=False,
    )
    trainer.fit(task, data(photos, **options))
    return task.eval()


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Classification]:
    folder = tmp_path_factory.mktemp("run")
    return folder, trained(photos, folder)


@torch.no_grad()
def validated(task: Classification, module: ImageFolder) -> dict[str, torch.Tensor]:
    """Path -> probabilities as validation computes them."""
    return {
        module.listings["val"][row].path: probabilities
        for batch in module.val_dataloader()
        for row, probabilities in zip(batch.indices.tolist(), task(batch.images), strict=True)
    }


def assert_as_validation(predictor: AnyPredictor, expected: dict[str, torch.Tensor]) -> None:
    predictions = predictor.predict(list(expected))
    assert [prediction.path for prediction in predictions] == list(expected)
    probabilities = torch.from_numpy(np.stack([prediction.probabilities for prediction in predictions]))
    torch.testing.assert_close(probabilities, torch.stack(list(expected.values())), rtol=0, atol=1e-5)
    assert probabilities.std(0).max() > 1e-3, "all images look the same to this network: the test proves nothing"


def test_predictions_equal_those_of_validation(run: tuple[Path, Classification], photos: Path) -> None:
    folder, task = run
    expected = validated(task, data(photos))
    assert len(expected) == 12
    assert_as_validation(resnet_tl.load(str(folder)), expected)
    assert_as_validation(load(folder / "checkpoints" / "last.ckpt", batch_size=5), expected)


def test_predictions_use_the_listed_transforms_of_validation(photos: Path, tmp_path: Path) -> None:
    listed = [
        {"class_path": "Resize", "init_args": {"height": 20, "width": 28}},
        {"class_path": "VerticalFlip", "init_args": {"p": 1.0}},
    ]
    task = trained(photos, tmp_path, eval_transforms=listed)
    predictor = resnet_tl.load(str(tmp_path))
    assert_as_validation(predictor, validated(task, data(photos, eval_transforms=listed)))


def test_jpegs_are_decoded_at_the_same_size_as_in_validation(tmp_path: Path, untrained: Callable[..., Path]) -> None:
    for seed in range(6):
        noise = np.random.default_rng(seed).integers(0, 256, (120 + seed, 130, 3), np.uint8)
        (tmp_path / CLASSES[seed % 3]).mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / CLASSES[seed % 3] / f"{seed}.jpg"), np.where(noise > 40 * seed, 255, 0))
    reduced = {"class_path": "ImageFolder", "init_args": {"reduced_decoding": True}}
    torch.manual_seed(0)
    task = Classification(CLASSES, Backbone(name="resnet_tiny", zero_init_last=False)).eval()
    path = untrained(tmp_path / "x.ckpt", task, recipe={"data": reduced})
    expected = validated(task, data(tmp_path, reduced_decoding=True))
    whole = validated(task, data(tmp_path))
    assert max((whole[file] - expected[file]).abs().max() for file in expected) > 1e-4
    assert_as_validation(load(path), expected)


def test_arrays_files_and_batch_sizes_give_the_same(run: tuple[Path, Classification], photos: Path) -> None:
    predictor = load(run[0], batch_size=2)
    files = sorted(str(path) for path in photos.rglob("*.png"))[:5]
    arrays = [cv2.cvtColor(cv2.imread(file), cv2.COLOR_BGR2RGB) for file in files]
    from_files, from_arrays = predictor.predict(files), predictor.predict(arrays)
    for file, array in zip(from_files, from_arrays, strict=True):
        np.testing.assert_allclose(file.probabilities, array.probabilities, rtol=0, atol=1e-6)
    assert [prediction.index for prediction in from_arrays] == [0, 1, 2, 3, 4]
    assert from_arrays[0].path is None
    square = np.stack([array[:24, :24] for array in arrays])
    assert [p.classes for p in predictor.predict(square)] == [p.classes for p in predictor.predict(list(square))]
    assert len(predictor.predict(arrays[0])) == 1


def test_images_of_8_and_16_bits_in_one_batch_give_the_same(run: tuple[Path, Classification], tmp_path: Path) -> None:
    predictor = resnet_tl.load(str(run[0]))
    eight = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    alone, (mixed, sixteen) = predictor.predict(eight)[0], predictor.predict([eight, eight.astype(np.uint16) * 257])
    np.testing.assert_allclose(mixed.probabilities, alone.probabilities, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sixteen.probabilities, alone.probabilities, rtol=0, atol=2e-3)


def test_top_names_the_likeliest_first(run: tuple[Path, Classification], photos: Path) -> None:
    predictor = resnet_tl.load(str(run[0]))
    assert predictor.classes == CLASSES
    for prediction in predictor.predict(photos, top=2):
        best = sorted(range(3), key=lambda k: -prediction.probabilities[k])[:2]
        assert prediction.classes == [CLASSES[k] for k in best]
        assert prediction.scores == [prediction.probabilities[k] for k in best]
        assert prediction.probabilities.sum() == pytest.approx(1, abs=1e-6)
    assert len(predictor.predict(photos / "ant", top=99)[0].classes) == 3


def test_multi_label_names_what_reaches_its_threshold(
    photos: Path, tmp_path: Path, untrained: Callable[..., Path]
) -> None:
    head = partial(LinearHead, multi_label=True, thresholds=[0.0, 1.0, 0.25])
    task = Classification(CLASSES, Backbone(name="resnet_tiny"), head)
    for prediction in resnet_tl.load(str(untrained(tmp_path / "x.ckpt", task))).predict(photos):
        named = {"ant": True, "bee": prediction.probabilities[1] >= 1, "cat": prediction.probabilities[2] >= 0.25}
        assert set(prediction.classes) == {name for name, true in named.items() if true}
        assert prediction.scores == sorted(prediction.scores, reverse=True)


def test_several_labels_are_in_the_order_of_their_calibrated_scores() -> None:
    several = build(Backbone(name="resnet_tiny"), None, partial(LinearHead, multi_label=True, thresholds=0.1), CLASSES)
    several.head.predict = lambda _: torch.tensor([[0.9, 0.8, 0.7]])
    decisions = Decisions(temperature=[10.0, 1.0, 0.5])
    (prediction,) = ClassPredictor(several, CLASSES, decisions=decisions).predict(np.zeros((9, 9, 3), np.uint8))
    assert prediction.classes == ["cat", "bee", "ant"]
    assert prediction.scores == [prediction.probabilities[k] for k in (2, 1, 0)]
    assert prediction.scores == sorted(prediction.scores, reverse=True)


def test_a_damaged_image_is_named_or_skipped(run: tuple[Path, Classification], photos: Path, tmp_path: Path) -> None:
    predictor = load(run[0], batch_size=2)
    good = sorted(str(path) for path in photos.rglob("*.png"))[:3]
    bad = tmp_path / "cut.png"
    bad.write_bytes(Path(good[0]).read_bytes()[:500])
    with pytest.raises(DataError, match=r"cut\.png"):
        predictor.predict([*good, bad])
    with pytest.warns(UserWarning, match=r"skipped: .*cut\.png") as warned:
        predictions = predictor.predict([good[0], bad, *good[1:]], on_error="skip")
    assert [(p.index, p.path) for p in predictions] == [(0, good[0]), (2, good[1]), (3, good[2])]
    assert len(warned) == 1


def test_prediction_imports_no_training(run: tuple[Path, Classification], photos: Path) -> None:
    code = (
        "import sys, resnet_tl\n"
        f"assert len(resnet_tl.load({str(run[0])!r}).predict({str(photos)!r})) == 24\n"
        "print(sorted({'lightning', 'pytorch_lightning', 'timm', 'wandb', 'torchmetrics'} & sys.modules.keys()))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert loaded == "[]\n"


@pytest.mark.parametrize("option", [{"top": 1}, {"unsure": True}])
def test_several_labels_have_neither_top_nor_unsure(option: dict[str, Any]) -> None:
    several = build(Backbone(name="resnet_tiny"), None, partial(LinearHead, multi_label=True), CLASSES)
    with pytest.raises(RecipeError, match=f"^{next(iter(option))} applies to networks of one class per image"):
        ClassPredictor(several, CLASSES).predict(np.zeros((9, 9, 3), np.uint8), **option)


def test_predictions_keep_pixels_if_asked(network: Callable[..., Any]) -> None:
    predictor, image = ClassPredictor(network("classification"), CLASSES), np.zeros((40, 50, 3), np.uint8)
    (plain,) = predictor.predict(image)
    predictor.keep_pixels = True
    (kept,) = predictor.predict(image)
    assert plain.pixels is None
    assert kept.pixels is not None
    assert kept.pixels.shape == (32, 32, 3)
    assert plain.image is None
    predictor.loader = replace(predictor.loader, keep_images=True)
    assert predictor.predict(image)[0].image is not None
    assert plain.possible is None
    assert not plain.none_of_these


def test_an_image_at_the_limit_is_kept_however_its_score_is_rounded() -> None:
    at_limit = ClassPrediction(0, None, ["ant"], [0.9], np.array([0.9, 0.1], np.float32), outlier_score=1.00000007)
    assert not at_limit.none_of_these
    assert replace(at_limit, outlier_score=1.001).none_of_these
