"""A fine-tune with Lightning's BackboneFinetuning and torchvision's ResNet-18, data set and transforms, as documented.

python -m benchmarks.finetune_lightning PHOTOS OUT EPOCHS LR
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BackboneFinetuning, ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.models import resnet18
from torchvision.transforms import v2

from benchmarks.finetune import BATCH, CLASSES, SIZE, WORKERS

NORMALISE = v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TO_TENSOR = (v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), NORMALISE)
TRANSFORMS = {
    "train": v2.Compose([v2.RandomResizedCrop(SIZE), v2.RandomHorizontalFlip(), *TO_TENSOR]),
    "val": v2.Compose([v2.Resize(256), v2.CenterCrop(SIZE), *TO_TENSOR]),
}


class Classifier(LightningModule):
    """`backbone` is what the callback freezes first."""

    def __init__(self, epochs: int, lr: float) -> None:
        super().__init__()
        network = resnet18(num_classes=CLASSES)
        self.backbone = nn.Sequential(*list(network.children())[:-1], nn.Flatten())
        self.head, self.epochs, self.lr = network.fc, epochs, lr

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        return nn.functional.cross_entropy(self.head(self.backbone(batch[0])), batch[1])

    def validation_step(self, batch: list[Tensor], batch_idx: int) -> None:
        right = self.head(self.backbone(batch[0])).argmax(1) == batch[1]
        self.log("acc", right.float().mean(), batch_size=len(right))

    def configure_optimizers(self) -> tuple[list[torch.optim.Optimizer], list[torch.optim.lr_scheduler.LRScheduler]]:
        trained = [parameter for parameter in self.parameters() if parameter.requires_grad]
        optimizer = torch.optim.SGD(trained, self.lr, momentum=0.9)
        return [optimizer], [torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.epochs)]


def main(photos: Path, out: str, epochs: int, lr: float) -> None:
    loaders = [
        DataLoader(ImageFolder(photos / split, TRANSFORMS[split]), BATCH, shuffle=split == "train", num_workers=WORKERS)
        for split in ("train", "val")
    ]
    finetuning = BackboneFinetuning(unfreeze_backbone_at_epoch=1, backbone_initial_lr=lr, verbose=False)
    best = ModelCheckpoint(out, monitor="acc", mode="max")
    options = {"accelerator": "cpu", "logger": False, "log_every_n_steps": 10}
    Trainer(max_epochs=epochs, callbacks=[finetuning, best], **options).fit(Classifier(epochs, lr), *loaders)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
