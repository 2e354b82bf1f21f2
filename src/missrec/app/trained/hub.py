"""An exported folder on the Hugging Face hub."""

from __future__ import annotations

import warnings
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

_REFUSALS: tuple[type[Exception], ...] = (OSError, *HfHubHTTPError.__mro__[1:2])
"""Of the hub, and of the client that this version of its library reaches it by."""


def push_folder(folder: Path, repository: str, *, private: bool, endpoint: str | None) -> str:
    """Uploads a folder as one commit, into a repository that is made if it is not there.

    Args:
        folder: to upload.
        repository: `<owner>/<name>`.
        private: whether a repository that is made is private.
        endpoint: of the hub; None for the one of the environment.

    Returns:
        The address of the repository.

    Raises:
        ValueError: the repository is no name.
        OSError: the hub cannot be reached, or refuses.
    """
    if repository.count("/") != 1:
        raise ValueError(f"push ({repository}) must be <owner>/<name>")
    api = HfApi(endpoint=endpoint)
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "It seems that you are about to commit a data file")
            api.upload_folder(
                repo_id=made.repo_id, folder_path=folder, commit_message="missrec export"
            )
    except _REFUSALS as error:
        said = " ".join(str(error).split())
        raise OSError(f"push ({repository}) to {api.endpoint}: {said}") from error
    return str(made)
