from __future__ import annotations

from resnet_tl.weights.report import Report, abbreviated


def test_the_report_is_a_few_lines() -> None:
    report = Report(
        "r.pth",
        loaded=["bn1.weight", "bn1.bias", "fc.weight"],
        adapted={"conv1.weight": "from 3 to 1 input channels"},
        skipped={"head.thresholds": "why"},
        missing=["fc.bias", "bn1.num_batches_tracked"],
        unexpected=["a", "b", "c", "d"],
        notes=["under 'state_dict'", "in float16"],
    )
    assert str(report).splitlines() == [
        "Weights from r.pth (under 'state_dict'; in float16)",
        "  loaded: 3 of 3 tensors of the trunk and the classifier",
        "  adapted: conv1.weight: from 3 to 1 input channels",
        "  skipped: head.thresholds: why",
        "  missing: fc.bias: keep their initial values",
        "  unexpected: a, b, c and 1 more: in the file, not in the network",
    ]


def test_the_share_counts_the_trunk_without_its_counters() -> None:
    report = Report(
        "x",
        loaded=["conv1.weight", "bn1.num_batches_tracked", "fc.weight"],
        missing=["bn1.weight", "fc.bias", "layer1.0.bn1.num_batches_tracked"],
        misshapen={"bn1.bias": "[2], not [3]", "head.x": "[2], not [3]"},
    )
    assert report.unfilled == ["bn1.weight", "bn1.bias"]
    assert report.share == 1 / 3
    assert Report("x", missing=["conv1.weight"]).share == 0


def test_names_are_abbreviated_after_three() -> None:
    assert abbreviated(["a", "b", "c"]) == "a, b, c"
    assert abbreviated([str(number) for number in range(100)]) == "0, 1, 2 and 97 more"
