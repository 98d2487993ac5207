"""`resnet-tl serve` under load on loopback, next to the offline predictor on the same JPEG files, decoding included.

python -m benchmarks serve [MODEL --images FOLDER] [--write] [--clients 64] [--seconds 60] [--rounds 3] [--batch 16]

MODEL is whatever `resnet-tl serve` takes; without it, a ResNet-56 for 64 pixels and images are made. The two take
turns, `--rounds` times; the server has `--seconds` of load in all, the predictor as much. Every client sends one file
after another over one connection, as the body of `POST /predict`, and waits for each answer; clients, server and
predictor share this machine's cores. Of answers without predictions the statuses are counted; none but 503 may occur.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.made import classifier, photographs
from resnet_tl.run.process import configure_process

GOAL = 0.85
"""Of the offline predictor's images a second."""
WARM_UP = 3.0
MOST = 20_000
"""Images that the offline predictor gets at a time; it stops when its seconds are over."""


class Load(NamedTuple):
    """latencies: seconds of each answer with status 200. statuses: of the others. cpu: seconds of the server's and of
    the clients' process."""

    seconds: float
    cpu: tuple[float, float]
    latencies: list[float]
    statuses: Counter[int]


class Server(NamedTuple):
    address: str
    pid: int

    @property
    def cpu(self) -> float:
        """Seconds of CPU time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Offline(NamedTuple):
    """cpu: seconds of the process."""

    images: int
    seconds: float
    cpu: float

    @property
    def rate(self) -> float:
        return self.images / self.seconds


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    with tempfile.TemporaryDirectory() as folder:
        measure(options, *(made(Path(folder), options.count) if options.model is None else given(options)))


def given(options: argparse.Namespace) -> tuple[str, list[str]]:
    paths = sorted(str(path) for path in options.images.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))
    return options.model, paths[: options.count]


def made(folder: Path, count: int) -> tuple[str, list[str]]:
    paths = [str(path) for path in photographs(folder / "images", count)]
    return str(classifier(folder / "model", "resnet56_cifar", 64)), paths


def measure(options: argparse.Namespace, model: str, paths: list[str]) -> None:
    requests = [request(Path(path).read_bytes()) for path in paths]
    print(f"{len(paths)} JPEG files of {sum(map(len, requests)) / len(requests) / 1e3:.0f} kB on average")
    each = options.seconds / options.rounds
    offline: list[Offline] = []
    served: list[Load] = []
    with (
        predictor(model, paths, options.batch) as offline_for,
        server(model, options.batch) as host,
    ):
        offline_for(WARM_UP)
        asyncio.run(load(host, requests, options.clients, WARM_UP))
        for _ in range(options.rounds):
            offline.append(offline_for(each))
            served.append(asyncio.run(load(host, requests, options.clients, each)))
            print(f"offline {offline[-1].rate:.1f} images/s, served {rate(served[-1]):.1f} images/s")
    record = report(offline, served)
    if options.write:
        settings = {name: getattr(options, name) for name in ("clients", "seconds", "rounds", "batch")}
        measured = {
            "machine": machine(),
            "made": options.model is None,
            "settings": settings,
            "images": len(paths),
            **record,
        }
        write("serve", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    pairs = zip(results["served_images_per_s"], results["offline_images_per_s"], strict=True)
    ratios = [served / offline for served, offline in pairs]
    row, latency = f"{results['settings']['clients']} clients", results["latency_s"]
    spread = results["ratio"], "×", GOAL, "higher", min(ratios), max(ratios)
    return [
        Figure("serve", row, "images a second, of `predict`'s", *spread),
        Figure("serve", row, "seconds of half of the answers", latency["p50"], "s"),
        Figure("serve", row, "seconds of 99 %", latency["p99"], "s"),
    ]


def report(offline: list[Offline], served: list[Load]) -> dict[str, object]:
    """Prints and returns the figures."""
    ratios = [rate(ours) / theirs.rate for ours, theirs in zip(served, offline, strict=True)]
    latencies = np.concatenate([each.latencies for each in served])
    statuses = sum((each.statuses for each in served), Counter())
    quantiles = {f"p{q}": round(float(np.percentile(latencies, q)), 4) for q in (50, 95, 99)}
    each = ", ".join(f"{ratio:.3f}" for ratio in ratios)
    print(f"served / offline: {each}; median {np.median(ratios):.3f} (goal {GOAL})")
    print(f"seconds of an answer: {quantiles}; {len(latencies)} answers, other statuses: {dict(statuses) or 'none'}")
    shares = {
        "offline": sum(each.cpu for each in offline) / sum(each.images for each in offline),
        "server": sum(each.cpu[0] for each in served) / len(latencies),
        "clients": sum(each.cpu[1] for each in served) / len(latencies),
    }
    print("CPU time for an image:", ", ".join(f"{name} {1000 * share:.2f} ms" for name, share in shares.items()))
    return {
        "offline_images_per_s": [each.rate for each in offline],
        "cpu_s_per_image": shares,
        "served_images_per_s": [rate(each) for each in served],
        "ratio": float(np.median(ratios)),
        "latency_s": quantiles,
        "answers": len(latencies),
        "other_statuses": statuses,
    }


def rate(load: Load) -> float:
    """Images a second."""
    return len(load.latencies) / load.seconds


@contextmanager
def server(model: str, batch: int, *options: str) -> Iterator[Server]:
    """Runs `resnet-tl serve` in a process of its own."""
    words = ["serve", model, "--port", "0", "--batch-size", str(batch), *options]
    process = subprocess.Popen([sys.executable, "-m", "resnet_tl.cli.main", *words], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip(), process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def predictor(model: str, paths: list[str], batch: int) -> Iterator[Callable[[float], Offline]]:
    """Runs the offline predictor in a process of its own; yields a function of seconds that returns what it did."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_predict_offline, args=(model, paths, batch, there), daemon=True)
    process.start()

    def offline_for(seconds: float) -> Offline:
        here.send(seconds)
        done: Offline = here.recv()
        return done

    yield offline_for
    process.terminate()


def _predict_offline(model: str, paths: list[str], batch: int, pipe: Connection) -> None:
    configure_process()  # as the command does, before torch is imported
    from resnet_tl.prediction.load import load

    predictor, files = load(model, batch_size=batch), [Path(path).read_bytes() for path in paths]
    while True:
        seconds, count, start, cpu = pipe.recv(), 0, time.perf_counter(), time.process_time()
        for _ in predictor.stream(files * (MOST // len(files) + 1)):
            count += 1
            if time.perf_counter() > start + seconds:
                break
        pipe.send(Offline(count, time.perf_counter() - start, time.process_time() - cpu))


def request(image: bytes) -> bytes:
    """The bytes of a request to predict one image."""
    head = ["POST /predict HTTP/1.1", "Host: localhost", "Content-Type: image/jpeg", f"Content-Length: {len(image)}"]
    return "\r\n".join([*head, "", ""]).encode() + image


async def load(server: Server, requests: list[bytes], clients: int, seconds: float) -> Load:
    """Sends requests from so many clients at a time, each one after the answer to its last."""
    work, latencies, statuses = cycle(requests), list[float](), Counter[int]()
    start, cpu, own = time.perf_counter(), server.cpu, time.process_time()
    place = urlsplit(server.address)

    async def client() -> None:
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        while (sent := time.perf_counter()) < start + seconds:
            writer.write(next(work))
            await writer.drain()
            status = await read_answer(reader)
            if status == 200:
                latencies.append(time.perf_counter() - sent)
            else:
                statuses[status] += 1
                await asyncio.sleep(1)  # as Retry-After asks
        writer.close()

    await asyncio.gather(*(client() for _ in range(clients)))
    return Load(time.perf_counter() - start, (server.cpu - cpu, time.process_time() - own), latencies, statuses)


async def read_answer(reader: asyncio.StreamReader) -> int:
    """Reads one answer; returns its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = head.partition("content-length: ")[2].partition("\r\n")[0]
    await reader.readexactly(int(length))
    return int(head.split()[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serve")
    parser.add_argument("model", nargs="?")
    parser.add_argument("--images", type=Path)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/serve.json")
    return parser
