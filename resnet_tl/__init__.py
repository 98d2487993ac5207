"""Fine-tune a ResNet on your own images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from resnet_tl.models.network import Network as Network
    from resnet_tl.models.resnet import ResNet
    from resnet_tl.prediction.load import AnyPredictor
    from resnet_tl.tuning.callback import FineTuning as FineTuning

__version__ = "0.1.0"
__all__ = ["FineTuning", "Network", "backbone", "load"]


def backbone(name: str, weights: str | None = None, **options: Any) -> ResNet:
    """A ResNet without a classifier, ready to sit in any model.

    Args:
        name: a variant, `resnet18` ... `resnet1202_cifar`; `resnet_tl.models.variants.VARIANTS` lists them.
        weights: what to load: a file, `builtin/...`, `timm/...`, `torchvision/...`, a URL; None leaves it random.
        options: of `resnet_tl.models.resnet.ResNet`: `in_channels`, `output_stride`, `levels`, `norm`, ...

    Imports torch alone, unless `weights` names a library (`timm/...`, `torchvision/...`).
    """
    from resnet_tl.models.resnet import resnet, shapes_by_variant

    trunk = resnet(name, **options)
    if weights is not None:
        from resnet_tl.weights.load import load_weights

        record, report = load_weights(trunk, weights, candidates=shapes_by_variant)
        trunk.preprocessing = record.preprocessing
        print(report)
    return trunk


def load(path: str, **options: Any) -> AnyPredictor:
    """A ready predictor from a run folder or checkpoint: `load(path).predict(files_or_arrays)`."""
    from resnet_tl.prediction.load import load

    return load(path, **options)


def __getattr__(name: str) -> Any:
    if name == "FineTuning":
        from resnet_tl.tuning.callback import FineTuning

        return FineTuning
    if name == "Network":
        from resnet_tl.models.network import Network

        return Network
    raise AttributeError(f"module 'resnet_tl' has no attribute {name!r}")
