"""Packing: what is in the shards, killed packs, and what is refused."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from resnet_tl.data.classification import ImageFolder, ImageTable
from resnet_tl.data.detection import CocoDetection, VOCDetection, YoloDetection
from resnet_tl.data.images.decode import decode
from resnet_tl.data.images.manifest import MANIFEST, Manifest
from resnet_tl.data.images.resize import resize
from resnet_tl.data.packing.destination import LOCK
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.regression import RegressionTable
from resnet_tl.data.segmentation import MaskFolder
from resnet_tl.data.shards import RegressionShards, Shards
from resnet_tl.data.sources.forms import form_of
from resnet_tl.errors import DataError, RecipeError, RunError
from tests.data.packed_sets import OF_CLASSES, SAMPLES, SETS, as_folder, packed_photos, table

pytest.importorskip("litdata")


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_are_kept_as_they_are_in_shards_of_about_the_size(tmp_path: Path) -> None:
    packed, data = packed_photos(tmp_path, shards=3), as_folder(tmp_path)
    manifest = Manifest.parse((packed / MANIFEST).read_bytes(), "")
    assert manifest.splits == {split: len(listing) for split, listing in data.listings.items()}
    assert manifest.classes == data.classes
    training = [shard for shard in manifest.shards if shard.name.startswith("train/")]
    assert len(training) == 3
    assert max(shard.bytes for shard in training) < 1.5 * min(shard.bytes for shard in training)
    shards = Shards(str(packed), **OF_CLASSES)
    for split, listing in data.listings.items():
        assert shards.listings[split].keys() == listing.keys()
        files = shards._dataset(shards.listings[split], False, "error")
        for index, sample in enumerate(listing):
            stored = shards.listings[split][index]
            assert stored.target == sample.target
            assert np.array_equal(files._read(index), decode(sample.path))
    assert not [name for name in content(packed) if name.endswith(".bin.json") or "pack.json" in name]


@pytest.mark.parametrize("name", SETS)
def test_litdata_reads_them(name: str, tmp_path: Path) -> None:
    litdata = pytest.importorskip("litdata")
    data = SETS[name][0](tmp_path)
    pack(data, str(tmp_path / "packed"))
    listing = data.images.splits["train"]
    keys, files = listing.keys(), {sample.key: Path(sample.path).read_bytes() for sample in listing}
    dataset = litdata.StreamingDataset(str(tmp_path / "packed" / "train"))
    items = [dataset[index] for index in range(len(dataset))]
    assert sorted(bytes(item["key"]).decode() for item in items) == sorted(keys)
    for item in items:
        key = bytes(item["key"]).decode()
        index = keys.index(key)
        assert item["image"] == files[key]
        target = np.asarray(item["target"])
        if name in ("objects", "painted masks"):
            assert np.array_equal(target[:, :4], listing.objects(index).boxes)
        elif name == "mask files":
            assert item["mask"] == Path(str(listing[index].target)).read_bytes()
        elif name == "numbers":
            assert target.tolist() == list(listing[index].target)
        else:
            assert target.tolist() == listing.classes_of(index).tolist()


def test_a_killed_pack_goes_on_with_the_shards_that_are_missing(tmp_path: Path) -> None:
    whole = packed_photos(tmp_path, shards=5)

    def killed(done: int, total: int) -> None:
        if done > total * 0.6:
            raise KeyboardInterrupt

    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(KeyboardInterrupt):
        packed_photos(again, shards=5, progress=killed, workers=1)
    with pytest.raises(DataError, match=r"not finished: the same `resnet-tl data pack` goes on"):
        Shards(str(again / "packed"), **OF_CLASSES)
    with pytest.raises(DataError, match="its pack is not finished"):
        form_of(str(again / "packed"))
    before = {path: path.stat().st_mtime_ns for path in (again / "packed").rglob("*.bin")}
    assert 0 < len(before) < len(list(whole.rglob("*.bin")))
    packed_photos(again, shards=5, workers=1)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert content(again / "packed") == content(whole)


def test_half_a_shard_is_written_again_and_a_changed_one_found(tmp_path: Path) -> None:
    whole = content(packed_photos(tmp_path, shards=3))

    def stopped(done: int, total: int) -> None:
        if done == total:
            raise RuntimeError("stopped")

    again = tmp_path / "again"
    again.mkdir()
    with pytest.raises(RuntimeError, match="stopped"):
        packed_photos(again, shards=3, progress=stopped, workers=1)
    packed = again / "packed"
    (packed / "train/chunk-0-0.bin").write_bytes(whole["train/chunk-0-0.bin"][:-9])
    turned = bytearray(whole["train/chunk-0-1.bin"])
    turned[-5] ^= 1
    (packed / "train/chunk-0-1.bin").write_bytes(turned)
    with pytest.raises(RunError, match=r"train/chunk-0-1.bin: is not what was written there; delete it"):
        packed_photos(again, shards=3)
    (packed / "train/chunk-0-1.bin").unlink()
    packed_photos(again, shards=3)
    assert content(packed) == whole


def test_nothing_is_overwritten_and_no_other_pack_continued(tmp_path: Path) -> None:
    packed = packed_photos(tmp_path)
    with pytest.raises(RunError, match="holds a packed set already"):
        packed_photos(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    with pytest.raises(RunError, match="is not empty"):
        pack(as_folder(tmp_path), str(tmp_path / "full"))
    (packed / MANIFEST).unlink()
    (packed / "pack.json").write_text(json.dumps({"format": "", "digest": ""}))
    with pytest.raises(RunError, match="unfinished pack of other images, or with other options"):
        packed_photos(tmp_path)


def test_two_packs_into_one_folder_do_not_disturb_each_other(tmp_path: Path) -> None:
    destination = tmp_path / "packed"
    destination.mkdir()
    program = "import sys; from resnet_tl.files import claim; lock = claim(sys.argv[1]); print(flush=True); input()"
    command = [sys.executable, "-c", program, str(destination / LOCK)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(RunError, match=r"packed: another process is packing into this folder$"):
            packed_photos(tmp_path)
        other.communicate(b"\n")
    packed_photos(tmp_path)
    assert not (destination / LOCK).exists()


def test_places_where_nothing_can_be_packed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for address in ("s3://", "s3:", "s3:/photos/packed"):
        with pytest.raises(RecipeError, match=f"^{address}: is no address; expected one as s3://bucket/folder$"):
            pack(as_folder(tmp_path), address)
    (tmp_path / "photos").symlink_to(SAMPLES / "classification")
    monkeypatch.chdir(tmp_path)
    data = ImageFolder("photos", **OF_CLASSES)
    with pytest.raises(RunError, match=r"^photos/a/packed: lies in photos, which is packed; expected a folder outside"):
        pack(data, "photos/a/packed")
    pack(data, f"file://{tmp_path}/photos_packed")
    assert (tmp_path / "photos_packed" / MANIFEST).exists()


def test_a_pack_that_fills_the_disk_names_it_and_goes_on_elsewhere(small_disk: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match=rf"^{small_disk}/packed: cannot be written: No space left on device$"):
        pack(as_folder(tmp_path), str(small_disk / "packed"), workers=1)
    shutil.copytree(small_disk / "packed", tmp_path / "packed")
    first = (tmp_path / "packed/train/chunk-0-0.bin").stat().st_ino
    pack(as_folder(tmp_path), str(tmp_path / "packed"))
    assert (tmp_path / "packed/train/chunk-0-0.bin").stat().st_ino == first


def test_resized_images_are_small_and_upright(tmp_path: Path) -> None:
    for number, name in enumerate(("cat/a.jpg", "cat/b.png", "dog/small.png", "dog/c.jpg")):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif[274] = 6 if name == "cat/a.jpg" else 1
        size = (20, 30) if "small" in name else (120, 60)
        Image.new("RGB", size, (60 * number, 90, 200)).save(path, exif=exif)
    options = {"image_size": 16, "batch_size": 2, "num_workers": 0, "seed": 0}
    pack(ImageFolder(str(tmp_path / "photos"), **options), str(tmp_path / "packed"), resize=30)
    images = {sample.key: sample.path for sample in Shards(str(tmp_path / "packed"), **options).images.splits["train"]}
    assert {key: decode(path).shape[:2] for key, path in images.items()} == {
        "cat/a.jpg": (60, 30), "cat/b.png": (30, 60), "dog/c.jpg": (30, 60), "dog/small.png": (30, 20),
    }  # fmt: skip
    assert decode(images["cat/b.png"])[0, 0].tolist() == [60, 90, 200]


@pytest.mark.parametrize("name", ["objects", "painted masks", "mask files"])
def test_boxes_and_masks_become_smaller_with_their_images(name: str, tmp_path: Path) -> None:
    source, kind, options = SETS[name]
    data = source(tmp_path)
    pack(data, str(tmp_path / "packed"), resize=40)
    packed = kind(str(tmp_path / "packed"), **options)
    for split, listing in data.listings.items():
        smaller = packed.listings[split]
        images = packed._dataset(smaller, False, "error")
        for index, sample in enumerate(listing):
            image, (height, width) = decode(smaller[index].path), decode(sample.path).shape[:2]
            assert min(image.shape[:2]) == min(40, height, width)
            images._read(index)
            if name == "objects":
                before, after = listing.objects(index), smaller.objects(index)
                across, down = image.shape[1] / width, image.shape[0] / height
                assert np.allclose(after.boxes, before.boxes * [across, down, across, down], atol=1e-4)
                assert np.allclose(after.area, before.area * across * down)
            else:
                expected = resize(listing.mask(index)[..., None], *image.shape[:2], "nearest")[..., 0]
                share = 0.0 if name == "mask files" else 0.02  # outlines are rounded to pixels
                assert (smaller.mask(index) != expected).mean() <= share
    if name != "objects":
        shares = [each.class_counts() / each.class_counts().sum() for each in (data, packed)]
        assert np.allclose(*shares, atol=0.02)


def test_what_shards_do_not_keep_is_refused(tmp_path: Path) -> None:
    for name in ("zebra", "yak"):
        (tmp_path / "old" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "old" / name / "1.png")
    data = as_folder(tmp_path, replay=str(tmp_path / "old"))
    with pytest.raises(RecipeError, match=r"data.replay is of other images, which are not packed"):
        pack(data, str(tmp_path / "packed"))


@pytest.mark.parametrize(
    ("several", "read", "kind"), [(True, ImageTable, Shards), (False, RegressionTable, RegressionShards)]
)
def test_a_column_of_groups_splits_the_packed_set_as_the_table(
    several: bool, read: Any, kind: Any, tmp_path: Path
) -> None:
    path = Path(table(tmp_path, several))
    first, *lines = path.read_text().splitlines()
    rows = [f"{first},patient", *(f"{line},{'äb'[number % 2]}{number % 9}" for number, line in enumerate(lines))]
    path.write_text("\n".join(rows))
    options = {**OF_CLASSES, "group": "patient", "folds": 3, "fold": 1}
    data = read(str(path), str(SAMPLES / "classification"), **options)
    pack(data, str(tmp_path / "packed"))
    packed = kind(str(tmp_path / "packed"), **options)
    assert packed.images.groups == data.images.groups
    assert {split: listing.keys() for split, listing in packed.listings.items()} == {
        split: listing.keys() for split, listing in data.listings.items()
    }
    assert not kind(str(tmp_path / "packed"), **OF_CLASSES).images.groups
    with pytest.raises(RecipeError, match=r"data.group is 'doctor', which does not match"):
        kind(str(tmp_path / "packed"), **{**options, "group": "doctor"})
    pack(packed, str(tmp_path / "again"))
    assert content(tmp_path / "again")["listing.npz"] == content(tmp_path / "packed")["listing.npz"]


@pytest.mark.parametrize(
    ("name", "readers"),
    [
        ("classes", [ImageFolder]),
        ("objects", [CocoDetection, VOCDetection, YoloDetection]),
        ("mask files", [MaskFolder, ImageFolder]),
    ],
)
def test_a_class_for_folders_says_what_reads_a_packed_set(name: str, readers: list[Any], tmp_path: Path) -> None:
    pack(SETS[name][0](tmp_path), str(tmp_path / "packed"))
    for reader in readers:
        with pytest.raises(
            DataError, match=rf"packed is a packed set, which .* read with --data {SETS[name][1].__name__}$"
        ):
            reader(str(tmp_path / "packed"))
        with pytest.raises(DataError, match=r"^s3://photos/cats is an address, where .* only, with --data AnyData$"):
            reader("s3://photos/cats")
    with pytest.raises(DataError, match=r"^s3://photos/cats.csv is an address"):
        ImageTable("s3://photos/cats.csv")


def test_files_outside_the_root_have_no_key(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    lines = ["path,label"]
    for name in ("a/1.png", "2.png", "3.png", "4.png"):
        Image.new("RGB", (9, 9)).save(tmp_path / name)
        lines.append(f"{tmp_path / name},{'cat' if name < '3' else 'dog'}")
    (tmp_path / "a" / "labels.csv").write_text("\n".join(lines))
    data = ImageTable(str(tmp_path / "a" / "labels.csv"), val_fraction=0.5)
    with pytest.raises(DataError, match=r"3 files lie outside of it .*; set data.root to a folder above"):
        pack(data, str(tmp_path / "packed"))
