"""What a run reports at its end."""

from __future__ import annotations

from resnet_tl.run.closing import results, slow_loader


def test_the_best_and_the_last_epoch_have_a_line_each() -> None:
    best = {"epoch": 11, "step": 240, "val/loss": 0.21, "val/acc": 0.94118}
    final = {"epoch": 14, "step": 300, "val/loss": 0.24, "val/acc": 0.9}
    assert list(results("val/acc", best, final, (0.9, 0.975))) == [
        "best   epoch 12   val/acc 0.9412  (95 % interval 0.9 to 0.975)  val/loss 0.21",
        "final  epoch 15   val/acc 0.9  val/loss 0.24",
    ]


def test_a_slow_loader_is_a_sentence_with_the_change() -> None:
    assert slow_loader(0.45, 2, 16).startswith(
        "training waited for data in 45% of its time: raise data.num_workers (2, of 16 cores)"
    )
    assert "lower data.image_size" in slow_loader(0.45, 16, 16)
