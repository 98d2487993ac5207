from __future__ import annotations

from benchmarks.freezing_speed import FLOOR, LIGHTNING, PLAIN, Setting, cached
from benchmarks.resnet import in_fresh_process


def test_steps_on_cached_features_are_timed_next_to_the_peers_and_to_lightning_alone() -> None:
    setting = Setting("resnet18", batch=2, size=32, threads=1, rounds=2, allocator="raised")
    seconds = in_fresh_process(cached, setting, "all but the head")
    assert {name: len(values) for name, values in seconds.items()} == {
        "ours, cached": 2,
        PLAIN: 2,
        LIGHTNING: 2,
        FLOOR: 2,
    }
    assert all(value > 0 for values in seconds.values() for value in values)
