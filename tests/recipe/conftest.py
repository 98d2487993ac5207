"""A small world of classes, as a project and its users write them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import pytest

from resnet_tl.recipe.schema import Field, Section

if TYPE_CHECKING:
    from nowhere import Unknown


class Head(ABC):
    @abstractmethod
    def loss(self) -> float: ...


class Flat(Head):
    def __init__(
        self, levels: list[int], classes: list[str], *, dropout: float = 0.0, pool: Literal["avg", "max"] = "avg"
    ) -> None:
        self.levels, self.classes, self.dropout, self.pool = levels, classes, dropout, pool

    def loss(self) -> float:
        return 0.0


class Deep(Flat):
    def __init__(self, levels: list[int], classes: list[str], *, hidden: int = 8, **options: Any) -> None:
        super().__init__(levels, classes, **options)
        self.hidden = hidden


class Starred(Flat):
    def __init__(self, *args: Any, extra: int = 1, **options: Any) -> None:
        super().__init__(*args, **options)
        self.extra = extra


class Fixed(Flat):
    def __init__(self, levels: list[int], classes: list[str], untyped: Unknown | None = None, **options: Any) -> None:
        super().__init__(levels, classes, pool="max", **options)
        self.untyped = untyped


class Towered(Flat):
    def __init__(
        self, levels: list[int], classes: list[str], *, hidden: tuple[int, ...] = (8, 4), **options: Any
    ) -> None:
        super().__init__(levels, classes, **options)
        self.hidden = hidden


@dataclass
class Phase:
    epochs: int | None = None
    train: list[str] | str = "all"


@dataclass
class Optimizer:
    name: str = "sgd"
    lr: float = 0.1
    betas: tuple[float, float] = (0.9, 0.99)
    options: dict[str, Any] = field(default_factory=dict)


class Task:
    def __init__(
        self,
        classes: list[str],
        head: Callable[[list[int], list[str]], Head] = Flat,
        phases: list[Phase] = [Phase()],  # noqa: B006
        optimizer: Optimizer = Optimizer(lr=0.3),
        mixup: float = 0.0,
    ) -> None:
        self.classes, self.head, self.phases, self.optimizer, self.mixup = classes, head, phases, optimizer, mixup


ItemT = TypeVar("ItemT")


@dataclass
class Found(Generic[ItemT]):
    items: list[ItemT]


class Data:
    def __init__(self, images: list[str], *, batch_size: int = 32, weights: list[float] | None = None) -> None:
        self.images, self.batch_size, self.weights = images, batch_size, weights


class Folder(Data):
    def __init__(self, root: str, **options: Any) -> None:
        super().__init__([root], **options)


class Listed(Data):
    """Only a base: no recipe can write what it takes."""

    def __init__(self, found: Found[str], **options: Any) -> None:
        super().__init__(found.items, **options)


class Table(Data):
    def __init__(self, csv: str, column: str = "label", **options: Any) -> None:
        super().__init__([csv], **options)


@pytest.fixture(scope="session")
def world() -> SimpleNamespace:
    return SimpleNamespace(**{name: value for name, value in globals().items() if isinstance(value, type)})


@pytest.fixture(scope="session")
def section() -> Section:
    return Section(
        {
            "seed": Field(int, 1),
            "model": Field(Callable[[list[str]], Task]),
            "data": Field(Data),
            "trainer": Field(
                Section(
                    {"max_epochs": Field(int | None, None), "precision": Field(Literal["auto", 32] | None, "auto")}
                ),
                {},
            ),
        }
    )
