"""Detection's data modules, from files to batches."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from resnet_tl.data.detection import BoxTable, CocoDetection, DetectionData, ToolDetection, VOCDetection, YoloDetection
from resnet_tl.errors import DataError, UserError
from resnet_tl.recipe.shipped import shipped_root
from resnet_tl.structures.records import Batch, Preprocessing

SAMPLES = shipped_root() / "data" / "samples" / "detection"


def check_batch(batch: Batch, data: DetectionData) -> None:
    targets, sizes = batch.targets, batch.sizes
    height, width = batch.images.shape[2:]
    assert batch.images.dtype == torch.uint8
    assert (height % 32, width % 32) == (0, 0)
    assert (sizes <= torch.tensor([height, width])).all()
    for image, (h, w) in zip(batch.images, sizes.tolist(), strict=True):
        assert not image[:, h:].any()
        assert not image[:, :, w:].any()
    assert targets.boxes.dtype == targets.area.dtype == torch.float32
    assert targets.labels.dtype == targets.image.dtype == torch.int64
    assert (targets.image.diff() >= 0).all()
    assert (targets.boxes >= 0).all()
    assert (targets.boxes <= sizes[targets.image][:, [1, 0, 1, 0]]).all()
    assert (targets.boxes[:, 2:] > targets.boxes[:, :2]).all()
    assert ((targets.labels >= 0) & (targets.labels < len(data.classes))).all()


def test_samples_as_batches() -> None:
    data = CocoDetection(str(SAMPLES), image_size=64, batch_size=6, num_workers=0, scale=(0.5, 2.0))
    assert data.classes == ["bird", "car", "cat", "horse", "truck"]
    assert data.codes == [1, 2, 3, 4, 5]
    assert data.class_counts().tolist() == [10, 14, 15, 14, 10]
    seen = 0
    for batch in data.train_dataloader():
        check_batch(batch, data)
        assert len(batch.targets.masks) == len(batch.targets)
        seen += len(batch)
    assert seen == 24, "the one that shows nothing too"
    for batch in data.val_dataloader():
        check_batch(batch, data)
        assert (batch.sizes == torch.tensor([64, 80])).all()
        assert (batch.original_sizes == torch.tensor([128, 160])).all()


def test_few_shots_are_images_that_show_each_class() -> None:
    whole, few = (CocoDetection(str(SAMPLES), num_workers=0, shots=shots) for shots in (None, 3))
    listing = few.listings["train"]
    assert (np.bincount(listing.targets.values, minlength=5) >= 3).all()
    assert 5 <= len(listing) < len(whole.listings["train"])
    assert f"data.shots: 3 trains on {len(listing)} of {len(whole.listings['train'])} images" in few.notes[-1]
    assert few.listings["val"].keys() == whole.listings["val"].keys()


def test_blood_cells(shared_data: Path) -> None:
    data = VOCDetection(str(shared_data / "bccd"), image_size=320, batch_size=4, num_workers=0)
    assert data.classes == ["Platelets", "RBC", "WBC"]
    assert data.class_counts().tolist() == [209, 2382 - 1, 214]
    (degenerate,) = (note for note in data.notes if "degenerate" in note)
    assert "skipped (2)" in degenerate
    assert "BloodImage_00338.xml: object 13 (RBC) at [504, 337, 504, 337]" in degenerate
    assert "BloodImage_00343.xml: object 4 (RBC) at [181, 329, 181, 329]" in degenerate
    batch = next(iter(data.train_dataloader()))
    check_batch(batch, data)
    assert batch.targets.masks is None
    assert (batch.sizes == torch.tensor([320, 427])).all()


def test_coco_itself(shared_data: Path) -> None:
    root = str(shared_data / "coco128")
    settings: dict[str, Any] = {"image_size": 128, "batch_size": 128, "num_workers": 0, "val_fraction": 1}
    assert len(CocoDetection(root, **settings).classes) == 71, "nine have no object"
    data = CocoDetection(root, keep_empty_classes=True, **settings)
    assert len(data.classes) == 80
    assert (data.codes[0], data.codes[-1]) == (1, 90)
    (note,) = data.notes[:1]
    assert note == f"{shared_data}/coco128: 128 val (split here); no test split: val is used"
    (batch,) = data.val_dataloader()
    check_batch(batch, data)
    assert len(batch.targets) == 939
    assert batch.targets.crowd.sum() == 10
    assert len(set(batch.targets.image.tolist())) == 126, "two images show nothing"
    with pytest.raises(Exception, match="checkpoint"):
        CocoDetection(root, classes=["cat"])


def samples(**options: Any) -> CocoDetection:
    return CocoDetection(str(SAMPLES), **{"image_size": 64, "batch_size": 5, "num_workers": 0, **options})


def contents(data: DetectionData, epochs: int = 1) -> list[tuple[Any, ...]]:
    """Everything in the training batches."""
    loader = data.train_dataloader()
    seen = []
    for epoch in range(epochs):
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for batch in loader:
            tensors = [batch.images, batch.indices, batch.sizes, *batch.targets._tensors().values()]
            masks = [np.concatenate([np.ravel(part) for part in mask]).tobytes() for mask in batch.targets.masks or []]
            seen.append((*(value.numpy().tobytes() for value in tensors), *masks))
    return seen


def test_objects_are_the_same_for_any_workers_and_differ_between_epochs() -> None:
    options = {"augment": "medium", "scale": (0.5, 2.0), "mosaic": 0.5, "copy_paste": 0.5}
    expected = contents(samples(**options), epochs=2)
    assert len(set(expected)) == len(expected) == 10
    for workers in (1, 2):
        assert contents(samples(**options, num_workers=workers), epochs=2) == expected


def test_mosaic_and_copy_paste_give_more_objects() -> None:
    def objects(**options: Any) -> int:
        return sum(len(batch.targets) for batch in samples(**options).train_dataloader())

    alone = objects()
    assert objects(mosaic=1.0) > 1.5 * alone
    assert alone * 1.1 < objects(copy_paste=1.0) < 2 * alone
    for batch in samples(mosaic=1.0, copy_paste=1.0, scale=(0.3, 2.0)).train_dataloader():
        check_batch(batch, samples())


def test_training_batches_are_of_about_one_aspect_ratio(tmp_path: Path) -> None:
    sizes = [(64, 48), (48, 64), (60, 40), (40, 60), (50, 50)] * 12
    lines = ["path,label,x1,y1,x2,y2"]
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,cat,1,2,30,20")
    (tmp_path / "set.csv").write_text("\n".join(lines))

    def padding(*, grouped: bool) -> float:
        data = BoxTable(
            str(tmp_path / "set.csv"), image_size=96, batch_size=4, num_workers=0, grouped=grouped, val_fraction=0.1
        )
        batches = list(data.train_dataloader())
        pixels = sum(batch.images[:, 0].numel() for batch in batches)
        return pixels / sum(batch.sizes.prod(1).sum().item() for batch in batches)

    assert padding(grouped=True) < 0.85 * padding(grouped=False)


def test_listed_transforms_replace_the_presets() -> None:
    steps = [
        {"class_path": "RandomCrop", "init_args": {"height": 48, "width": 80}},
        {"class_path": "HorizontalFlip", "init_args": {"p": 0.5}},
    ]
    data = samples(train_transforms=steps)
    for batch in data.train_dataloader():
        check_batch(batch, data)
        assert (batch.sizes == torch.tensor([48, 80])).all()


def test_evaluation_preprocessing() -> None:
    used = samples(image_size=80).evaluation_preprocessing(Preprocessing(mean=(0.1,), std=(0.2,)))
    assert used == Preprocessing(mean=(0.1,), std=(0.2,), size=80, max_size=133, crop=1.0)
    assert samples(image_size=80, max_size=90).evaluation_preprocessing(Preprocessing()).max_size == 90


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 0}, "data.image_size must be int in"),
        ({"mosaic": 0.5, "train_transforms": []}, "data.train_transforms replace data.mosaic; remove one of the two"),
        ({"max_size": 10}, "data.max_size is 10; expected data.image_size 64 or more"),
        ({"scale": (2.0, 1.0)}, r"data.scale is \[2.0, 1.0\]"),
        ({"mosaic": 1.5}, r"data.mosaic must be float in \[0, 1\], got 1.5"),
        ({"copy_paste": -1}, r"data.copy_paste must be float in \[0, 1\], got -1"),
        ({"augment": "lots"}, "data.augment must be one of 'none', .* 'trivial', 'rand', got 'lots'"),
        ({"eval_transforms": []}, "data.eval_transforms: detection evaluates whole images"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        samples(**options)


def test_objects_without_masks_cannot_be_pasted(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "set.csv").write_text("path,label,x1,y1,x2,y2\na.png,cat,1,2,3,4\n")
    with pytest.raises(UserError, match=r"data.copy_paste is 0.5, but the objects of .* have no masks"):
        BoxTable(str(tmp_path / "set.csv"), copy_paste=0.5)


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The samples, two training images damaged after their headers."""
    shutil.copytree(SAMPLES, tmp_path / "set")
    for name in ("train_03", "train_07"):
        path = tmp_path / "set" / "images" / f"{name}.png"
        path.write_bytes(path.read_bytes()[:200])
    return tmp_path / "set"


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_a_broken_image_is_named_or_replaced(broken: Path, mosaic: float) -> None:
    options = {"image_size": 64, "batch_size": 6, "num_workers": 0, "mosaic": mosaic}
    with pytest.raises(DataError, match=r"train_0[37]\.png"):
        list(CocoDetection(str(broken), **options).train_dataloader())
    data = CocoDetection(str(broken), **options, on_error="skip")
    batches = list(data.train_dataloader())
    assert sum(len(batch) for batch in batches) == 24
    assert not {3, 7} & {index for batch in batches for index in batch.indices.tolist()}
    assert [name in "".join(data.skipped()) for name in ("train_03", "train_07")] == [True, True]


def test_in_evaluation_a_broken_image_is_a_filler_without_objects(broken: Path) -> None:
    (broken / "instances_val.json").write_text((broken / "instances_train.json").read_text())
    data = CocoDetection(str(broken), image_size=64, batch_size=24, num_workers=0, on_error="skip")
    (batch,) = data.val_dataloader()
    assert (batch.indices == -1).nonzero().flatten().tolist() == [3, 7]
    assert not torch.isin(batch.targets.image, torch.tensor([3, 7])).any()
    check_batch(batch, data)


def test_an_image_that_has_changed_its_size_is_named(broken: Path) -> None:
    data = CocoDetection(str(broken), image_size=64, batch_size=8, num_workers=0)
    Image.new("RGB", (161, 128)).save(broken / "images" / "val_02.png")
    with pytest.raises(DataError, match=r"val_02.png: is 161 x 128 pixels, but was 160 x 128 when the annotations"):
        list(data.val_dataloader())


def test_without_a_split_a_stratified_share_is_split_off_and_written(broken: Path, tmp_path: Path) -> None:
    (broken / "instances_val.json").unlink()
    (broken / "instances_train.json").rename(broken / "all.json")
    data = CocoDetection(str(broken), val_fraction=0.25, seed=3)
    assert (len(data.listings["train"]), len(data.listings["val"])) == (18, 6)
    counts = [listing.class_counts(5) for listing in data.listings.values()]
    assert (counts[1] > 0).all()
    assert sum(counts).tolist() == [10, 14, 15, 14, 10]
    data.write_split(tmp_path / "split.csv")
    lines = (tmp_path / "split.csv").read_text().splitlines()
    assert lines[:2] == ["key,class,split", f"images/train_00.png,car|truck,{lines[1].rpartition(',')[2]}"]
    assert len(lines) == 25
    again = CocoDetection(str(broken), val_fraction=0.25, seed=3)
    assert again.listings["val"].keys() == data.listings["val"].keys()
    assert CocoDetection(str(broken), folds=4, fold=1).listings["val"].keys() != data.listings["val"].keys()


def test_boxes_rotate_with_an_image_that_its_exif_data_rotate(tmp_path: Path) -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[5:15, 20:60] = 255
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif, quality=95)
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [20, 5, 40, 10], "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 40}],
        "annotations": [annotation],
        "categories": [{"id": 1, "name": "cat"}],
    }
    (tmp_path / "all.json").write_text(json.dumps(document))
    data = CocoDetection(str(tmp_path), image_size=40, max_size=80, val_fraction=1, num_workers=0)
    (batch,) = data.val_dataloader()
    assert batch.original_sizes.tolist() == [[80, 40]]
    x1, y1, x2, y2 = batch.targets.boxes[0].int().tolist()
    assert (x1, y1, x2, y2) == (25, 20, 35, 60)
    assert batch.images[0, 0, y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].min() > 200
    assert batch.images[0, 0].float().sum() / 255 == pytest.approx(400, rel=0.05)


def test_yolo_as_batches(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    for number in range(4):
        Image.new("RGB", (80, 60)).save(tmp_path / "images" / f"{number}.jpg")
        (tmp_path / "labels" / f"{number}.txt").write_text("1 0.5 0.5 0.2 0.2\n")
    settings: dict[str, Any] = {"image_size": 30, "batch_size": 4, "num_workers": 0, "val_fraction": 1}
    data = YoloDetection(str(tmp_path), keep_empty_classes=True, **settings)
    (batch,) = data.val_dataloader()
    check_batch(batch, data)
    assert batch.targets.boxes.tolist() == [[16, 12, 24, 18]] * 4
    assert batch.targets.labels.tolist() == [1] * 4
    assert "shows cat" in "".join(data.notes)
    data = YoloDetection(str(tmp_path), **settings)
    assert (data.classes, data.codes) == (["dog"], [1])
    (batch,) = data.val_dataloader()
    assert batch.targets.labels.tolist() == [0] * 4


def test_an_export_of_a_tool_as_batches(tmp_path: Path) -> None:
    """Polygons of labelme: two images with a triangle each."""
    for name in ("a", "b"):
        Image.new("RGB", (60, 40)).save(tmp_path / f"{name}.png")
        shape = {"label": "cat", "points": [[10, 5], [40, 5], [10, 35]], "shape_type": "polygon"}
        content = {"shapes": [shape], "imagePath": f"{name}.png", "imageHeight": 40, "imageWidth": 60}
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    data = ToolDetection(str(tmp_path), image_size=40, batch_size=1, num_workers=0, augment="none", val_fraction=0.5)
    assert data.classes == ["cat"]
    (batch,) = data.val_dataloader()
    assert batch.targets.boxes.tolist() == [[10, 5, 40, 35]]
    assert batch.targets.masks is not None
