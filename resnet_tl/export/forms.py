"""The forms of an export: how each is named, and what writes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from resnet_tl.checkpoint import Bundle
from resnet_tl.errors import RecipeError, RunError
from resnet_tl.export import int8, onnx, openvino, pt2, safetensors
from resnet_tl.export.graph import Graph
from resnet_tl.export.int8 import Cost
from resnet_tl.extras import require
from resnet_tl.models.network import Network
from resnet_tl.weights.publishers import HUB


@dataclass(frozen=True)
class Trial:
    """How a form is evaluated that does not compute what its checkpoint does.

    checkpoint: as it was named. overrides: of its recipe. trust_code: see `resnet_tl.load`.
    max_loss: by how much the score on the validation images may fall; None for the form's own limit.
    """

    checkpoint: str | Path
    overrides: Sequence[tuple[str, Any]] = ()
    max_loss: float | None = None
    trust_code: bool = False


@dataclass(frozen=True)
class Subject:
    """What is exported; each form takes of it what it needs.

    bundle, network: the checkpoint, as `read_network` returns it.
    example: images `[N, C, H, W]`, uint8, to trace `graph` with.
    outputs: names of what the graph returns.
    description: see `describe`.
    trial: for forms that are evaluated.
    """

    bundle: Bundle
    network: Network
    graph: Graph
    example: Tensor
    outputs: list[str]
    description: str
    trial: Trial


@dataclass(frozen=True)
class Form:
    """One kind of file or folder.

    ending: of the name of its files; empty for folders.
    write: writes a subject to a path that does not exist yet. Returns what that costs in accuracy; None of a form that
        computes what its checkpoint does, which is compared then. Raises RunError: the network cannot take this form.
    packages: what it needs, by the names that are imported, and the extra that has them.
    evaluated: whether `write` needs the images of the run.
    """

    name: str
    ending: str
    write: Callable[[Subject, Path], Cost | None]
    packages: tuple[str, ...] = ()
    extra: str = ""
    evaluated: bool = False

    def check(self) -> None:
        """Raises RunError if a package that it needs is not installed."""
        require(f"an export to {self.name}", *self.packages, extra=self.extra)

    def check_trial(self, trial: Trial) -> None:
        """Raises RecipeError if there are options for an evaluation that this form does not have, or wrong ones."""
        for key, _ in trial.overrides:
            if not key.startswith("data."):
                raise RecipeError(f"--{key}: unknown option")
        given = [f"--{key}" for key, _ in trial.overrides] + ([] if trial.max_loss is None else ["--max-loss"])
        if given and not self.evaluated:
            names = " or ".join(form.name for form in FORMS if form.evaluated)
            raise RecipeError(f"{given[0]} is for --to {names}, not for {self.name}; remove it")
        if trial.max_loss is not None and not 0 <= trial.max_loss <= 1:
            raise RecipeError(f"--max-loss {trial.max_loss:g}: expected 0 to 1, as 0.02 for 2 points")

    def default_path(self, run: str | Path) -> Path:
        """Returns where an export of a run folder or checkpoint goes without `--out`."""
        if str(run).startswith(HUB):
            raise RecipeError(f"{run} is not on this machine: name the new file or folder, --out PATH")
        folder = Path(run) if Path(run).is_dir() else Path(run).parent
        return folder / "exports" / (f"model{self.ending}" if self.ending else self.name)


def _write_onnx(subject: Subject, path: Path) -> None:
    onnx.write_onnx(subject.graph, subject.example, subject.outputs, subject.description, path)


def _write_pt2(subject: Subject, path: Path) -> None:
    pt2.write_pt2(subject.graph, subject.example, subject.description, path)


def _write_compiled(subject: Subject, path: Path) -> None:
    pt2.write_compiled(subject.graph, subject.example, subject.description, path)


def _write_openvino(subject: Subject, path: Path) -> None:
    openvino.write_openvino(subject.graph, subject.example, subject.outputs, subject.description, path)


def _write_int8(subject: Subject, path: Path) -> Cost:
    if subject.graph.task == "regression":
        raise RunError(
            "int8 measures what it costs in points of a share, which errors of numbers are not; use openvino"
        )
    trial = subject.trial
    images = int8.training_images(trial.checkpoint, trial.overrides, trust_code=trial.trust_code)
    limit = int8.LIMIT if trial.max_loss is None else trial.max_loss
    with TemporaryDirectory() as folder:
        full = Path(folder) / "fp32"
        _write_openvino(subject, full)
        return int8.write_int8(full, images, trial.overrides, limit, path)


def _write_safetensors(subject: Subject, path: Path) -> None:
    path.mkdir()
    backbone = subject.bundle.recipe["model"]["init_args"]["backbone"]["name"]
    safetensors.write_folder(subject.bundle, subject.network, path, name=backbone)


FORMS = (
    Form("onnx", ".onnx", _write_onnx, onnx.PACKAGES, "onnx"),
    Form("pt2", ".pt2", _write_pt2),
    Form("openvino", "", _write_openvino, openvino.PACKAGES, "openvino"),
    Form("int8", "", _write_int8, int8.PACKAGES, "openvino", evaluated=True),
    Form("safetensors", "", _write_safetensors),
)
WITHIN = (".xml", ".bin", ".safetensors")
"""Endings of what is in the folders: none is the name of one."""
COMPILED = Form("pt2", ".pt2", _write_compiled)


def choose_form(name: str | None, out: Path | None, compiled: bool = False) -> Form:
    """Returns the form called `name`, or of files that end as `out` does.

    Raises:
        RecipeError: neither is given, there is no such form, the two contradict each other, or it has no compiled kind.
    """
    form = _named(name, out)
    if not compiled:
        return form
    if form.name != COMPILED.name:
        raise RecipeError(f"--compiled is for --to {COMPILED.name}, not for {form.name}")
    return COMPILED


def _named(name: str | None, out: Path | None) -> Form:
    names, endings = [form.name for form in FORMS], {form.ending: form for form in FORMS if form.ending}
    if name is None and out is None:
        raise RecipeError(f"export needs a form, --to {' or '.join(names)}, or a new file, --out FILE.onnx")
    if name is not None and name not in names:
        raise RecipeError(f"--to {name}: expected {' or '.join(names)}")
    if name is None:
        assert out is not None
        if out.suffix not in endings:
            raise RecipeError(f"--out {out}: expected a name that ends in {' or '.join(endings)}, or --to FORM")
        return endings[out.suffix]
    form = next(form for form in FORMS if form.name == name)
    if out is not None and out.suffix != form.ending and (form.ending or out.suffix in {*endings, *WITHIN}):
        expected = f"a name that ends in {form.ending}" if form.ending else "the name of a folder"
        raise RecipeError(f"--to {name} --out {out}: expected {expected}")
    return form
