"""Whether timm builds a network of ours: tried, by its logits."""

from __future__ import annotations

from typing import Any

import torch

from resnet_tl.checkpoint import Bundle
from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Network, public_keys

POOLS = ("avg", "max", "avgmax")
"""Those that timm has, too, by the same names."""
LIMIT = 1e-4
"""The largest difference of logits, in units of their standard deviation."""


def timm_arguments(saved: Bundle, network: Network) -> dict[str, Any] | None:
    """Returns the arguments by which timm builds the network; None if it has none whose logits are equal."""
    import timm

    backbone, head = saved.recipe["model"]["init_args"]["backbone"]["name"], network.head
    if not isinstance(head, LinearHead) or head.condensed not in POOLS or not timm.is_model(backbone):
        return None
    arguments: dict[str, Any] = {"in_chans": len(network.mean), "global_pool": head.condensed}
    arguments = {key: value for key, value in arguments.items() if value not in (3, "avg")}
    peer = timm.create_model(backbone, num_classes=len(saved.classes), **arguments).eval()
    state = network.state_dict()
    weights = {name: state[key] for key, name in public_keys(network).items() if not name.startswith("head.")}
    if peer.state_dict().keys() != weights.keys():
        return None
    peer.load_state_dict(weights)
    side = max(saved.preprocessing.size, 32)
    images = torch.rand((2, len(network.mean), side, side), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        ours, theirs = network.run(images), peer(images)
    return arguments if bool((ours - theirs).abs().max() <= LIMIT * ours.std().clamp(min=1)) else None
