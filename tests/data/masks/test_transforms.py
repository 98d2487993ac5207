"""Images and masks changed together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resnet_tl.data.images.augment import Strength
from resnet_tl.data.masks.transforms import CentreCrop, ListedPairTransforms, RandomCrop, ResizeWhole
from resnet_tl.data.sources.class_list import ClassList, of_values, palette
from resnet_tl.errors import RecipeError
from resnet_tl.structures.records import IGNORE

CODE = np.array([10, 60, 110, 160, 210], np.uint8)
"""The grey of a class in these tests."""

CODING = of_values(range(5)).coding([IGNORE])


def scene(height: int = 40, width: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """An image whose greys are its mask: blocks of one class each."""
    mask = np.random.default_rng(seed).integers(0, 5, (-(-height // 10), -(-width // 10)), np.uint8)
    mask = np.kron(mask, np.ones((10, 10), np.uint8))[:height, :width]
    return np.repeat(CODE[mask][..., None], 3, axis=2), mask


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(5, 70),
    width=st.integers(5, 70),
    size=st.tuples(st.integers(4, 50), st.integers(4, 50)),
    balanced=st.sampled_from([0.0, 1.0]),
    short=st.sampled_from([0, 30]),
    seed=st.integers(0, 99),
)
def test_crops_have_one_size_and_masks_stay_on_their_classes(
    height: int, width: int, size: tuple[int, int], balanced: float, short: int, seed: int
) -> None:
    image, mask = scene(height, width)
    crop = RandomCrop(size, (0.5, 2.0), short, balanced, "light")
    pair = crop(image, mask, (seed, 0))
    assert pair.image.shape == (*size, 3)
    assert pair.mask.shape == size
    assert set(np.unique(pair.mask)) <= {*np.unique(mask), IGNORE}
    h, w = pair.size
    assert (pair.mask[:h, :w] != IGNORE).all()
    assert (pair.mask[h:] == IGNORE).all()
    assert (pair.mask[:, w:] == IGNORE).all()
    again = crop(image, mask, (seed, 0))
    assert (again.image == pair.image).all()
    assert (again.mask == pair.mask).all()


def test_image_and_mask_move_together() -> None:
    image, mask = scene()
    for seed in range(20):
        pair = RandomCrop((24, 32), (1.0, 1.0), 0, 0.5, "light")(image, mask, (seed,))
        assert (pair.image[..., 0] == CODE[pair.mask]).all()


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(["medium", "strong", "trivial", "rand"]),
    st.tuples(st.integers(5, 70), st.integers(5, 70)),
    st.integers(0, 2**32),
)
def test_a_preset_changes_colours_and_no_mask(strength: Strength, size: tuple[int, int], seed: int) -> None:
    """TrivialAugment and RandAugment move no pixel: inside an area of one colour there is still one colour."""
    image, mask = scene(*size, seed=seed)
    pair, light = (RandomCrop((24, 32), (0.5, 2.0), 0, 0.5, each)(image, mask, (seed,)) for each in (strength, "light"))
    np.testing.assert_array_equal(pair.mask, light.mask)
    assert pair.size == light.size
    assert (pair.image.shape, pair.image.dtype) == (light.image.shape, light.image.dtype)
    if strength in ("trivial", "rand"):
        before, after = light.image[..., 0], pair.image[..., 0].astype(int)
        inner = inside_areas(before)
        for grey in np.unique(before[inner]):
            assert np.ptp(after[inner & (before == grey)]) == 0


def inside_areas(grey: np.ndarray) -> np.ndarray:
    """Pixels whose surroundings (two pixels in each direction) have one value: `[H, W]` bool."""
    window = np.lib.stride_tricks.sliding_window_view(np.pad(grey, 2, mode="edge"), (5, 5))
    return np.asarray(np.ptp(window, axis=(2, 3)) == 0)


def test_balanced_crops_show_a_rare_class() -> None:
    mask = np.zeros((100, 100), np.uint8)
    mask[70:73, 20:23] = 4
    image = np.zeros((100, 100, 3), np.uint8)
    shown = {
        balanced: sum(
            bool((RandomCrop((20, 20), (1.0, 1.0), 0, balanced, "light")(image, mask, (seed,)).mask == 4).any())
            for seed in range(100)
        )
        for balanced in (0.0, 1.0)
    }
    assert shown[0.0] < 15
    assert 40 <= shown[1.0] <= 75, "half of the crops, and chance"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("strength", ["light", "medium", "strong", "trivial", "rand"])
def test_any_number_of_channels_and_16_bits(dtype: type, channels: int, strength: str) -> None:
    image = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (30, 40, channels), dtype)
    pair = RandomCrop((16, 16), (0.5, 2.0), 0, 0.5, strength)(image, np.zeros((30, 40), np.uint8), (0,))
    assert pair.image.shape == (16, 16, channels)
    assert pair.image.dtype == dtype


def test_whole_images_keep_their_size_or_get_a_short_side() -> None:
    image, mask = scene(40, 60)
    assert (ResizeWhole(0)(image, mask, ()).mask == mask).all()
    assert ResizeWhole(20)(image, mask, ()).mask.shape == (20, 30)


def test_the_centre_is_the_same_for_every_draw_and_padded_where_the_image_ends() -> None:
    image, mask = scene(40, 60)
    pair = CentreCrop((24, 70), 0)(image, mask, (0,))
    assert (pair.mask[:, :60] == mask[8:32]).all()
    assert (pair.image[:, :60] == image[8:32]).all()
    assert (pair.mask[:, 60:] == IGNORE).all()
    assert pair.size == (24, 60)
    assert (CentreCrop((24, 70), 0)(image, mask, (7,)).mask == pair.mask).all()
    assert (
        CentreCrop((20, 20), 20)(image, mask, ()).mask.tolist()
        == ResizeWhole(20)(image, mask, ()).mask[:, 5:25].tolist()
    )


def test_what_listed_transforms_fill_in_is_ignored() -> None:
    image, mask = scene(20, 20)
    steps = [{"class_path": "Affine", "init_args": {"translate_px": {"x": [8, 8], "y": [0, 0]}, "p": 1.0}}]
    pair = ListedPairTransforms(steps, (24, 24), "data.train_transforms", CODING)(image, mask, (0,))
    assert (pair.mask[:20, :8] == IGNORE).all()
    assert (pair.mask[:20, 8:20] == mask[:, :12]).all()
    assert pair.size == (20, 20)
    with pytest.raises(RecipeError, match=r"data.train_transforms leave 20 x 20 pixels"):
        ListedPairTransforms(steps, (16, 16), "data.train_transforms", CODING)(image, mask, (0,))
    with pytest.raises(RecipeError, match=r"^data.train_transforms: 'Afine' is not a transform"):
        ListedPairTransforms([{"class_path": "Afine"}], None, "data.train_transforms", CODING)


@pytest.mark.parametrize(("fill", "target"), [(7, 0), (9, 1), (0, 2), (255, IGNORE), (None, IGNORE), (9.0, 1)])
@pytest.mark.parametrize("inside", [False, True])
def test_fill_mask_is_a_value_of_the_mask_files(fill: float | None, target: int, inside: bool) -> None:
    """Values 7, 9 and 0 are the classes 0, 1 and 2."""
    coding = ClassList(["sky", "road", "car"], [7, 9, 0], palette(3)).coding([255])
    arguments = {"translate_px": {"x": [8, 8], "y": [0, 0]}, "p": 1.0, **({} if fill is None else {"fill_mask": fill})}
    steps = [{"class_path": "Affine", "init_args": arguments}]
    if inside:
        steps = [{"class_path": "OneOf", "init_args": {"transforms": steps, "p": 1.0}}]
    image, mask = scene(20, 20)
    pair = ListedPairTransforms(steps, (24, 24), "data.train_transforms", coding)(image, mask, (0,))
    assert (pair.mask[:20, :8] == target).all()
    assert (pair.mask[:20, 8:20] == mask[:, :12]).all()


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (1, "fill_mask 1 has the value 1; expected 0 to 9 or 255 to ignore"),
        (-1, "fill_mask is -1; expected a value of the masks"),
        ("sky", "fill_mask is 'sky'; expected a value of the masks"),
        (0.5, "fill_mask is 0.5; expected a value of the masks"),
    ],
)
def test_a_fill_mask_that_is_no_value_is_refused(fill: object, message: str) -> None:
    coding = ClassList(["sky", "road", "car"], [7, 9, 0], palette(3)).coding([255])
    steps = [{"class_path": "Affine", "init_args": {"fill_mask": fill}}]
    with pytest.raises(RecipeError, match=f"^data.train_transforms: Affine: {message}"):
        ListedPairTransforms(steps, (24, 24), "data.train_transforms", coding)
