"""One thing that is probably wrong with a set."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """One thing that is probably wrong.

    kind: a short name that findings of a kind share: `near-duplicate`.
    split: of the image; "" for a finding about the whole set.
    path: of the image (or annotation), or what else it is about: a class.
    text: what is wrong, to be read after `path: `.
    exclude: the key of an image that the set is better without; "" where excluding it helps nothing.
    """

    kind: str
    split: str
    path: str
    text: str
    exclude: str = ""
