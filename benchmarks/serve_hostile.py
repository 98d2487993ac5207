"""Hostile uploads to `resnet-tl serve` on loopback: none may stop it, or leave it with more memory.

python -m benchmarks serve_hostile MODEL --image FILE [--write] [--count 200] [--passes 3] [--batch 16]

Each pass sends `--count` requests, 16 at a time, of every kind in turn: damaged and huge images, wrong types, bodies
that lie about their length or never end, slow senders, malformed forms and JSON, garbage between requests. After each
pass /health must answer, a good image must get the prediction it got before, and the memory is read from /metrics.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import struct
import time
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from benchmarks.figures import Figure, write
from benchmarks.machine import machine
from benchmarks.serve import Server, server

AT_A_TIME = 16
PATIENCE = 60.0
"""Seconds after which a request counts as never ended."""
TIMEOUT = 3
"""The server's own, in seconds."""
SETTLE = 5.0
"""Seconds after a pass, until the server has decoded what it was sent."""
JPEG, FORM, JSON = "image/jpeg", "multipart/form-data; boundary=b", "application/json"

Sends = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Sends a request, whole or not."""


def main(arguments: list[str]) -> None:
    options = _parser().parse_args(arguments)
    print("  ".join(f"{key} {value}" for key, value in machine().items()))
    good = options.image.read_bytes()
    sends = kinds(good)
    with server(options.model, options.batch, "--timeout", str(TIMEOUT)) as host:
        expected = predict(host, good)
        for _ in range(100):
            predict(host, good)
        memory = [memory_mb(host)]
        outcomes: dict[str, Counter[str]] = {name: Counter() for name in sends}
        for number in range(options.passes):
            start = time.perf_counter()
            asyncio.run(attack(host, sends, options.count, outcomes))
            seconds = time.perf_counter() - start
            assert json.load(urlopen(f"{host.address}/health", timeout=10)) == {"status": "ok"}
            assert predict(host, good) == expected
            time.sleep(SETTLE)
            memory.append(memory_mb(host))
            print(
                f"pass {number + 1}: {options.count} requests in {seconds:.1f} s; /health answers, predicts as before"
            )
    for name, outcome in outcomes.items():
        print(f"  {name:<40} {', '.join(f'{status} x {count}' for status, count in sorted(outcome.items()))}")
    print("resident MB before and after each pass:", ", ".join(f"{each:.0f}" for each in memory))
    if options.write:
        measured = {"machine": machine(), "memory_mb": memory, "outcomes": outcomes, "count": options.count}
        write("serve_hostile", measured, figures(measured))


def figures(results: dict[str, Any]) -> list[Figure]:
    before, *after = results["memory_mb"]
    row = f"{results['count']} hostile requests, {len(after)} times"
    return [Figure("serve_hostile", row, "memory, of that before", after[-1] / before, "×")]


def kinds(good: bytes) -> dict[str, Sends]:
    """Returns what is sent, by name."""
    part = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
    numpy = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (9,)}" + b" " * 60
    texts = b64encode(good).decode()
    return {
        "JPEG, cut in half": whole(good[: len(good) // 2]),
        "JPEG, noise after the header": whole(good[:1000] + bytes(range(256)) * 100),
        "PNG, cut in half": whole(png(2000, 2000)[:2000]),
        "PNG of 60,000 x 60,000, header alone": whole(png(60_000, 60_000, rows=0)),
        "PNG of 20,000 x 20,000 in 1 MB": whole(png(20_000, 20_000)),
        "PNG of 8,000 x 8,000, within the limit": whole(png(8_000, 8_000)),
        "PNG of 1,000,000 x 1": whole(png(1_000_000, 1)),
        "GIF of 65,535 x 65,535": whole(b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + b"\x80\0\0" + bytes(800)),
        "TIFF that points beyond its end": whole(b"II*\0\xff\xff\xff\x7f" + bytes(100)),
        "npy of Python objects": whole(numpy),
        "text, HTML, zip": whole(b"PK\x03\x04<html>" * 1000),
        "nothing": whole(b""),
        "a type that is not known": whole(good, "application/x-www-form-urlencoded"),
        "1 GB declared, little sent": raw(head(10**9) + good),
        "1 GB declared, sent as fast as it goes": endless(head(10**9)),
        "chunks without end": endless(chunked_head(), b"10000\r\n" + bytes(65_536) + b"\r\n"),
        "a body that stops half-way": raw(head(10_000) + bytes(100)),
        "a byte of the body every half second": slowly(head(10_000), b"x"),
        "a byte of the headers every half second": slowly(b"POST /predict HTTP/1.1\r\nHost: localhost\r\nX-", b"x"),
        "a connection that is silent": raw(b""),
        "gone in the middle of the body": abrupt(head(100_000) + bytes(5_000)),
        "an answer that is not read": abrupt(head(len(good)) + good),
        "headers of 1 MB": raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 10**6 + b"\r\n\r\n"),
        "two lengths": raw(head(10)[:-2] + b"Content-Length: 20\r\n\r\n" + bytes(20)),
        "negative length": raw(head(-1) + bytes(20)),
        "garbage between requests": raw(head(len(good)) + good + b"\0\xff\r\n\r\n" * 1000),
        "500 requests at once on one connection": raw((head(4) + b"none") * 500),
        "a form without its end": whole(part + good, FORM),
        "a form of 10,000 parts": whole((part + b"x\r\n") * 10_000 + b"--b--\r\n", FORM),
        "a part with 100,000 headers": whole(b"--b\r\n" + b"A: b\r\n" * 100_000, FORM),
        "a form that is none": whole(good, FORM),
        "JSON, 1,000,000 lists deep": whole(b"[" * 10**6, JSON),
        "JSON, a million numbers": whole(b'{"images": [' + b"1," * 10**6 + b"1]}", JSON),
        "JSON, not base64": whole(json.dumps({"images": ["!" + texts]}).encode(), JSON),
        "JSON, a path": whole(b'{"images": ["/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/"]}', JSON),
        "a name of another host": raw(b"POST /predict HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n"),
        "a path out of the page's folder": raw(b"GET /..%2f..%2fapp.py HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        "not HTTP": raw(bytes(range(256)) * 40),
    }  # fmt: skip


def png(width: int, height: int, rows: int | None = None) -> bytes:
    """A black RGB image, of which so many rows are there (all)."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * width)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )


def head(length: int, kind: str = JPEG) -> bytes:
    lines = "POST /predict HTTP/1.1", "Host: localhost", f"Content-Type: {kind}", f"Content-Length: {length}", "", ""
    return "\r\n".join(lines).encode()


def chunked_head() -> bytes:
    return head(0).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")


def whole(body: bytes, kind: str = JPEG) -> Sends:
    return raw(head(len(body), kind) + body)


def raw(data: bytes) -> Sends:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()

    return send


def endless(start: bytes, chunk: bytes = bytes(65_536)) -> Sends:
    """Sends until the server closes the connection, or has had 300 MB."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for _ in range(300_000_000 // len(chunk)):
            writer.write(chunk)
            await writer.drain()

    return send


def slowly(start: bytes, byte: bytes) -> Sends:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while not writer.is_closing():
            writer.write(byte)
            await writer.drain()
            await asyncio.sleep(0.5)

    return send


def abrupt(data: bytes) -> Sends:
    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        writer.transport.abort()

    return send


async def attack(host: Server, sends: dict[str, Sends], count: int, outcomes: dict[str, Counter[str]]) -> None:
    names = list(sends)
    work: Iterator[str] = iter([names[number % len(names)] for number in range(count)])

    async def attacker() -> None:
        for name in work:
            outcomes[name][await outcome(host, sends[name])] += 1

    await asyncio.gather(*(attacker() for _ in range(AT_A_TIME)))


async def outcome(host: Server, send: Sends) -> str:
    """Sends one request; returns the status of the answer, `closed` without one, or `open` after `PATIENCE`."""
    place = urlsplit(host.address)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    sending = asyncio.ensure_future(send(reader, writer))
    try:
        line = await asyncio.wait_for(reader.readline(), PATIENCE)
        return line.split()[1].decode() if line else "closed"
    except ConnectionError:
        return "closed"
    except asyncio.TimeoutError:
        return "open"
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
        writer.close()


def predict(host: Server, image: bytes) -> Any:
    """Returns the prediction, with scores rounded as far as they vary with the images of a batch."""
    answer = urlopen(Request(f"{host.address}/predict", image, {"Content-Type": JPEG}), timeout=60)
    return json.load(answer, parse_float=lambda text: round(float(text), 3))


def memory_mb(host: Server) -> float:
    """The server's resident memory in 10^6 bytes."""
    text = urlopen(f"{host.address}/metrics", timeout=10).read().decode()
    return float(text.rpartition("process_resident_memory_bytes ")[2]) / 1e6


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks serve_hostile")
    parser.add_argument("model")
    parser.add_argument("--image", type=Path, required=True)
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--write", action="store_true", help="writes benchmarks/results/serve_hostile.json")
    return parser
