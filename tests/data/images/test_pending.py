"""Training batches made on the device, here the CPU, against those that workers make with the same draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch.utils.data import DataLoader

from resnet_tl.data.boxes.dataset import collate_boxes
from resnet_tl.data.detection import CocoDetection
from resnet_tl.data.images.classification_dataset import ClassificationDataset
from resnet_tl.data.images.dataset import ImageDataset
from resnet_tl.data.images.on_device import OnDevice
from resnet_tl.data.images.pending import PendingBatch
from resnet_tl.data.images.transforms import training_transform
from resnet_tl.data.loading.collate import collate
from resnet_tl.data.loading.shared_memory import SharedMemoryCollate
from resnet_tl.data.masks.dataset import collate_masks
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.records import Batch, Boxes, Draw, Interpolation, Sample
from tests.data.epochs import equal

SAMPLES = shipped_root() / "data" / "samples"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Samples drawn for the project, enlarged to several sizes: three in four as JPEG."""
    root = tmp_path_factory.mktemp("photos")
    files = sorted((SAMPLES / "classification").rglob("*.png"))[::40][:12]
    for number, file in enumerate(files):
        image = cv2.resize(cv2.imread(str(file)), (60 + 9 * number, 80 - 3 * number), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(root / f"{number}.{'jpg' if number % 4 else 'png'}"), image)
    return [Sample(str(path), 0, path.name) for path in sorted(root.iterdir())]


def batches(
    dataset: Callable[[], ImageDataset], collate: Callable[[Sequence[Any]], Batch], on_device: OnDevice, epochs: int
) -> tuple[Batch, Batch]:
    """All images of these epochs in one batch, made by workers and on the device."""
    there, here = dataset(), dataset()
    here.on_device = on_device
    draws = [Draw(epoch, index) for epoch in range(epochs) for index in range(len(there))]
    pending = collate([here[draw] for draw in draws])
    assert isinstance(pending, PendingBatch)
    assert len(pending) == len(draws)
    return collate([there[draw] for draw in draws]), pending.to("cpu")


def differences(there: Batch, here: Batch) -> torch.Tensor:
    """Of the images, in steps of 255, `[N, C, H, W]`; everything else is equal."""
    assert isinstance(there.images, torch.Tensor)
    assert isinstance(here.images, torch.Tensor)
    assert here.images.dtype == torch.uint8
    assert here.images.shape == there.images.shape
    assert here.images.is_contiguous(memory_format=torch.channels_last)
    for name in ("sizes", "original_sizes", "indices"):
        assert torch.equal(getattr(there, name), getattr(here, name))
    return (there.images.int() - here.images.int()).abs().float()


@pytest.mark.parametrize("on_device", ["transforms", "decoding and transforms"])
@pytest.mark.parametrize("strength", ["none", "light", "medium", "strong"])
def test_presets_of_classification(photos: list[Sample], strength: Any, on_device: OnDevice) -> None:
    """What the documentation states: 1 for a resize, more only where later steps amplify it, 0.3 on average."""
    for size in (32, 64):  # 64: some are about of this size and shifted, some enlarged
        there, here = batches(
            lambda size=size: ClassificationDataset(photos, training_transform(strength, size)), collate, on_device, 4
        )
        difference = differences(there, here)
        assert torch.equal(there.targets, here.targets)
        assert difference.max() <= (1 if strength in ("none", "light") else 60)
        assert difference.mean() <= 0.3
        assert (difference > 8).float().mean() <= 0.002


@pytest.mark.parametrize(("interpolation", "most"), [("nearest", 0), ("bicubic", 1)])
def test_interpolations(photos: list[Sample], interpolation: Interpolation, most: int) -> None:
    transform = training_transform("light", 40, interpolation)
    there, here = batches(lambda: ClassificationDataset(photos, transform), collate, "transforms", 2)
    assert differences(there, here).max() <= most


def test_grey_images(photos: list[Sample]) -> None:
    transform = training_transform("medium", 40)
    dataset = lambda: ClassificationDataset(photos, transform, channels=1)  # noqa: E731
    for on_device in ("transforms", "decoding and transforms"):
        assert differences(*batches(dataset, collate, on_device, 2)).max() <= 2


@pytest.mark.parametrize("on_device", ["transforms", "decoding and transforms"])
@pytest.mark.parametrize("options", [{"augment": "none"}, {"scale": (0.5, 2.0)}, {"augment": "strong"}])
def test_objects_and_their_images(options: dict[str, Any], on_device: OnDevice) -> None:
    data = CocoDetection(str(SAMPLES / "detection"), image_size=64, num_workers=0, **options)
    there, here = batches(lambda: data._dataset(data.listings["train"], True, "error"), collate_boxes, on_device, 1)
    difference = differences(there, here)
    boxes, others = there.targets, here.targets
    assert isinstance(boxes, Boxes)
    assert torch.equal(boxes.boxes, others.boxes)
    assert torch.equal(boxes.labels, others.labels)
    assert len(boxes.masks or ()) == len(others.masks) == len(boxes)
    assert difference.mean() <= 0.3
    assert difference.max() <= (60 if options.get("augment") == "strong" else 1)


@pytest.mark.parametrize("on_device", ["transforms", "decoding and transforms"])
@pytest.mark.parametrize("options", [{"augment": "none"}, {"augment": "light"}, {"augment": "strong", "short": 48}])
def test_masks_and_their_images(options: dict[str, Any], on_device: OnDevice) -> None:
    data = MaskFolder(str(SAMPLES / "segmentation"), image_size=64, num_workers=0, **options)
    there, here = batches(lambda: data._dataset(data.listings["train"], True, "error"), collate_masks, on_device, 2)
    difference = differences(there, here)
    assert torch.equal(there.targets, here.targets)
    assert difference.mean() <= 0.3
    assert difference.max() <= (60 if options["augment"] == "strong" else 1)


def test_sizes_of_padded_images_differ() -> None:
    """So that the two tests above show padding, which stays black under changes of brightness."""
    data = MaskFolder(str(SAMPLES / "segmentation"), image_size=64, scale=(0.3, 1.0), augment="medium", num_workers=0)
    there, here = batches(lambda: data._dataset(data.listings["train"], True, "error"), collate_masks, "transforms", 2)
    assert len(here.sizes.unique(dim=0)) > 10
    for image, (height, width) in zip(here.images, here.sizes.tolist(), strict=True):  # type: ignore[call-overload]
        assert not image[:, height:].any()
        assert not image[:, :, width:].any()
    assert differences(there, here).mean() <= 0.3


def test_workers_send_them_through_shared_memory(photos: list[Sample]) -> None:
    dataset = ClassificationDataset(photos, training_transform("strong", 32))
    dataset.on_device = "decoding and transforms"
    transport = SharedMemoryCollate(collate)
    draws: Any = [Draw(0, index) for index in range(12)]
    loader: Any = DataLoader(dataset, batch_size=5, sampler=draws, collate_fn=transport, num_workers=2)
    received = list(loader)
    assert len(transport._mapped) >= 2, "a segment of each worker"
    assert [len(batch) for batch in received] == [5, 5, 2]
    alone: list[Any] = [collate([dataset[draw] for draw in draws[start : start + 5]]) for start in (0, 5, 10)]
    assert equal([batch.to("cpu") for batch in received], [batch.to("cpu") for batch in alone])


def test_pixels_come_before_files(photos: list[Sample]) -> None:
    """Pixels alone are moved to the device: nvJPEG reads files from the CPU's memory."""
    dataset = ClassificationDataset(photos, training_transform("light", 32))
    dataset.on_device = "decoding and transforms"
    pending: Any = collate([dataset[Draw(0, index)] for index in range(len(photos))])
    files = sum(Path(sample.path).stat().st_size for sample in photos if sample.path.endswith(".jpg"))
    assert len(pending.data) - pending.pixels == files
    assert pending.pixels > 0
    assert pending.data[pending.pixels :][:2].tolist() == [0xFF, 0xD8]
