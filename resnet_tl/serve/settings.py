"""What a server allows."""

from __future__ import annotations

from dataclasses import dataclass, fields

from resnet_tl.errors import RecipeError

MIB = 2**20


@dataclass(frozen=True)
class Settings:
    """The limits of a server.

    max_bytes: of a request's body.
    max_pixels: of an image, by its header, before it is decoded; `RESNET_TL_MAX_PIXELS` may be lower.
    max_images: of a request.
    queue: images that are accepted and not yet answered; more are refused until there is room.
    held_bytes: of all bodies that are in memory at a time.
    deadline_ms: how long an image waits for others to go through the network with it, in milliseconds.
    timeout_s: how long a client may take to send a request, and the server to predict it, in seconds.
    hosts: the names that a browser may call this server by; None: any.
    """

    max_bytes: int = 32 * MIB
    max_pixels: int = 2**26
    max_images: int = 32
    queue: int = 128
    held_bytes: int = 512 * MIB
    deadline_ms: float = 5
    timeout_s: float = 30
    hosts: frozenset[str] | None = None

    def __post_init__(self) -> None:
        """Raises RecipeError for a value out of range."""
        for field in fields(self):
            value = getattr(self, field.name)
            least = 0 if field.name == "deadline_ms" else 1
            if field.name != "hosts" and not value >= least:
                raise RecipeError(f"{field.name}: {value!r}; expected {least} or more")
