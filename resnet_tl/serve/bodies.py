"""Request bodies: read into memory within limits, never written to disk, and taken apart into the bytes of images."""

from __future__ import annotations

import asyncio
import json
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

FIELD = "files"
"""Of a form, the field with images."""
SHAPE = 'expected {"images": ["<base64>", ...]}'
STRUCTURE = (b",", b"[", b"{")
"""What base64 does not have."""
SPARE = 100
EXPECTED = "an image file as the body (Content-Type: image/jpeg), a form with the field `files`, or JSON"


class Intake:
    """Reads bodies.

    Attributes:
        held: bytes of the bodies that are in memory now.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings, self.held = settings, 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Reads a request's body, which counts as held while inside.

        Raises:
            Refused: it is too large (413, before anything is read where its length is declared), comes too slowly
                (408), or other bodies have filled the memory that is set aside for them (503).
        """
        if _declared(request) > self.settings.max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        try:
            await self._read_in_time(request, chunks)
            yield b"".join(chunks)
        finally:
            self.held -= sum(map(len, chunks))

    async def _read_in_time(self, request: Request, chunks: list[bytes]) -> None:
        seconds = self.settings.timeout_s
        try:
            await asyncio.wait_for(self._read(request, chunks), seconds)
        except asyncio.TimeoutError:
            raise Refused(408, f"the body was not complete within {seconds:g} seconds") from None
        except ClientDisconnect:
            raise gone() from None

    async def _read(self, request: Request, chunks: list[bytes]) -> None:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self.settings.max_bytes:
                raise self._too_large()
            if self.held + len(chunk) > self.settings.held_bytes:
                raise Refused(503, "the server is full: other requests fill its memory; try again")
            chunks.append(chunk)
            self.held += len(chunk)

    def _too_large(self) -> Refused:
        return Refused(413, f"the body is too large: expected at most {self.settings.max_bytes:,} bytes")


def gone() -> Refused:
    """The end of a request whose client has closed the connection: nobody reads it."""
    return Refused(400, "the client has closed the connection")


def _declared(request: Request) -> int:
    """The length that a request's header states; 0 if there is none. The HTTP server has checked that it is one."""
    return int(request.headers.get("content-length", 0))


def is_file(content_type: str) -> bool:
    """Whether a body is the file of one image as it is, so that nothing has to be taken apart."""
    kind = _kind(content_type)
    return kind.startswith("image/") or kind == "application/octet-stream"


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def images_in(body: bytes, content_type: str, most: int) -> list[bytes]:
    """Returns the bytes of a body's images: at least one, at most `most`.

    Raises:
        Refused: it has another type (415), or is not valid (422).
    """
    if not body:
        raise Refused(422, f"the body is empty; expected {EXPECTED}")
    kind = _kind(content_type)
    if is_file(content_type):
        return [body]
    if kind == "multipart/form-data":
        images = _from_form(body, content_type, most)
    elif kind == "application/json":
        images = _from_json(body, most)
    else:
        raise Refused(415, f"the Content-Type is {kind or 'missing'!r}; expected {EXPECTED}")
    if not images:
        raise Refused(422, f"there is no image in the body; expected 1 to {most}")
    return images


def _from_form(body: bytes, content_type: str, most: int) -> list[bytes]:
    boundary = parse_options_header(content_type)[1].get(b"boundary")
    if not boundary:
        raise Refused(422, "the form has no boundary in its Content-Type")
    form = _Form(most)
    try:
        MultipartParser(boundary, form.callbacks()).write(body)
    except FormParserError as error:
        raise Refused(422, f"not a valid form ({error})") from None
    if not form.complete:
        raise Refused(422, "the form is cut off: its last boundary is missing")
    return [b"".join(part) for part in form.parts]


class _Form:
    """Collects the parts of a form in memory. (Starlette's own parser writes large ones to temporary files.)"""

    def __init__(self, most: int) -> None:
        self.most, self.complete = most, False
        self.parts: list[list[bytes]] = []
        self.header, self.value, self.name = b"", b"", b""

    def callbacks(self) -> Any:
        names = ("part_begin", "header_field", "header_value", "header_end", "headers_finished", "part_data", "end")
        return {f"on_{name}": getattr(self, name) for name in names}

    def part_begin(self) -> None:
        if len(self.parts) == self.most:
            raise _too_many(self.most)
        self.parts.append([])
        self.name = b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.header += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        if self.header.lower() == b"content-disposition":
            self.name = parse_options_header(self.value)[1].get(b"name", b"")
        self.header, self.value = b"", b""

    def headers_finished(self) -> None:
        if self.name != FIELD.encode():
            name = self.name.decode("utf-8", "replace")
            raise Refused(422, f"the form has a field {name[:40]!r}; expected images in the field {FIELD!r}")

    def part_data(self, data: bytes, start: int, end: int) -> None:
        self.parts[-1].append(data[start:end])

    def end(self) -> None:
        self.complete = True


def _from_json(body: bytes, most: int) -> list[bytes]:
    if sum(map(body.count, STRUCTURE)) > most + SPARE:  # as Python objects, lists of lists take 20 times as much memory
        raise Refused(422, f"the JSON has too many parts: {SHAPE} with at most {most} images")
    try:
        content = json.loads(body)
    except ValueError as error:
        raise Refused(422, f"not valid JSON ({error})") from None
    texts = content.get("images") if isinstance(content, dict) else None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refused(422, f"not the JSON that is expected: {SHAPE}")
    if len(texts) > most:
        raise _too_many(most)
    return [_from_base64(text, number) for number, text in enumerate(texts)]


def _from_base64(text: str, number: int) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise Refused(422, f"image {number}: not valid base64; expected the bytes of an image file") from None


def _too_many(most: int) -> Refused:
    return Refused(422, f"the body has too many images: expected at most {most}")
