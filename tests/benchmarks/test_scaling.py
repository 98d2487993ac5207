"""The model of docs/scaling.md, on numbers that can be worked out by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks.scaling_figures import FIXED, MLPERF, PER_IMAGE, mlperf
from benchmarks.scaling_model import BACKWARD, BUCKET, Cluster, Network, minutes_of, step, step_on_cores

NETWORK = Network(fixed=0.01, image=0.001, decode=0.002, gradients=4 * BUCKET, image_bytes=1e5)
ONE = Cluster(machines=1, devices=8, cores=64, network=1e9, link=math.inf)


def cluster(machines: int, network: float = 1e9) -> Cluster:
    return Cluster(machines, ONE.devices, ONE.cores, network, ONE.link)


def test_one_machine_waits_for_its_devices_or_for_its_cores() -> None:
    found = step(NETWORK, ONE, batch=32)
    assert (found.devices, found.exchange, found.loader) == pytest.approx((0.042, 0.042, 0.008))
    assert found.limit(streamed=False) == "devices"
    slow = Network(0.01, 0.001, 0.02, NETWORK.gradients, NETWORK.image_bytes)
    assert step(slow, ONE, batch=32).limit(streamed=False) == "loader"


def test_images_over_the_network_limit_a_machine_that_reads_them_from_a_disk_does_not() -> None:
    found = step(NETWORK, cluster(1, network=2e8), batch=32)
    assert found.reads == pytest.approx(8 * 32 * 1e5 / 2e8)
    assert (found.limit(streamed=True), found.limit(streamed=False)) == ("reads", "devices")


def test_backward_hides_an_exchange_but_for_its_last_bucket() -> None:
    fast = step(NETWORK, cluster(2, network=1e11), batch=32)
    whole = 2 * NETWORK.gradients / 2 / 1e11
    assert fast.exchange - fast.devices == pytest.approx(whole / 4)
    slow = step(NETWORK, cluster(2, network=1e9), batch=32)
    assert slow.exchange == pytest.approx((1 - BACKWARD) * slow.devices + 100 * whole)
    assert slow.limit(streamed=False) == "all-reduce"


def test_a_ring_moves_less_than_twice_the_gradients() -> None:
    times = [cluster(machines).exchange(1e9) for machines in (1, 2, 8, 64)]
    assert times == pytest.approx([0, 1, 1.75, 2 * 63 / 64])


def test_processes_on_shared_cores_add_up() -> None:
    assert step_on_cores(0.2, 0, 0, ranks=1, cores=2) == pytest.approx(0.2)
    assert step_on_cores(0.2, 0, 0.3, ranks=1, cores=2) == pytest.approx(0.3)  # a worker on the other core
    assert step_on_cores(0.2, 0.1, 0, ranks=2, cores=2) == pytest.approx(0.3)
    assert step_on_cores(0.2, 0.1, 0.3, ranks=4, cores=2) == pytest.approx(1.1)


def test_minutes_count_the_last_smaller_batch_of_an_epoch() -> None:
    assert minutes_of(epochs=30, images=1001, global_batch=100, step_seconds=2) == 11


def test_the_constants_are_those_of_two_submissions() -> None:
    assert [FIXED + PER_IMAGE * each.batch for each in MLPERF[:2]] == pytest.approx([each.step for each in MLPERF[:2]])
    errors = {figure.row: figure.value for figure in mlperf() if figure.column == "off by"}
    assert [row for row in errors if row.endswith("step")] == ["512 devices, 40 images each: step"]
    assert max(errors.values()) < 15
