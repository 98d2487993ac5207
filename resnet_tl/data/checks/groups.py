"""Groups (patients, videos, bursts) with images on both sides of a split."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from resnet_tl.data.listings.finding import Finding
from resnet_tl.data.listings.groups import shared_groups
from resnet_tl.data.listings.listing import Listing


def group_findings(listings: Mapping[str, Listing], rule: str | None) -> Iterator[Finding]:
    """rule: `data.group`; None: no groups are known."""
    for shared in shared_groups(listings, rule) if rule is not None else ():
        path = f"{listings[shared.other].root}/{shared.other_key}"
        text = f"is of group {shared.name!r}, as {shared.key} of {shared.split}"
        yield Finding("group in two splits", shared.other, path, text)
