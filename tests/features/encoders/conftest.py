"""A tiny sentence encoder on disk."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tiny_sentence import write_tiny_sentence


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_sentence(tmp_path_factory.mktemp("sentence") / "tiny")


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    """A model to damage."""
    return Path(shutil.copytree(folder, tmp_path / "copied"))
