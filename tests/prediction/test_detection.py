"""Objects on images, in the images' own pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.resize import resize
from resnet_tl.models.network import Network
from resnet_tl.models.pasting import paste
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.structures.decisions import Decisions

CLASSES = ["ant", "bee", "cat"]
Build = Callable[..., Network]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize(("size", "small"), [((64, 64), (64, 64)), ((128, 96), (80, 60)), ((32, 48), (53, 80))])
def test_boxes_and_masks_are_in_pixels_of_the_image(
    network: Build, size: tuple[int, int], small: tuple[int, int], aligned: bool
) -> None:
    """By hand: the short side to 64 pixels, the long one to at most 80, boxes back, masks pasted into them."""
    image, made = noise(*size), network("detection", size=64, max_size=80).eval()
    made.head.aligned = aligned
    with torch.inference_mode():
        detections = made.head.predict(made(torch.from_numpy(resize(image, *small)).permute(2, 0, 1)[None]))
    count = int((detections.labels[0] >= 0).sum())
    assert count > 1
    down, right = size[0] / small[0], size[1] / small[1]
    boxes = detections.boxes[0, :count] * torch.tensor([right, down, right, down])
    (prediction,) = BoxPredictor(made, CLASSES).predict(image)
    np.testing.assert_allclose(prediction.boxes, boxes.numpy(), atol=1e-3)
    np.testing.assert_allclose(prediction.scores, detections.scores[0, :count].numpy(), atol=1e-6)
    assert prediction.labels.tolist() == detections.labels[0, :count].tolist()
    assert prediction.classes == [CLASSES[label] for label in prediction.labels]
    assert prediction.image is image
    assert prediction.masks is not None
    corners = torch.from_numpy(prediction.boxes)
    pairs = zip(detections.masks[0, :count], corners, strict=True)
    expected = [paste(mask, box, size, aligned=aligned) for mask, box in pairs]
    for mask, pasted in zip(prediction.masks, expected, strict=True):
        assert (mask.top, mask.left) == (pasted.top, pasted.left)
        assert (mask.pixels == pasted.pixels).all()
        assert mask.top + mask.pixels.shape[0] <= size[0]
        assert mask.left + mask.pixels.shape[1] <= size[1]


def test_scores_fall_and_those_below_the_limit_are_dropped(network: Build) -> None:
    predictor = BoxPredictor(network("detection", size=64), CLASSES)
    (everything,) = predictor.predict(noise(64, 80))
    assert (np.diff(everything.scores) <= 0).all()
    limit = float(everything.scores[2])
    (some,) = predictor.predict(noise(64, 80), score=limit)
    count = int((everything.scores >= limit).sum())
    assert 3 <= count < len(everything.scores)
    assert (some.boxes == everything.boxes[:count]).all()
    assert len(some.scores) == len(some.labels) == len(some.classes) == len(some.masks or []) == count
    (none,) = predictor.predict(noise(64, 80), score=1.0)
    assert (none.boxes.shape, none.classes, none.masks) == ((0, 4), [], [])


def test_files_and_their_arrays_give_the_same_objects(photos: Path, network: Build) -> None:
    predictor = BoxPredictor(network("detection"), CLASSES)
    files = sorted(str(path) for path in (photos / "cat").iterdir())
    from_files = predictor.predict(files)
    assert [each.path for each in from_files] == files
    for prediction in from_files:
        assert prediction.path is not None
        (other,) = predictor.predict(decode(prediction.path))
        assert (prediction.boxes == other.boxes).all()
        assert (prediction.scores == other.scores).all()


def test_category_ids_are_given_or_counted_from_1(network: Build) -> None:
    made = network("detection")
    assert BoxPredictor(made, CLASSES).codes == [1, 2, 3]
    assert BoxPredictor(made, CLASSES, [7, 18, 90]).codes == [7, 18, 90]


def test_each_class_has_its_own_score_unless_one_is_given(network: Build) -> None:
    made = network("detection", size=64)
    (everything,) = BoxPredictor(made, CLASSES).predict(noise(64, 80))
    limits = np.array([0.25, 0.75, 0.5])
    limits[everything.labels[0]] = np.median(everything.scores)
    predictor = BoxPredictor(made, CLASSES, decisions=Decisions(box_scores=limits.tolist()))
    (chosen,) = predictor.predict(noise(64, 80))
    kept = everything.scores >= limits[everything.labels]
    assert 0 < kept.sum() < len(kept)
    for name in ("boxes", "scores", "labels"):
        assert (getattr(chosen, name) == getattr(everything, name)[kept]).all()
    assert len(chosen.masks or []) == len(chosen.classes) == kept.sum()
    (every,) = predictor.predict(noise(64, 80), score=0)
    assert len(every.scores) == len(everything.scores)
    assert predictor.limits().tolist() == limits.astype(np.float32).tolist()
    assert predictor.limits(0.5).tolist() == [0.5] * 3


def test_an_image_no_larger_than_a_tile_is_predicted_as_without_tiles(network: Build) -> None:
    predictor = BoxPredictor(network("detection", size=64), CLASSES)
    (plain,), (tiled,) = predictor.predict(noise(64, 80)), predictor.predict(noise(64, 80), tiles=96, overlap=8)
    assert len(plain.scores) > 1
    assert (tiled.boxes == plain.boxes).all()
    assert (tiled.scores == plain.scores).all()
    assert tiled.classes == plain.classes
    for mask, other in zip(tiled.masks or [], plain.masks or [], strict=True):
        assert (mask.top, mask.left) == (other.top, other.left)
        assert (mask.pixels == other.pixels).all()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_objects_of_tiles_lie_where_the_tile_does(network: Build, batch_size: int) -> None:
    """By hand: tiles of 64 pixels without overlap, each predicted as an image; nothing lies in two of them."""
    predictor = BoxPredictor(network("detection", size=64), CLASSES, batch_size=batch_size)
    image = noise(128, 192)
    (tiled,) = predictor.predict(image, tiles=64, overlap=0)
    assert tiled.image is image
    assert tiled.index == 0
    assert tiled.masks is not None
    assert (np.diff(tiled.scores) <= 0).all()
    expected = [
        (box + np.array([left, top, left, top]), mask, top, left)
        for top in (0, 64)
        for left in (0, 64, 128)
        for tile in predictor.predict(image[top : top + 64, left : left + 64])
        for box, mask in zip(tile.boxes, tile.masks or [], strict=True)
    ]
    assert len(tiled.boxes) == len(tiled.masks) == len(expected)
    for box, mask in zip(tiled.boxes, tiled.masks, strict=True):
        place, own, top, left = min(expected, key=lambda each: float(np.abs(each[0] - box).sum()))
        np.testing.assert_allclose(box, place, atol=1e-3)
        assert (mask.top, mask.left) == (own.top + top, own.left + left)
        assert (mask.pixels == own.pixels).mean() > 0.99
    assert tiled.boxes.max(0)[2] > 128


def test_tiles_go_through_the_network_together(network: Build) -> None:
    predictor, seen = BoxPredictor(network("detection", size=32), CLASSES), []
    predictor.network.trunk.register_forward_pre_hook(lambda _, inputs: seen.append(tuple(inputs[0].shape)))  # type: ignore[attr-defined]
    assert len(predictor.predict([noise(64, 100), noise(50, 40)], tiles=50, overlap=10, batch_size=4)) == 2
    assert seen == [(4, 3, 32, 32), (2, 3, 32, 32), (1, 3, 40, 32)]


def test_scores_are_limited_after_tiles_are_merged(network: Build) -> None:
    predictor = BoxPredictor(network("detection", size=32), CLASSES)
    (everything,) = predictor.predict(noise(64, 100), tiles=50)
    limit = float(np.median(everything.scores))
    (some,) = predictor.predict(noise(64, 100), tiles=50, score=limit)
    assert some.scores.tolist() == [score for score in everything.scores.tolist() if score >= limit]
