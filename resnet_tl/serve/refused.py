"""Why a request is not answered with predictions: a status and one sentence."""

from __future__ import annotations

SOON = 1
"""Seconds after which a client that was refused for lack of room may try again."""


class Refused(Exception):
    """The answer to a request that is refused.

    Attributes:
        status: of HTTP. sentence: what is wrong, and what was expected.
    """

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.sentence = status, sentence

    @property
    def headers(self) -> dict[str, str]:
        return {"Retry-After": str(SOON)} if self.status == 503 else {}
