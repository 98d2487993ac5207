"""BSS, batch spectral shrinkage (Chen et al., "Catastrophic forgetting meets negative transfer", NeurIPS 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from resnet_tl.ranges import NonNegativeFloat, PositiveInt, checked
from resnet_tl.tuning.regularisers.base import Regulariser, Step


@checked("regulariser")
class BSS(Regulariser):
    """Shrinks the smallest singular values of the features of a batch: directions that few images use, and that
    transfer badly.

    The term is `strength` times the sum of the `k` smallest squared singular values of the matrix of features `[N, C]`
    that the classifier reads. It depends on the batch as a whole: with several ranks it is
    the mean of those of their batches.

    Args:
        strength: eta of the paper; the default is that of the authors' library (thuml/Transfer-Learning-Library).
        k: number of singular values; 1 as in that library.
    """

    name = "bss"
    reads = ("features",)
    splits = False

    def __init__(self, strength: NonNegativeFloat = 0.001, k: PositiveInt = 1) -> None:
        self.strength, self.k = strength, k

    def penalty(self, step: Step) -> Tensor:
        assert step.network.features is not None
        return self.strength * smallest_squared(step.network.features, self.k)


def smallest_squared(features: Tensor, k: int) -> Tensor:
    """Returns the sum of the `k` smallest squared singular values of `[N, C]`; NaN for values that are not finite."""
    # They are the eigenvalues of the smaller Gram matrix: for a batch far faster than a singular value decomposition,
    # and the gradient of eigenvalues alone divides by no difference of them.
    gram = features @ features.T if len(features) <= features.shape[1] else features.T @ features
    finite = gram.isfinite().all()
    safe = torch.where(finite, gram, torch.eye(len(gram), dtype=gram.dtype, device=gram.device))  # LAPACK would raise
    return torch.linalg.eigvalsh(safe)[:k].clamp(min=0).sum() + 0 * gram.detach().sum()  # NaN if it is not finite
