"""Packed sets as data: the same images, order and augmentation as unpacked; many shards; damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from resnet_tl.data.images import shards as shard_files
from resnet_tl.data.images.archive import open_archive
from resnet_tl.data.loading.place import Place
from resnet_tl.data.loading.samplers import TrainSampler
from resnet_tl.data.packing.pack import pack
from resnet_tl.data.shards import DetectionShards, Shards
from resnet_tl.errors import DataError, RunError
from resnet_tl.structures.records import Boxes, Draw
from tests.data.epochs import epoch_of, equal
from tests.data.packed_sets import OF_CLASSES, OF_OBJECTS, SETS, as_folder, packed_photos

pytest.importorskip("litdata")


def same(first: Any, second: Any) -> bool:
    if isinstance(first, Boxes):
        return same(vars(first), vars(second))
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(same(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if hasattr(first, "counts"):
        return np.array_equal(first.counts, second.counts) and first.size == second.size
    return bool(np.array_equal(first, second))


@pytest.mark.parametrize("name", SETS)
def test_augmented_samples_and_batches_are_those_of_the_files(name: str, tmp_path: Path) -> None:
    source, kind, options = SETS[name]
    data = source(tmp_path)
    pack(data, str(tmp_path / "packed"))
    packed = kind(str(tmp_path / "packed"), **options)
    assert packed.classes == data.classes
    assert np.array_equal(packed.class_counts(), data.class_counts())
    assert list(packed.listings) == list(data.listings)
    files, shards = ([each._dataset(each.listings["train"], True, "error")] for each in (data, packed))
    count, compared = len(files[0]), 0
    while compared < 100:
        epoch, index = divmod(compared, count)
        draw = Draw(epoch, index)
        assert same(tuple(files[0][draw]), tuple(shards[0][draw]))
        compared += 1
    for loader in ("train_dataloader", "val_dataloader"):
        one, other = (epoch_of(getattr(each, loader)(), 1) for each in (data, packed))
        assert all(same(vars(a), vars(b)) for a, b in zip(one, other, strict=True))
    assert {split: files.labels for split, files in packed.split_files().items()} == {
        split: files.labels for split, files in data.split_files().items()
    }


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> int:
    """Epochs mix two shards at a time, and the set below has more."""
    for module in ("resnet_tl.data.shards", "resnet_tl.data.images.shards", "resnet_tl.data.sources.shards"):
        monkeypatch.setattr(f"{module}.WINDOW", 2)
    return 2


def drawn(data: Shards, epoch: int) -> list[int]:
    return torch.cat([batch.indices for batch in epoch_of(data.train_dataloader(), epoch)]).tolist()


def test_many_shards_are_read_one_after_another(tmp_path: Path, window: int) -> None:
    data = Shards(str(packed_photos(tmp_path, shards=8)), **OF_CLASSES)
    listing = data.listings["train"]
    shards = open_archive(listing.root).shards_of(listing.keys())
    epochs = [drawn(data, epoch) for epoch in (0, 1)]
    assert epochs[0] != epochs[1]
    for order in epochs:
        assert len(set(order)) == len(order) >= len(listing) - 1
        places = {number: np.flatnonzero(shards[order] == number) for number in set(shards.tolist())}
        in_use = [sum(found[0] <= place <= found[-1] for found in places.values()) for place in range(len(order))]
        assert max(in_use) <= window + 1
        assert np.diff(shards[order]).any()
    data.batch_size //= 2
    assert drawn(data, 1) == epochs[1]


@pytest.mark.slow
def test_workers_draw_the_same_and_name_a_damaged_shard(tmp_path: Path, window: int) -> None:
    packed = packed_photos(tmp_path, shards=8)
    data = Shards(str(packed), **OF_CLASSES)
    with_workers = Shards(str(packed), **OF_CLASSES | {"num_workers": 2})
    assert equal(epoch_of(data.train_dataloader(), 1), epoch_of(with_workers.train_dataloader(), 1))
    (packed / "val/chunk-0-0.bin").write_bytes(b"")
    with pytest.raises(RunError, match=r"val/chunk-0-0.bin: the shard is damaged: it has 0 bytes"):
        list(Shards(str(packed), **OF_CLASSES | {"num_workers": 1}).val_dataloader())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"weights": np.arange(1, 97)},
        {"groups": np.arange(96) % 3},
        {"repeats": 3},
        {"weights": np.arange(1, 97), "groups": np.arange(96) % 3, "repeats": 2},
    ],
)
def test_a_step_has_the_same_images_on_any_number_of_ranks(options: dict[str, Any]) -> None:
    def steps(ranks: int) -> list[list[Draw]]:
        found: list[list[Draw]] = [[] for _ in range(12)]
        for rank in range(ranks):
            sampler = TrainSampler(96, seed=1, batch_size=8 // ranks, ranks=ranks, rank=rank, **options)
            sampler.shards, sampler.window = np.arange(96) // 7, 3
            sampler.set_epoch(4)
            for place, draw in enumerate(sampler):
                found[place // (8 // ranks)].append(draw)
        return [sorted(step) for step in found]

    assert steps(1) == steps(2) == steps(4)
    if not options:
        assert sorted(draw.index for step in steps(4) for draw in step) == list(range(96))


def test_a_group_is_drawn_near_its_place_in_the_stream() -> None:
    sampler = TrainSampler(960, seed=1, batch_size=8, groups=np.arange(960) % 3)
    shards = sampler.shards = np.arange(960) // 40
    sampler.window = 3
    order = np.array([draw.index for draw in sampler])
    assert sorted(order.tolist()) == list(range(960))
    whole = order[:900].reshape(-1, 4)
    assert sum(len(set((batch % 3).tolist())) == 1 for batch in whole) > 200
    spans = [np.flatnonzero(shards[order] == number) for number in range(24)]
    assert np.median([span[-1] - span[0] for span in spans]) < 300


def test_a_run_resumes_in_the_middle_of_an_epoch(tmp_path: Path, window: int) -> None:
    data = Shards(str(packed_photos(tmp_path, shards=8)), **OF_CLASSES)
    whole = epoch_of(data.train_dataloader(), 2)
    loader = data.train_dataloader()
    loader.sampler.set_epoch(2)
    batches = iter(loader)
    first = [next(batches) for _ in range(3)]
    state = loader.state_dict()
    resumed = data.train_dataloader()
    resumed.load_state_dict(state)
    assert equal([*first, *resumed], whole)


def test_every_validation_image_is_drawn_once_on_any_number_of_ranks(
    tmp_path: Path, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = packed_photos(tmp_path, shards=8)
    for ranks in (1, 3):
        batches, numbers = [], []
        for rank in range(ranks):
            monkeypatch.setattr("resnet_tl.data.base.place_of", lambda trainer, place=Place(ranks, rank): place)
            found = list(Shards(str(packed), **OF_CLASSES).val_dataloader())
            batches.append(len(found))
            numbers += torch.cat([batch.indices for batch in found]).tolist()
        assert len(set(batches)) == 1
        assert sorted(number for number in numbers if number >= 0) == list(range(max(numbers) + 1))


def test_a_damaged_missing_or_cut_shard_is_named(tmp_path: Path) -> None:
    packed = packed_photos(tmp_path)
    shard = packed / "val/chunk-0-0.bin"
    whole = shard.read_bytes()

    def read(**options: Any) -> None:
        open_archive.cache_clear()
        list(Shards(str(packed), **OF_CLASSES | options).val_dataloader())

    read()
    turned = bytearray(whole)
    turned[len(turned) // 2] ^= 8
    shard.write_bytes(turned)
    for options in ({}, {"on_error": "skip"}):
        with pytest.raises(RunError, match=r"val/chunk-0-0.bin: the shard is damaged: val/.* does not match its"):
            read(**options)
    shard.write_bytes(whole[:-100])
    with pytest.raises(RunError, match=r"val/chunk-0-0.bin: the shard is damaged: it has [\d,]+ bytes of [\d,]+; copy"):
        read()
    shard.unlink()
    with pytest.raises(RunError, match=r"val/chunk-0-0.bin: the shard is missing; copy it"):
        read()
    index = packed / "listing.npz"
    index.write_bytes(index.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"listing.npz: is damaged"):
        read()
    manifest = packed / "manifest.json"
    escaping = manifest.read_text().replace('"val/chunk', '"../chunk')
    for text, why in (("{}", "is damaged, or not of a packed set"), (escaping, "names shards that data pack does not")):
        manifest.write_text(text)
        with pytest.raises(DataError, match=rf"manifest.json: {why}"):
            read()


def test_classes_of_a_checkpoint_may_be_more_and_in_another_order(tmp_path: Path) -> None:
    packed = packed_photos(tmp_path)
    names = Shards(str(packed), **OF_CLASSES).classes
    data = Shards(str(packed), **OF_CLASSES, classes=["zebra", *reversed(names)])
    shown = {data.classes[int(sample.target)] == sample.key.split("/")[1] for sample in data.listings["val"]}
    assert shown == {True}
    with pytest.raises(DataError, match=r"has classes \(.*\) that are not among the"):
        Shards(str(packed), **OF_CLASSES, classes=names[1:])
    objects = SETS["objects"][0](tmp_path)
    pack(objects, str(tmp_path / "objects"))
    known = [*reversed(objects.classes), "zebra"]
    more = DetectionShards(str(tmp_path / "objects"), **OF_OBJECTS, classes=known)
    assert more.class_counts().tolist() == [*reversed(objects.class_counts().tolist()), 0]
    assert len(set(more.codes)) == len(known)
    with pytest.raises(DataError, match="is packed for detection: --data DetectionShards reads it"):
        Shards(str(tmp_path / "objects"), **OF_CLASSES)


def test_only_a_few_shards_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_files, "OPEN", 3)
    data = Shards(str(packed_photos(tmp_path, shards=6)), **OF_CLASSES)
    drawn(data, 0)
    assert len(open_archive(data.listings["train"].root)._opened) == 3


def test_the_files_that_are_packed_again_are_the_same(tmp_path: Path) -> None:
    packed = packed_photos(tmp_path)
    pack(Shards(str(packed), **OF_CLASSES), str(tmp_path / "again"))
    first, second = as_folder(tmp_path), Shards(str(tmp_path / "again"), **OF_CLASSES)
    assert equal(epoch_of(first.train_dataloader(), 1), epoch_of(second.train_dataloader(), 1))
