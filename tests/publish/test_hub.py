"""What is sent to the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from huggingface_hub import HfApi

from resnet_tl.errors import RunError, WeightsError
from resnet_tl.publish.hub import push


class FakeApi:
    """Takes the arguments that the real one does, and sends nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def create_repo(self, repo_id: str, **options: Any) -> str:
        self.calls.append(("create_repo", {"repo_id": repo_id, **options}))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, **options: Any) -> None:
        self.calls.append(("upload_folder", options))


def test_a_folder_goes_to_a_private_repository(tmp_path: Path) -> None:
    import inspect

    api = FakeApi()
    assert push(tmp_path, "hf://me/ants", cast(HfApi, api)) == "https://huggingface.co/me/ants"
    assert [name for name, _ in api.calls] == ["create_repo", "upload_folder"]
    assert api.calls[0][1] == {"repo_id": "me/ants", "private": True, "exist_ok": True}
    assert api.calls[1][1]["folder_path"] == tmp_path
    for name, options in api.calls:
        inspect.signature(getattr(HfApi, name)).bind(None, **options)


def test_refusals_are_sentences(tmp_path: Path) -> None:
    class Refusing(FakeApi):
        def upload_folder(self, **options: Any) -> None:
            raise OSError("401 Unauthorized\nmore")

    with pytest.raises(
        RunError, match="me/ants: cannot be pushed to the Hugging Face hub: 401 Unauthorized; the model"
    ):
        push(tmp_path, "hf://me/ants", cast(HfApi, Refusing()))
    with pytest.raises(WeightsError, match="expected hf://USER/NAME"):
        push(tmp_path, "ants", cast(HfApi, FakeApi()))
