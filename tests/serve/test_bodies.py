"""Bodies: within limits, in memory, taken apart into images."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from resnet_tl.serve.bodies import Intake, images_in
from resnet_tl.serve.refused import Refused
from resnet_tl.serve.settings import Settings

FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n\r\n'
END = b"\r\n--b--\r\n"


@given(st.lists(st.binary(min_size=1), min_size=1, max_size=4))
def test_forms_and_json_give_back_the_bytes(images: list[bytes]) -> None:
    sent = httpx.Request("POST", "http://a", files=[("files", ("x.jpg", image)) for image in images])
    assert images_in(sent.read(), sent.headers["content-type"], 4) == images
    text = json.dumps({"images": [base64.b64encode(image).decode() for image in images]})
    assert images_in(text.encode(), "application/json; charset=utf-8", 4) == images


@given(st.binary(min_size=1), st.sampled_from([FORM, "multipart/form-data", "application/json", "image/png", "text/x"]))
def test_any_bytes_give_images_or_a_sentence(body: bytes, kind: str) -> None:
    if kind == "image/png":
        assert images_in(body, kind, 2) == [body]
        return
    with pytest.raises(Refused) as caught:
        images_in(body, kind, 2)
    assert caught.value.status in (415, 422)
    assert "\n" not in caught.value.sentence


@pytest.mark.parametrize(
    ("body", "kind", "status", "sentence"),
    [
        (b"", "image/png", 422, "the body is empty"),
        (b"x", "", 415, "the Content-Type is 'missing'"),
        (PART + b"x", FORM, 422, "cut off"),
        (PART + b"x\r\n" + PART + b"x\r\n" + PART + b"x" + END, FORM, 422, "too many images: expected at most 2"),
        (
            PART.replace(b"files", b"image") + b"x" + END,
            FORM,
            422,
            "a field 'image'; expected images in the field 'files'",
        ),
        (b"--b\r\n" + b"A: b\r\n" * 1000, FORM, 422, "not a valid form"),
        (b"--b--\r\n", FORM, 422, "no image in the body; expected 1 to 2"),
        (b"x", "multipart/form-data", 422, "no boundary"),
        (b"[" * 100_000, "application/json", 422, "the JSON has too many parts"),
        (b"[" * 50, "application/json", 422, "not valid JSON"),
        (b'{"images": "a.jpg"}', "application/json", 422, 'expected {"images": ["<base64>", ...]}'),
        (b'{"images": ["QQ==", "/etc/passwd!"]}', "application/json", 422, "image 1: not valid base64"),
        (b'{"images": []}', "application/json", 422, "no image"),
        (b'{"images": ["QQ==", "QQ==", "QQ=="]}', "application/json", 422, "too many images"),
    ],
)
def test_what_is_refused(body: bytes, kind: str, status: int, sentence: str) -> None:
    with pytest.raises(Refused) as caught:
        images_in(body, kind, 2)
    assert caught.value.status == status
    assert sentence in caught.value.sentence


def received(chunks: Sequence[bytes], declared: int | None = None, stops: bool = False) -> Request:
    """A request whose body comes in chunks; stops: the last one never comes."""
    waiting = list(chunks)

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.sleep(60 if stops else 0)
        chunk = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(waiting) or stops}

    headers = [] if declared is None else [(b"content-length", str(declared).encode())]
    return Request({"type": "http", "method": "POST", "headers": headers}, receive)


async def read(intake: Intake, request: Request) -> tuple[bytes, int]:
    async with intake.body(request) as body:
        return body, intake.held


def test_a_body_is_held_while_it_is_used() -> None:
    intake = Intake(Settings())
    assert asyncio.run(read(intake, received([b"ab", b"c"]))) == (b"abc", 3)
    assert intake.held == 0


@pytest.mark.parametrize(
    ("request_", "settings", "status"),
    [
        (received([], declared=11, stops=True), {"max_bytes": 10}, 413),
        (received([b"x" * 6, b"x" * 6], stops=True), {"max_bytes": 10}, 413),
        (received([b"x"], stops=True), {"timeout_s": 1}, 408),
        (received([b"x" * 6, b"x"]), {"held_bytes": 6}, 503),
    ],
)
def test_bodies_that_are_too_much(request_: Request, settings: dict[str, Any], status: int) -> None:
    intake = Intake(Settings(**settings))
    with pytest.raises(Refused) as caught:
        asyncio.run(read(intake, request_))
    assert caught.value.status == status
    assert intake.held == 0
