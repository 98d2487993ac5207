"""The recipe's `tracking` section."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tracking:
    """How often a run is kept, and where else it is written to, beside its own folder.

    Args:
        checkpoint_every: optimizer steps between two writings of last.ckpt; null: it is written after epochs alone.
        wandb: to Weights & Biases; without a key the run is kept offline, for `wandb sync` to send later.
        project, entity, name, tags: of the W&B run; the name is the run folder's unless given.
        tensorboard: event files in the run folder (needs `pip install tensorboard`).
    """

    checkpoint_every: int | None = 500
    wandb: bool = False
    project: str = "resnet_tl"
    entity: str | None = None
    name: str | None = None
    tags: list[str] = field(default_factory=list)
    tensorboard: bool = False
