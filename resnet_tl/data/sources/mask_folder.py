"""Folders of images and of masks, in any layout and coding that can be told from the files."""

from __future__ import annotations

from collections.abc import Sequence

from resnet_tl.data.listings.masks import MaskSet
from resnet_tl.data.sources.class_list import find_class_file
from resnet_tl.data.sources.empty_val import refuse_empty_val
from resnet_tl.data.sources.findings import Findings
from resnet_tl.data.sources.mask_coding import decide
from resnet_tl.data.sources.mask_layout import find_files
from resnet_tl.data.sources.mask_pairing import pair_up
from resnet_tl.data.sources.mask_scan import scan_masks
from resnet_tl.data.sources.mask_set import checked_set
from resnet_tl.data.sources.tree import walk


def read_mask_folder(
    root: str,
    class_file: str | None = None,
    ignore: Sequence[int] | None = None,
    channels: int = 3,
    *,
    images: str | None = None,
    masks: str | None = None,
    known: Sequence[str] | None = None,
) -> MaskSet:
    """Reads images and masks: see `find_files` about where they are, `pair_up` about their names, `decide` about the
    meaning of their values.

    Args:
        root: a folder or a zip.
        class_file: class names, see `read_classes`; None: a file of the usual names in `root`, or the values found.
        ignore: pixel values that are ignored; None: 255, unless `decide` reads it as a class.
        channels: of the images.
        images, masks: globs below `root`.
        known: a checkpoint's classes, which the set may show in part.

    Raises:
        DataError: the set cannot be read at all; other faults are in its `faults`.
    """
    tree = walk(root)
    findings = Findings(tree.root)
    splits = pair_up(tree.root, find_files(tree, images, masks, findings), findings)
    refuse_empty_val(tree, splits, tree.files)
    scans = scan_masks(tree.root, splits, findings)
    classes, coding = decide(scans, class_file or find_class_file(tree), ignore, findings, known)
    return checked_set(classes, coding, splits, scans, findings, channels, all_shown=known is None)
