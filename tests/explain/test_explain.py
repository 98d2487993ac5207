"""Explanations of each task's predictions, in the image's own pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from resnet_tl.errors import RecipeError
from resnet_tl.explain.explain import explain
from resnet_tl.explain.folder import share_inside
from resnet_tl.models.network import Network
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.prediction.detection import BoxPredictor
from resnet_tl.prediction.segmentation import MaskPredictor
from resnet_tl.structures.decisions import Decisions
from tests.explain.planted import CLASSES, CUE, SIDE, Cues

CUES = Cues(6, seed=2000)
IMAGES = [np.ascontiguousarray(each) for each in CUES.images.permute(0, 2, 3, 1).numpy()]
LARGE = [cv2.resize(image, (96, 96), interpolation=cv2.INTER_NEAREST) for image in IMAGES]


def _at_cue(number: int, factor: int = 1) -> tuple[slice, slice]:
    x, y = (int(edge) * factor for edge in CUES.boxes[number, :2])
    return slice(y, y + CUE * factor), slice(x, x + CUE * factor)


def test_the_predicted_class_is_explained_at_the_images_own_size(classifier: Network) -> None:
    predictor = ClassPredictor(classifier, CLASSES[:2])
    for number, each in enumerate(explain(predictor, LARGE)):
        assert each.label == CLASSES[CUES.labels[number]]
        assert each.score == pytest.approx(predictor.predict(LARGE[number])[0].scores[0])
        assert each.map.shape == (96, 96)
        assert each.map[_at_cue(number, 3)].sum() > 0.4 * each.map.sum()
        assert each.caption == f"{each.label} {each.score:.2f} · Grad-CAM at layer3"


def test_what_a_centre_crop_leaves_out_has_no_influence(classifier: Network) -> None:
    image = cv2.copyMakeBorder(LARGE[0], 0, 0, 48, 0, cv2.BORDER_CONSTANT)  # the crop's left edge is at pixel 24
    (each,) = explain(ClassPredictor(classifier, CLASSES[:2]), image)
    assert each.map.shape == (96, 144)
    assert not each.map[:, :24].any()
    assert not each.map[:, 120:].any()
    assert each.map[:, 24:120].any()


def test_listed_transforms_are_drawn_on_as_the_network_receives_them(classifier: Network) -> None:
    flip = [{"class_path": "HorizontalFlip", "init_args": {"p": 1.0}}]
    (each,) = explain(ClassPredictor(classifier, CLASSES[:2], eval_transforms=flip), IMAGES[0])
    np.testing.assert_array_equal(each.image, IMAGES[0][:, ::-1])


def test_a_named_class_and_several_of_the_best(classifier: Network) -> None:
    predictor = ClassPredictor(classifier, CLASSES[:2])
    assert [each.label for each in explain(predictor, IMAGES[:2], label="blue")] == ["blue", "blue"]
    both = list(explain(predictor, IMAGES[0], top=2))
    assert {each.label for each in both} == {"red", "blue"}
    assert both[0].score > both[1].score


def test_objects_are_explained_in_their_boxes(detector: Network) -> None:
    for number, each in enumerate(explain(BoxPredictor(detector, CLASSES[:2]), LARGE, top=1)):
        assert each.box is not None
        assert np.allclose(each.box, 3 * CUES.boxes[number].numpy(), atol=6)
        assert share_inside(each) > 0.8
    label = CLASSES[CUES.labels[0]]
    assert {each.label for each in explain(BoxPredictor(detector, CLASSES[:2]), IMAGES[0], label=label)} == {label}


def test_objects_are_those_that_are_predicted(detector: Network) -> None:
    predictor = BoxPredictor(detector, CLASSES[:2], decisions=Decisions(box_scores=[0.3, 0.3]))
    shown = predictor.predict(IMAGES[0])[0].scores
    assert [each.score for each in explain(predictor, IMAGES[0], top=9)] == pytest.approx(shown.tolist())
    assert len(list(explain(predictor, IMAGES[0], top=len(shown) + 1, score=0))) == len(shown) + 1
    with pytest.warns(UserWarning, match="not explained: image 0: nothing was predicted"):
        assert list(explain(predictor, IMAGES[0], score=1)) == []


def test_pixels_of_a_class_are_explained(segmenter: Network) -> None:
    predictor = MaskPredictor(segmenter, CLASSES)
    label = CLASSES[CUES.labels[0]]
    (each,) = explain(predictor, IMAGES[0], label=label, stage="layer2")
    assert each.score == pytest.approx(CUE**2 / SIDE**2, abs=0.08)
    assert each.map[_at_cue(0)].sum() > 0.4 * each.map.sum()
    (largest,) = explain(predictor, IMAGES[0])
    assert largest.label == "grey"


def test_pixels_of_a_box_are_explained(segmenter: Network) -> None:
    predictor = MaskPredictor(segmenter, CLASSES)
    rows, columns = _at_cue(0)
    box = (columns.start, rows.start, columns.stop, rows.stop)
    (each,) = explain(predictor, IMAGES[0], box=box)
    assert each.label == CLASSES[CUES.labels[0]]
    assert each.box == box
    assert share_inside(each) > 0.3
    absent = CLASSES[1 - int(CUES.labels[0])]
    (why_not,) = explain(predictor, IMAGES[0], box=box, label=absent)
    assert why_not.score < 0.5


def test_an_image_without_the_class_is_named(segmenter: Network) -> None:
    grey = np.full((32, 32, 3), 128, np.uint8)
    predictor = MaskPredictor(segmenter, CLASSES)
    if CLASSES.index("red") not in predictor.predict(grey)[0].mask:
        with pytest.warns(UserWarning, match="not explained: image 0: no 'red' was predicted"):
            assert list(explain(predictor, grey, label="red")) == []


def test_occlusion_has_the_same_shape(classifier: Network) -> None:
    (each,) = explain(ClassPredictor(classifier, CLASSES[:2]), LARGE[0], method="occlusion")
    assert each.map.shape == (96, 96)
    assert each.caption.endswith("· occlusion")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "rad"}, "class: there is no 'rad'; expected red, blue; did you mean 'red'?"),
        ({"method": "occlude"}, "method: 'occlude'; expected gradcam or occlusion; did you mean 'occlusion'?"),
        ({"method": "occlusion", "stage": "stem"}, "stage: 'stem' is for gradcam; occlusion covers the image itself"),
        ({"stage": "layer4"}, "expected one of stem, layer1, layer2, layer3; did you mean 'layer3'?"),
        ({"top": 0}, "top: 0; expected 1 or more"),
        ({"label": "red", "top": 3}, "top: 3, but one class is explained, 'red'; remove top or class"),
        ({"score": 0.5}, "score applies to detection, but this network does classification"),
        ({"box": (0, 0, 5, 5)}, "box applies to segmentation, but this network does classification"),
    ],
)
def test_mistakes_are_found_before_anything_is_read(classifier: Network, options: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError) as error:
        explain(ClassPredictor(classifier, CLASSES[:2]), IMAGES, **options)
    assert message in str(error.value)


@pytest.mark.parametrize("box", [(float("nan"), 1, 2, 3), (0, 0, float("inf"), 3)])
def test_a_box_is_of_finite_numbers(segmenter: Network, box: tuple[float, float, float, float]) -> None:
    with pytest.raises(RecipeError, match="; expected four finite numbers, in pixels"):
        explain(MaskPredictor(segmenter, CLASSES), IMAGES[0], box=box)


def test_scores_of_objects_are_from_0_to_1(detector: Network) -> None:
    with pytest.raises(RecipeError, match=r"score: 1\.5; expected 0 to 1"):
        explain(BoxPredictor(detector, CLASSES[:2]), IMAGES[0], score=1.5)


def test_a_box_outside_the_image_is_refused(segmenter: Network) -> None:
    with pytest.raises(RecipeError, match="expected 0 <= x1 < x2 <= 32 and 0 <= y1 < y2 <= 32"):
        list(explain(MaskPredictor(segmenter, CLASSES), IMAGES[0], box=(0, 0, 40, 10)))
