"""Tables as text."""

from __future__ import annotations

from resnet_tl.cli.table_text import texts

SUMMARY = [
    {"metric": "miou", "name": "mean IoU", "value": 0.5, "low": 0.25, "high": 0.75},
    {"metric": "x", "name": "x", "value": None, "low": None, "high": None},
]
PER_CLASS = [
    {"class": "sky\x1b", "pixels": 12345, "iou": 0.5, "iou_low": 0.4, "iou_high": 0.6, "boundary_f1": 1.0},
    {"class": "car", "pixels": 0, "iou": None, "iou_low": None, "iou_high": None, "boundary_f1": None},
]


def test_scores_stand_with_their_intervals() -> None:
    assert list(texts({"summary": SUMMARY, "per_class": PER_CLASS})) == [
        "",
        "score     value   95 % interval",
        "mean IoU  0.500  0.250 to 0.750",
        "x             –",
        "",
        "class    pixels    iou  boundary f1",
        "sky\\x1b  12,345  0.500        1.000",
        "car           0      –            –",
    ]


def test_columns_named_by_classes_are_no_intervals() -> None:
    confusion = [{"true / predicted": name, "a": 1, "a_low": 2, "a_high": 3} for name in ("a", "a_low", "a_high")]
    lines = list(texts({"confusion": confusion}))
    assert lines[1:3] == ["true / predicted  a  a_low  a_high", "a                 1      2       3"]


def test_long_tables_are_named() -> None:
    confusion = [{"true / predicted": str(k)} for k in range(11)]
    lines = list(texts({"summary": SUMMARY * 11, "per_class": PER_CLASS * 11, "confusion": confusion}))
    assert lines[-1] == "not shown, but written by --tables DIR: per_class (22 rows), confusion (11 rows)"
    assert len(lines) == 1 + 1 + 22 + 2
