"""Images and their objects changed together: every object stays on its own colour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.boxes.composites import Composites, mosaic_of_four, paste_objects
from resnet_tl.data.boxes.scenes import MIN_VISIBLE_SHARE, Scene, area, cut, mirrored, resized
from resnet_tl.data.boxes.transforms import Fit, Jitter, Listed
from resnet_tl.data.listings.objects import Objects
from resnet_tl.errors import RecipeError
from resnet_tl.structures import masks
from resnet_tl.structures.masks import Mask, to_pixels, to_run_lengths

FIRST = 40
"""The grey of the first object; the next are lighter by 20."""


def drawn(height: int = 48, width: int = 64, count: int = 3, seed: int = 0, *, first: int = FIRST) -> Scene:
    """A black image with objects in greys of their own, far apart: polygons and run lengths by turns."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), np.uint8)
    boxes, shapes = [], []
    for number in range(count):
        left, right = number * width // count + 1, (number + 1) * width // count - 1
        top, bottom = sorted(rng.choice(np.arange(1, height - 1), 2, replace=False))
        bottom = max(bottom, top + 4)
        image[top:bottom, left:right] = first + 20 * number
        boxes.append([left, top, right, min(bottom, height)])
        shapes.append(_shape(boxes[-1], height, width, polygon=number % 2 == 0))
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    return Scene(image, Objects(corners, np.arange(count), np.zeros(count, bool), area(corners), shapes))


def _shape(box: list[int], height: int, width: int, *, polygon: bool) -> Mask:
    left, top, right, bottom = box
    if polygon:
        return [np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float32)]
    pixels = np.zeros((height, width), bool)
    pixels[top:bottom, left:right] = True
    return to_run_lengths(pixels)


def assert_on_colours(scene: Scene, first: int = FIRST, *, edge: int = 2) -> None:
    """Every mask is the pixels of its object's grey, every box is around them, but for some pixels at edges."""
    objects = scene.objects
    assert objects.masks is not None
    height, width = scene.size
    for box, label, mask in zip(objects.boxes, objects.labels.tolist(), objects.masks, strict=True):
        assert 0 <= box[0] < box[2] <= width
        assert 0 <= box[1] < box[3] <= height
        pixels = to_pixels(mask, height, width)
        shown = np.abs(scene.image[..., 0].astype(int) - (first + 20 * label)) < 5
        inner = _eroded(pixels, edge)
        assert shown[inner].all()
        rows, columns = np.nonzero(pixels)
        tight = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert np.abs(box - tight).max() <= edge


def _eroded(pixels: np.ndarray, by: int) -> np.ndarray:
    for _ in range(by):
        padded = np.pad(pixels, 1)
        pixels = padded[1:-1, 1:-1] & padded[2:, 1:-1] & padded[:-2, 1:-1] & padded[1:-1, 2:] & padded[1:-1, :-2]
    return pixels


def nothing(rng: np.random.Generator) -> Scene:
    raise AssertionError("no other image was wanted")


def test_resizing_and_mirroring() -> None:
    scene = drawn()
    assert_on_colours(scene, edge=0)
    assert_on_colours(mirrored(scene), edge=0)
    assert mirrored(mirrored(scene)).objects.boxes.tolist() == scene.objects.boxes.tolist()
    larger = resized(scene, (96, 192))
    assert_on_colours(larger)
    assert larger.objects.area.tolist() == pytest.approx((scene.objects.area * 6).tolist())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 20), st.integers(0, 20), st.integers(8, 28), st.integers(8, 44), st.integers(0, 9))
def test_cutting_leaves_out_what_is_hardly_seen(top: int, left: int, height: int, width: int, seed: int) -> None:
    scene = drawn(seed=seed)
    part = cut(scene, top, left, height, width)
    assert part.size == (height, width)
    assert_on_colours(part, edge=0)
    shown = [(part.image[..., 0] == FIRST + 20 * label).sum() for label in range(3)]
    share = np.array(shown) / scene.objects.area
    assert part.objects.labels.tolist() == np.flatnonzero(share >= MIN_VISIBLE_SHARE).tolist()
    assert part.objects.area.tolist() == pytest.approx(np.array(shown)[share >= MIN_VISIBLE_SHARE].tolist())


@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(st.integers(20, 80), st.integers(20, 80)),
    scale=st.sampled_from([(1.0, 1.0), (0.3, 0.9), (1.2, 2.5), (0.1, 2.0)]),
    seed=st.integers(0, 999),
)
def test_jitter_keeps_objects_on_their_colours(size: tuple[int, int], scale: tuple[float, float], seed: int) -> None:
    scene = drawn(*size, seed=seed)
    jitter = Jitter(Fit(32, 48, "nearest"), scale, "light")
    moved = jitter(scene, np.random.default_rng(seed))
    short, long = sorted(moved.size)
    assert short <= 32
    assert long <= 48
    assert scale[1] > 1 or len(moved.objects.labels) == 3
    large = moved.objects.where(area(moved.objects.boxes) > 80)
    assert_on_colours(moved._replace(objects=large), edge=2)


def test_whole_images_keep_their_aspect() -> None:
    fit = Fit(32, 50, "bilinear")
    for size, expected in (((48, 64), (32, 43)), ((64, 48), (43, 32)), ((20, 80), (12, 50)), ((320, 320), (32, 32))):
        assert fit(drawn(*size), (0,), nothing).size == expected
    empty = drawn(48, 64, 0)
    assert len(fit(empty, (0,), nothing).objects.labels) == 0


def test_four_in_one_keeps_objects_on_their_colours_and_inside_their_part() -> None:
    firsts = [40, 100, 160, 220]
    jitter = Jitter(Fit(60, 100, "nearest"), (0.7, 1.4), "light")
    for seed in range(20):
        four = [drawn(seed=seed, count=1 + i % 3, first=firsts[i]) for i in range(4)]
        four = [
            scene._replace(objects=scene.objects._replace(labels=scene.objects.labels + 3 * i))
            for i, scene in enumerate(four)
        ]
        whole = mosaic_of_four(four, jitter, np.random.default_rng(seed))
        assert whole.size == (60, 80)
        assert len(whole.objects.labels) > 0
        large = whole.objects.where(area(whole.objects.boxes) > 80)
        assert_on_colours(whole._replace(objects=large))
        outlines = np.zeros(whole.size, int)
        for mask in whole.objects.masks or []:
            outlines += to_pixels(mask, *whole.size)
        assert outlines.max() <= 1, "no object reaches into another image's part"


def test_pasted_objects_cover_what_was_there() -> None:
    for seed in range(20):
        scene, other = drawn(seed=seed), drawn(40, 80, count=5, seed=seed + 50, first=140)
        other = other._replace(objects=other.objects._replace(labels=other.objects.labels + 5))
        whole = paste_objects(scene, other, np.random.default_rng(seed))
        assert_on_colours(whole, edge=0)
        new = whole.objects.labels >= 5
        assert new.any()
        for label, mask, size in zip(whole.objects.labels, whole.objects.masks or [], whole.objects.area, strict=True):
            pixels = to_pixels(mask, *whole.size)
            assert (pixels == (whole.image[..., 0] == FIRST + 20 * label)).all()
            assert size == pytest.approx(pixels.sum(), rel=1e-4)
        lost = set(range(3)) - set(whole.objects.labels.tolist())
        for label in lost:
            left = (whole.image[..., 0] == FIRST + 20 * label).sum()
            assert left < MIN_VISIBLE_SHARE * scene.objects.area[label]


def test_what_is_covered_whole_is_gone_and_crowds_are_not_pasted() -> None:
    scene = drawn(count=1)
    corners = np.array([[0, 0, 64, 48]], np.float32)
    shape: list[Mask] = [[np.array([(0, 0), (64, 0), (64, 48), (0, 48)], np.float32)]]
    all_over = Objects(corners, np.array([7]), np.array([False]), area(corners), shape)
    other = Scene(np.full((48, 64, 3), 180, np.uint8), all_over)
    whole = paste_objects(scene, other, np.random.default_rng(0))
    assert whole.objects.labels.tolist() == [7]
    assert (whole.image == 180).all()
    crowd = other._replace(objects=all_over._replace(crowd=np.array([True])))
    assert paste_objects(scene, crowd, np.random.default_rng(0)) is scene


def test_composites_are_a_function_of_the_seed() -> None:
    def another(rng: np.random.Generator) -> Scene:
        return drawn(seed=int(rng.integers(100)))

    composites = Composites(Jitter(Fit(32, 48, "bilinear"), (0.5, 2.0), "medium"), mosaic=0.5, copy_paste=0.5)
    seen = set()
    for seed in range(12):
        scene, again = (composites(drawn(), (seed, 1), another) for _ in range(2))
        assert (scene.image == again.image).all()
        assert scene.objects.boxes.tolist() == again.objects.boxes.tolist()
        seen.add(scene.image.tobytes())
    assert len(seen) == 12


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_any_number_of_channels_and_16_bits(dtype: type, channels: int) -> None:
    def another(rng: np.random.Generator) -> Scene:
        image = rng.integers(0, 255, (30, 40, channels), np.uint8)
        return Scene(image.astype(dtype), drawn(30, 40).objects)

    scene = another(np.random.default_rng(0))
    jitter = Jitter(Fit(24, 40, "bilinear"), (0.5, 2.0), "strong")
    for mosaic, copy_paste in ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        whole = Composites(jitter, mosaic, copy_paste)(scene, (0,), another)
        assert whole.image.dtype == dtype
        assert whole.image.shape[2] == channels


def test_sets_without_masks_have_none() -> None:
    def another(rng: np.random.Generator) -> Scene:
        scene = drawn(seed=int(rng.integers(100)))
        return scene._replace(objects=scene.objects._replace(masks=None))

    jitter = Jitter(Fit(32, 48, "bilinear"), (0.5, 2.0), "none")
    for share in (0.0, 1.0):
        assert Composites(jitter, share, 0.0)(another(np.random.default_rng(0)), (0,), another).objects.masks is None


class TestListed:
    def test_objects_follow_the_image(self) -> None:
        steps = [
            {"class_path": "HorizontalFlip", "init_args": {"p": 1.0}},
            {"class_path": "Affine", "init_args": {"translate_px": {"x": 6, "y": 4}, "p": 1.0}},
        ]
        for seed in range(5):
            scene = Listed(steps, "data.train_transforms")(drawn(seed=seed), (seed,), nothing)
            assert_on_colours(scene, edge=1)
            assert scene.objects.labels.dtype == np.int64
            assert scene.objects.boxes.dtype == scene.objects.area.dtype == np.float32

    def test_labels_stay_integers_and_class_0_a_class(self) -> None:
        scene = drawn(count=3)
        bare = scene._replace(objects=scene.objects._replace(masks=None, labels=np.array([0, 90, 0])))
        steps = [{"class_path": "Crop", "init_args": {"x_min": 0, "y_min": 0, "x_max": 42, "y_max": 48}}]
        changed = Listed(steps, "data.train_transforms")(bare, (0,), nothing).objects
        assert changed.labels.tolist() == [0, 90]
        assert changed.labels.dtype == np.int64
        assert changed.masks is None
        assert changed.area.tolist() == bare.objects.area[:2].tolist()

    @pytest.mark.parametrize("masked", [True, False])
    def test_an_image_without_objects(self, masked: bool) -> None:
        scene = drawn(count=0)
        scene = scene if masked else scene._replace(objects=scene.objects._replace(masks=None))
        steps = [{"class_path": "HorizontalFlip", "init_args": {"p": 1.0}}]
        objects = Listed(steps, "data.train_transforms")(scene, (0,), nothing).objects
        assert objects.boxes.shape == (0, 4)
        assert objects.masks == ([] if masked else None)

    def test_a_box_a_thousandth_over_the_edge_ends_nothing(self) -> None:
        """albumentations #459."""
        corners = np.array([[0, 0, np.nextafter(np.float32(64), np.float32(65)), 48]], np.float32)
        objects = Objects(corners, np.array([0]), np.array([False]), area(corners))
        scene = Scene(np.zeros((48, 64, 3), np.uint8), objects)
        steps = [{"class_path": "VerticalFlip", "init_args": {"p": 1.0}}]
        assert Listed(steps, "data.train_transforms")(scene, (0,), nothing).objects.boxes.tolist() == [[0, 0, 64, 48]]

    def test_unknown_and_unfit_ones_are_named(self) -> None:
        with pytest.raises(RecipeError, match=r"^data.train_transforms: 'Flop' is not a transform"):
            Listed([{"class_path": "Flop"}], "data.train_transforms")


def test_polygons_are_cut_at_the_sides() -> None:
    triangle = [np.array([(-10, 10), (10, -10), (30, 30)], np.float32)]
    (inside,) = masks.crop(triangle, (40, 40), (0, 0, 20, 20))
    assert inside.min() >= 0
    assert inside.max() <= 20
    whole = to_pixels(triangle, 20, 20)
    assert (to_pixels([inside], 20, 20) == whole).all()
    assert masks.crop(triangle, (40, 40), (35, 0, 5, 5)) == []
