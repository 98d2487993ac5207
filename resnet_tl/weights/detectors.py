"""torchvision's detectors: their keys in our networks, and what their published files leave unsaid.

The one table of names. Files have either of two layouts: that of COCO_V1's first files, and the one that torchvision
writes today, in which each convolution with what follows it is a sequence of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

BODY, NECK = "backbone.body.", "backbone.fpn."

TABLE: tuple[tuple[str, str], ...] = (
    (r"backbone\.body\.(.+)", r"\1"),
    # pyramid: the n-th block sits on the n-th level of the trunk that it reads
    (r"backbone\.fpn\.inner_blocks\.(\d+)\.(weight|bias)", r"neck.top_down.lateral.c<\1>.0.\2"),
    (r"backbone\.fpn\.inner_blocks\.(\d+)\.([01]\..+)", r"neck.top_down.lateral.c<\1>.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d+)\.(weight|bias)", r"neck.top_down.smooth.p<\1>.0.\2"),
    (r"backbone\.fpn\.layer_blocks\.(\d+)\.([01]\..+)", r"neck.top_down.smooth.p<\1>.\2"),
    (r"backbone\.fpn\.extra_blocks\.(p\d)\.(.+)", r"neck.beyond.convs.\1.\2"),
    # RetinaNet and FCOS: the n-th layer of a tower, or layer m of its n-th block
    (r"head\.classification_head\.conv\.(\d+)\.(weight|bias)", r"head.what.\1.\2"),
    (r"head\.classification_head\.conv\.(\d+)\.([01])\.(.+)", r"head.what.<\1+\2>.\3"),
    (r"head\.regression_head\.conv\.(\d+)\.(weight|bias)", r"head.where.\1.\2"),
    (r"head\.regression_head\.conv\.(\d+)\.([01])\.(.+)", r"head.where.<\1+\2>.\3"),
    (r"head\.classification_head\.cls_logits\.(.+)", r"head.logits.\1"),
    (r"head\.regression_head\.bbox_reg\.(.+)", r"head.box.\1"),
    (r"head\.regression_head\.bbox_ctrness\.(.+)", r"head.centerness.\1"),
    # Faster and Mask R-CNN: our head holds torchvision's own parts
    (r"rpn\.head\.conv\.(weight|bias)", r"head.rpn.head.conv.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(.+)", r"head.roi_heads.mask_head.<\1-1>.0.\2"),
    (r"(rpn|roi_heads)\.(.+)", r"head.\1.\2"),
)

NORM_EPS = {
    "retinanet_resnet50_fpn.COCO_V1": 0.0,
    "fasterrcnn_resnet50_fpn.COCO_V1": 0.0,
    "maskrcnn_resnet50_fpn.COCO_V1": 0.0,
}
"""Of the frozen norms that published files were trained with, where it is not the usual 1e-5 (torchvision sets it by
`overwrite_eps`; its FCOS is younger and has the usual one)."""


def holds_detector(content: Mapping[Any, Any]) -> bool:
    """Whether a file's content is a detector of torchvision's, or one is nested in it."""
    nested = (value for value in content.values() if isinstance(value, Mapping))
    return _is_detector(content) or any(holds_detector(value) for value in nested)


def in_our_keys(content: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """A file's content, with the keys of a detector of torchvision's replaced by ours wherever one is nested in it."""
    if _is_detector(content):
        return _translated({key: value for key, value in content.items() if isinstance(value, Tensor)})
    return {key: in_our_keys(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _is_detector(content: Mapping[Any, Any]) -> bool:
    return any(isinstance(key, str) and key.startswith(NECK) for key in content)


def _translated(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    blocks = {match[1] for key in tensors if (match := re.match(r"backbone\.fpn\.inner_blocks\.(\d+)\.", key))}
    first = 6 - len(blocks)  # the deepest sits on c5
    with_norm = any(re.match(r"head\.\w+\.conv\.\d+\.1\.", key) for key in tensors)
    return {our_key(key, first, layers=3 if with_norm else 2): tensor for key, tensor in tensors.items()}


def our_key(key: str, first: int, layers: int) -> str:
    """Our public key for torchvision's; others stay as they are.

    Args:
        first: the trunk's level that the pyramid's first block reads: 3 for c3.
        layers: of a block of a tower: convolution, norm where there is one, ReLU.
    """
    for pattern, ours in TABLE:
        match = re.fullmatch(pattern, key)
        if match:
            return _with_numbers(match.expand(ours), first, layers)
    return key


def _with_numbers(key: str, first: int, layers: int) -> str:
    """`c<0>` -> c3, `<1+0>` -> 3, `<4-1>` -> 3."""
    key = re.sub(r"<(\d+)>", lambda n: str(first + int(n[1])), key)
    key = re.sub(r"<(\d+)\+(\d)>", lambda n: str(layers * int(n[1]) + int(n[2])), key)
    return re.sub(r"<(\d+)-1>", lambda n: str(int(n[1]) - 1), key)
