"""Refused requests."""

from __future__ import annotations

from resnet_tl.serve.refused import Refused


def test_only_a_lack_of_room_ends_by_itself() -> None:
    assert Refused(503, "full").headers == {"Retry-After": "1"}
    assert Refused(422, "not an image").headers == {}
