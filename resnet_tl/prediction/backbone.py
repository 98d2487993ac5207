"""A predictor around the weights of a backbone alone, for embeddings."""

from __future__ import annotations

from resnet_tl.models.heads.classification import LinearHead
from resnet_tl.models.network import Backbone, Network, build, public_keys
from resnet_tl.models.resnet import shapes_by_variant
from resnet_tl.prediction.classification import ClassPredictor
from resnet_tl.weights.load import load_weights


def backbone_predictor(weights: str, name: str, *, device: str = "cpu", batch_size: int = 32) -> ClassPredictor:
    """Returns a predictor whose trunk has the weights, with their preprocessing. Its classifier is not trained: it is
    for `resnet_tl.prediction.embedding.embed`.

    Args:
        weights: a file, `builtin/...`, `timm/...`, `torchvision/...`, or a run, as `model.backbone.weights` takes them.
        name: of the backbone, `resnet50`, or the import path of a custom trunk.

    Raises:
        WeightsError: the weights are not found, or are another network's.
        RecipeError: there is no such backbone.
    """
    return ClassPredictor(backbone_network(weights, name), ["untrained"], device=device, batch_size=batch_size)


def backbone_network(weights: str | None, name: str, in_channels: int = 3) -> Network:
    """Returns the network of `backbone_predictor`, for images of so many channels; without weights it is random."""
    network = build(Backbone(name, in_channels=in_channels), None, LinearHead, ["untrained"])
    if weights is not None:
        keys = {key: public for key, public in public_keys(network).items() if key.startswith("trunk.")}
        record, _ = load_weights(network, weights, keys=keys, candidates=shapes_by_variant)
        network.set_preprocessing(record.preprocessing)
    return network
