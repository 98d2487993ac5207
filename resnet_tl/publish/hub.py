"""The Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from resnet_tl.errors import RunError
from resnet_tl.weights.publishers import first_line, hub_repository


def push(folder: Path, name: str, api: HfApi) -> str:
    """Uploads a published folder to `hf://USER/NAME`; a new repository is private. Returns its address.

    Raises:
        WeightsError: `name` has another form. RunError: the hub refuses, or cannot be reached.
    """
    repository = hub_repository(name)
    try:
        address = api.create_repo(repository, private=True, exist_ok=True)
        api.upload_folder(repo_id=repository, folder_path=folder, commit_message="resnet-tl publish")
    except Exception as error:  # OSError, ValueError (of the model card) and, without a network, its HTTP client's own
        raise RunError(
            f"{repository}: cannot be pushed to the Hugging Face hub: {_reason(error)}; the model is in {folder}"
        ) from None
    return str(address)


def _reason(error: Exception) -> str:
    if isinstance(error, ValueError):
        return " ".join(str(error).split())
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    advice = "; log in by `hf auth login` as who may write there" if status in (401, 403) else ""
    return first_line(error) + advice
