"""What limits training on many devices: the seconds of a step from a few constants, as docs/scaling.md explains.

A step takes as long as the slowest of what runs at the same time: the device (its share of the batch, then what is left
of the exchange of gradients), the cores that decode, and the network that images are read over. Where the devices are
the cores themselves, as in `benchmarks.scaling`, their work adds up.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

GBIT = 1e9 / 8
"""Bytes/s."""
BUCKET = 25 * 2**20
"""Bytes of gradients that DistributedDataParallel exchanges at a time: the last ones are exchanged after backward."""
BACKWARD = 2 / 3
"""Of the work of a step, for a network that is trained whole: gradients of inputs and of weights, after one forward."""


@dataclass(frozen=True)
class Network:
    """A network on a device, its images, and how they are decoded.

    Args:
        fixed: Seconds of a step that do not depend on the batch: launches, and what small batches leave unused.
        image: Seconds of a step for each image of it.
        decode: Core-seconds of an image: read, decode, augment, collate.
        gradients: Bytes that ranks exchange.
        image_bytes: Of an image in its file.
    """

    fixed: float
    image: float
    decode: float
    gradients: float
    image_bytes: float

    def compute(self, batch: int) -> float:
        return self.fixed + self.image * batch


@dataclass(frozen=True)
class Cluster:
    """Machines of `devices` devices each.

    Args:
        cores: Of a machine, all of which decode.
        network: Bytes/s into, and as many out of, a machine.
        link: Bytes/s into, and as many out of, a device, within a machine.
    """

    machines: int
    devices: int
    cores: float
    network: float
    link: float

    def exchange(self, size: float) -> float:
        """Seconds of an all-reduce of `size` bytes: in a ring within each machine, then in one over the machines.

        A ring of n moves 2 (n - 1) / n of the bytes into and out of each member.
        """
        return 2 * size * (_others(self.devices) / self.link + _others(self.machines) / self.network)


@dataclass(frozen=True)
class Step:
    """Seconds of a step, by what it may wait for.

    Args:
        devices: Computing.
        exchange: Computing, and the part of the exchange of gradients that backward does not hide.
        loader: Decoding, on all cores.
        reads: Images from storage, over the network, next to the gradients.
    """

    devices: float
    exchange: float
    loader: float
    reads: float

    def seconds(self, streamed: bool) -> float:
        """`streamed`: whether images come over the network, rather than from a disk or memory of the machine."""
        return max(self.exchange, self.loader, self.reads if streamed else 0)

    def limit(self, streamed: bool) -> str:
        """What bounds it; the devices, where the exchange adds less than 5 % to their time."""
        seconds = self.seconds(streamed)
        if seconds == self.exchange:
            return "devices" if self.exchange < 1.05 * self.devices else "all-reduce"
        return "loader" if seconds == self.loader else "reads"


def step(network: Network, cluster: Cluster, batch: int) -> Step:
    """Predicts a step of `batch` images per device, where devices do not share cores with the loader."""
    compute, exchange = network.compute(batch), cluster.exchange(network.gradients)
    last = min(1.0, BUCKET / network.gradients) * exchange
    exposed = max(last, exchange - BACKWARD * compute) if exchange else 0
    images = batch * cluster.devices
    over_network = images * network.image_bytes + 2 * _others(cluster.machines) * network.gradients
    return Step(compute, compute + exposed, images * network.decode / cluster.cores, over_network / cluster.network)


def step_on_cores(compute: float, exchange: float, decode: float, ranks: int, cores: int) -> float:
    """Predicts a step of `ranks` processes that compute on the `cores` of one machine, each with a worker that decodes.

    Nothing is hidden: while ranks exchange, by gloo, their cores do nothing else.

    Args:
        compute: Seconds of a rank's forward, backward and update on a core of its own.
        exchange: Seconds of the all-reduce, among as many ranks on as many cores.
        decode: Core-seconds of a rank's batch; 0 if images are in memory.
    """
    return exchange + max(compute, decode, ranks * (compute + decode) / cores)


def minutes_of(epochs: int, images: int, global_batch: int, step_seconds: float) -> float:
    """Minutes of training, without validation; the last step of an epoch is as long as the others."""
    return epochs * ceil(images / global_batch) * step_seconds / 60


def _others(members: int) -> float:
    return (members - 1) / members
