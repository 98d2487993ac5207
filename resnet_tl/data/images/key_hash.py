"""Hashes of keys, the same in every process and on every machine."""

from __future__ import annotations

from hashlib import blake2b


def hash64(text: str) -> int:
    """Returns the same 64 bits for the same text on every machine."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")
