"""What a server has done, as Prometheus reads it (text format 0.0.4)."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
IMAGES = (1, 2, 4, 8, 16, 32, 64)


class Histogram:
    """Counts values by upper bounds."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds, self.counts, self.sum = bounds, [0] * (len(bounds) + 1), 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterator[str]:
        total = 0
        for bound, count in zip([*map(str, self.bounds), "+Inf"], self.counts, strict=True):
            total += count
            yield f'{name}_bucket{{le="{bound}"}} {total}'
        yield f"{name}_sum {self.sum}"
        yield f"{name}_count {total}"


class Counters:
    """The counts of one server.

    Attributes:
        requests: by path and status; paths that do not exist are `other`.
        seconds: from a predicting request's headers to the end of its answer.
        batches: images that went through the network together.
    """

    def __init__(self) -> None:
        self.requests: Counter[tuple[str, int]] = Counter()
        self.seconds, self.batches = Histogram(SECONDS), Histogram(IMAGES)

    def text(self, waiting: int) -> str:
        """Returns all counts. waiting: images that are accepted and not yet answered."""
        return "\n".join(self._lines(waiting)) + "\n"

    def _lines(self, waiting: int) -> Iterator[str]:
        yield from _head("resnet_tl_requests_total", "counter", "Requests answered, by path and HTTP status.")
        for (path, status), count in sorted(self.requests.items()):
            yield f'resnet_tl_requests_total{{path="{path}",status="{status}"}} {count}'
        yield from _head("resnet_tl_images_total", "counter", "Images that went through the network.")
        yield f"resnet_tl_images_total {int(self.batches.sum)}"
        yield from _head("resnet_tl_batch_images", "histogram", "Images that went through the network together.")
        yield from self.batches.lines("resnet_tl_batch_images")
        yield from _head("resnet_tl_request_seconds", "histogram", "Seconds from a request's headers to its answer.")
        yield from self.seconds.lines("resnet_tl_request_seconds")
        yield from _head("resnet_tl_waiting_images", "gauge", "Images that are accepted and not yet answered.")
        yield f"resnet_tl_waiting_images {waiting}"
        if (memory := resident_bytes()) is not None:
            yield from _head("process_resident_memory_bytes", "gauge", "Memory of the process.")
            yield f"process_resident_memory_bytes {memory}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def resident_bytes() -> int | None:
    """Returns the memory that the process holds now; None where the system does not say (all but Linux)."""
    try:
        pages = Path("/proc/self/statm").read_text().split()[1]
    except OSError:
        return None
    return int(pages) * os.sysconf("SC_PAGE_SIZE")
