"""The Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi

from resnet_tl.errors import RunError
from resnet_tl.weights.publishers import hub_repository


def push(folder: Path, name: str, api: HfApi) -> str:
    """Uploads a published folder to `hf://USER/NAME`; a new repository is private. Returns its address.

    Raises:
        WeightsError: `name` has another form. RunError: the hub refuses, or cannot be reached.
    """
    repository = hub_repository(name)
    try:
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="resnet-tl publish")
    except OSError as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(
            f"{repository}: cannot be pushed to the Hugging Face hub: {reason}; the model is in {folder}"
        ) from None
    return str(address)
