"""Which form an export has, and where it goes."""

from __future__ import annotations

from pathlib import Path

import pytest

from resnet_tl.errors import RecipeError, RunError
from resnet_tl.export.forms import FORMS, Form, choose_form


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_a_form_is_chosen_by_its_name_or_its_ending(form: Form) -> None:
    assert choose_form(form.name, None) is form
    assert choose_form(form.name, Path(f"new/birds{form.ending}")) is form
    if form.ending:
        assert choose_form(None, Path(f"birds{form.ending}")) is form


@pytest.mark.parametrize(
    ("name", "out", "sentence"),
    [
        (None, None, "export needs a form, --to onnx.*, or a new file, --out FILE.onnx"),
        ("tflite", None, "--to tflite: expected onnx"),
        (None, "birds.tflite", "--out birds.tflite: expected a name that ends in .onnx.*, or --to FORM"),
        (None, "birds", "--out birds: expected a name that ends in"),
        ("onnx", "birds", "--to onnx --out birds: expected a name that ends in .onnx"),
        ("onnx", "birds.pt2", "--to onnx --out birds.pt2: expected a name that ends in .onnx"),
        ("openvino", "birds.xml", "--to openvino --out birds.xml: expected the name of a folder"),
        ("safetensors", "birds.safetensors", "--to safetensors --out birds.safetensors: expected the name of a folder"),
    ],
)
def test_words_that_name_no_form_or_two_are_refused(name: str | None, out: str | None, sentence: str) -> None:
    with pytest.raises(RecipeError, match=f"^{sentence}"):
        choose_form(name, None if out is None else Path(out))


def test_folders_have_names_without_the_ending_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Form("folder", "", lambda subject, path: path.mkdir())
    monkeypatch.setattr("resnet_tl.export.forms.FORMS", (*FORMS, folder))
    assert choose_form("folder", Path("birds.v2")) is folder
    assert folder.default_path("runs/last.ckpt") == Path("runs/exports/folder")
    with pytest.raises(RecipeError, match=r"--to folder --out birds\.onnx: expected the name of a folder"):
        choose_form("folder", Path("birds.onnx"))


def test_exports_go_into_the_run_or_next_to_the_checkpoint(tmp_path: Path) -> None:
    form = choose_form("onnx", None)
    assert form.default_path(tmp_path) == tmp_path / "exports" / "model.onnx"
    assert form.default_path(tmp_path / "last.ckpt") == tmp_path / "exports" / "model.onnx"
    with pytest.raises(RecipeError, match="hf://me/birds is not on this machine: name the new file or folder"):
        form.default_path("hf://me/birds")


def test_a_package_that_is_missing_is_named_with_its_extra() -> None:
    form = Form("x", "", lambda subject, path: None, ("no_such_package",), "onnx")
    with pytest.raises(RunError, match=r"an export to x needs no_such_package: pip install 'resnet-tl\[onnx\]'"):
        form.check()
