"""Exported files: equal to their checkpoints, or not there."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest

import resnet_tl
from resnet_tl.errors import DataError, RunError, WeightsError
from resnet_tl.export import proof
from resnet_tl.export.export import Export, export
from resnet_tl.prediction.classification import ClassPrediction, ClassPredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from tests.publish.checkpoints import save_checkpoint

SAVED = Path(__file__).resolve().parents[1] / "fixtures" / "saved_2026_11"


@pytest.fixture(scope="module")
def images() -> list[np.ndarray]:
    """Of three sizes."""
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (side, 64, 3), np.uint8) for side in (48, 64, 96)]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Export:
    return export(SAVED / "half_run", tmp_path_factory.mktemp("onnx") / "classes.onnx")


def test_an_exported_classifier_predicts_what_its_checkpoint_does(classifier: Export, images: list[np.ndarray]) -> None:
    ours, theirs = resnet_tl.load(SAVED / "half_run"), resnet_tl.load(classifier.path)
    assert isinstance(theirs, ClassPredictor)
    assert theirs.classes == ours.classes
    for size in (1, 3):
        for one, other in zip(ours.predict(images, batch_size=size), theirs.predict(images), strict=True):
            assert other.classes == one.classes
            np.testing.assert_allclose(other.probabilities, one.probabilities, atol=1e-5)


@pytest.mark.slow
def test_exported_masks_equal_those_of_the_checkpoint(tmp_path: Path, images: list[np.ndarray]) -> None:
    done = export(SAVED / "segmentation.ckpt", tmp_path / "masks.onnx")
    ours, theirs = resnet_tl.load(SAVED / "segmentation.ckpt"), resnet_tl.load(done.path)
    assert isinstance(ours, MaskPredictor)
    assert isinstance(theirs, MaskPredictor)
    for image in images:
        np.testing.assert_allclose(theirs.logits(image), ours.logits(image), atol=1e-4)


def test_an_image_that_cannot_be_used_is_found_before_the_graph_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "text.jpg").write_text("no image")
    monkeypatch.delattr("resnet_tl.export.onnx.write_onnx")
    with pytest.raises(DataError, match=r"text\.jpg"):
        export(SAVED / "half_run", tmp_path / "classes.onnx", [tmp_path / "text.jpg"])


def test_a_file_that_differs_is_not_written(
    classifier: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(proof.LIMITS, "probability", -1.0)
    monkeypatch.setattr("resnet_tl.export.onnx.write_onnx", lambda *_: shutil.copy(classifier.path, _[-1]))
    with pytest.raises(RunError, match=r"classes\.onnx: not written, because it differs from .*probability"):
        export(SAVED / "half_run", tmp_path / "classes.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("head", "channels"), [({}, 1), ({"multi_label": True}, 3)])
def test_grey_images_and_several_labels(head: dict[str, bool], channels: int, tmp_path: Path) -> None:
    saved = save_checkpoint(tmp_path / "best.ckpt", head, name="resnet_tiny", in_channels=channels)
    done = export(saved, tmp_path / "classes.pt2")
    image = np.random.default_rng(0).integers(0, 256, (64, 48, channels), np.uint8)
    ours, theirs = (resnet_tl.load(path, trust_code=True).predict([image])[0] for path in (saved, done.path))
    assert isinstance(ours, ClassPrediction)
    assert isinstance(theirs, ClassPrediction)
    assert theirs.classes == ours.classes
    np.testing.assert_allclose(theirs.probabilities, ours.probabilities, atol=1e-5)
    if channels == 1:
        exported = resnet_tl.load(done.path, trust_code=True)
        with pytest.raises(DataError, match="image 1 has 16 bits, but an exported network takes 8: use its checkpoint"):
            exported.predict([image, image.astype(np.uint16)])
        with pytest.warns(UserWarning, match="skipped: image 0 has 16 bits"):
            assert len(exported.predict([image.astype(np.uint16), image], on_error="skip")) == 1


def test_an_export_is_proved_on_the_images_that_its_file_takes(
    tmp_path: Path, images: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    deep, usual = tmp_path / "deep.png", tmp_path / "usual.png"
    cv2.imwrite(str(deep), images[0].astype(np.uint16) * 200)
    cv2.imwrite(str(usual), images[0])
    out = tmp_path / "classes.pt2"
    with pytest.raises(DataError, match=r"deep\.png has 16 bits, but an exported network takes 8"):
        export(SAVED / "half_run", out, images=[usual, deep])
    monkeypatch.setattr("resnet_tl.export.export.validated_images", lambda run: [deep])
    with pytest.warns(UserWarning, match=r"skipped: .*deep\.png"), pytest.raises(RunError, match="nothing proves"):
        export(SAVED / "half_run", out)
    monkeypatch.setattr("resnet_tl.export.export.validated_images", lambda run: [deep, usual])
    with pytest.warns(UserWarning, match=r"skipped: .*deep\.png"):
        assert export(SAVED / "half_run", out).agreement.images == 1


def test_nothing_is_overwritten(classifier: Export) -> None:
    with pytest.raises(RunError, match="exists and is not overwritten"):
        export(SAVED / "half_run", classifier.path)


def test_files_of_others_and_damaged_ones_are_refused(classifier: Export, tmp_path: Path) -> None:
    model = onnx.load(classifier.path)
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(WeightsError, match="not exported by `resnet-tl export`"):
        resnet_tl.load(tmp_path / "other.onnx")
    (tmp_path / "cut.onnx").write_bytes(classifier.path.read_bytes()[:5000])
    with pytest.raises(WeightsError, match="not readable as an ONNX file"):
        resnet_tl.load(tmp_path / "cut.onnx")
