"""torchvision's detectors: the table of their keys, and facts that their published files do not state.

Files have one of two layouts: that of the first COCO_V1 files, and that of today's torchvision, in which each
convolution forms a sequence with the layers that follow it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from resnet_tl.weights.keys import Content

BODY, NECK = "backbone.body.", "backbone.fpn."

TABLE: tuple[tuple[str, str], ...] = (
    (r"backbone\.body\.(.+)", r"\1"),
    # pyramid: the n-th block reads the n-th of the trunk's levels
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
    # Faster and Mask R-CNN: the head consists of torchvision's parts
    (r"rpn\.head\.conv\.(weight|bias)", r"head.rpn.head.conv.0.0.\1"),
    (r"roi_heads\.mask_head\.mask_fcn(\d)\.(.+)", r"head.roi_heads.mask_head.<\1-1>.0.\2"),
    (r"(rpn|roi_heads)\.(.+)", r"head.\1.\2"),
)

NORM_EPS = {
    "retinanet_resnet50_fpn.COCO_V1": 0.0,
    "fasterrcnn_resnet50_fpn.COCO_V1": 0.0,
    "maskrcnn_resnet50_fpn.COCO_V1": 0.0,
}
"""eps of the frozen norms that published files were trained with, if it is not the usual 1e-5 (torchvision sets it by
`overwrite_eps`; its FCOS is younger and uses the usual one)."""


def holds_detector(content: Content) -> bool:
    """Returns whether a file's content is a torchvision detector, or contains one."""
    nested = (value for value in content.values() if isinstance(value, Mapping))
    return _is_detector(content) or any(holds_detector(value) for value in nested)


def to_native_keys(content: Content) -> Content:
    """Returns a file's content with the keys of torchvision detectors, wherever they are nested, renamed to those of
    `Network`."""
    if _is_detector(content):
        return _rename({key: value for key, value in content.items() if isinstance(value, Tensor)})
    return {key: to_native_keys(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def _is_detector(content: Content) -> bool:
    return any(isinstance(key, str) and key.startswith(NECK) for key in content)


def _rename(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # Blocks are numbered from 0 in the file, by level here; the number of blocks tells which level is the first.
    blocks = {match[1] for key in tensors if (match := re.match(r"backbone\.fpn\.inner_blocks\.(\d+)\.", key))}
    first = 6 - len(blocks)  # the deepest reads c5
    with_norm = any(re.match(r"head\.\w+\.conv\.\d+\.1\.", key) for key in tensors)
    return {native_key(key, first, layers=3 if with_norm else 2): tensor for key, tensor in tensors.items()}


def native_key(key: str, first: int, layers: int) -> str:
    """Returns the public key for torchvision's key; keys outside the table stay as they are.

    Args:
        first: the trunk's level that the pyramid's first block reads: 3 for c3.
        layers: number of layers in a block of a tower: convolution, norm if there is one, ReLU.
    """
    for pattern, template in TABLE:
        match = re.fullmatch(pattern, key)
        if match:
            return _evaluate_numbers(match.expand(template), first, layers)
    return key


def _evaluate_numbers(key: str, first: int, layers: int) -> str:
    """Evaluates the arithmetic in brackets: `c<0>` -> c3, `<1+0>` -> 3, `<4-1>` -> 3."""
    key = re.sub(r"<(\d+)>", lambda n: str(first + int(n[1])), key)
    key = re.sub(r"<(\d+)\+(\d)>", lambda n: str(layers * int(n[1]) + int(n[2])), key)
    return re.sub(r"<(\d+)-1>", lambda n: str(int(n[1]) - 1), key)
