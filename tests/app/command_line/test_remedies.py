"""What the commands add to errors of the layers below."""

from __future__ import annotations

import ast
import errno
import importlib
import os
import pickle
from pathlib import Path

import pytest
from conftest import ROOT
from hydra.errors import InstantiationException

from missrec.app.command_line.door import one_line
from missrec.app.command_line.remedies import _REMEDIES, data_choice
from missrec.data.manifest import FolderError, MissingFolderError
from missrec.data.sources.own_interactions import UnnamedFileError
from missrec.data.sources.released import OtherNameError
from missrec.data.sources.units import MixedUnitsError
from missrec.features.store import MissingFeaturesError
from missrec.types import InputsError


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(ROOT))


@pytest.mark.parametrize(
    ("domain", "choice"),
    [
        ("scientific", "scientific"),
        ("demo_office", "demo"),
        ("demo_music", "demo_sources"),
        ("amazon2018_food", "amazon data.year=2018 data.category=food"),
        ("amazon2023_Gift_Cards", "amazon data.year=2023 data.category=Gift_Cards"),
        ("toys", "toys"),
        ("sports", "sports"),
        ("own", "own data.name=own"),
        ("office", "own data.name=office"),
        ("toys+sports", "own data.name=toys+sports"),
    ],
)
def test_a_domain_folder_is_made_by_the_choice_that_conf_knows_or_as_own_data(
    domain: str, choice: str
) -> None:
    assert data_choice(domain) == choice


PREPARE = "make the folder again with `python src/prepare.py data=own data.name=shop`"
EXTRACT = "make the features with `python src/extract.py data=own data.name=shop"


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (MissingFolderError("x", Path("data/shop")), PREPARE),
        (FolderError("x", Path("data/shop/features")), f"{EXTRACT}`, or {PREPARE}"),
        (MissingFeaturesError("x", Path("data/shop/features"), "image"), f", or {EXTRACT}`"),
        (
            MissingFeaturesError("x", Path("data/shop/features"), "text_view"),
            f"inputs=text_image, or {EXTRACT} text_view=word_drop`",
        ),
        (
            MissingFeaturesError("x", Path("data/shop/features"), "text_lsa"),
            f"or {EXTRACT} encoder=lsa images=none feature_set=lsa`",
        ),
        (
            MissingFeaturesError("x", Path("data/shop/features"), "image_large"),
            f"or {EXTRACT} feature_set=large`",
        ),
        (
            FolderError("x", Path("/else where/shop")),
            f"{PREPARE[:-1]} 'paths.data_dir=\"/else where\"'`",
        ),
        (
            MissingFeaturesError("x", Path("/else where/shop/features"), "image"),
            "src/extract.py data=folders 'data.folders=[\"/else where/shop\"]'`",
        ),
        (OtherNameError("x"), "say which with data.files_named=<name>"),
        (
            MixedUnitsError("when"),
            "for the unit that its size says, or =as_is for one unit after all",
        ),
        (UnnamedFileError("interactions"), "add data.interactions.path=<file>"),
        (InputsError("x"), "such as inputs=text, inputs=image or inputs=text_image"),
        (ValueError("x"), "x"),
    ],
)
def test_an_error_ends_with_what_to_do_also_from_another_process_and_under_a_config_key(
    error: Exception, remedy: str
) -> None:
    line = one_line(pickle.loads(pickle.dumps(error)))
    assert line.startswith(f"{error}")
    assert line.endswith(remedy)
    wrapped = InstantiationException("no\nfull_key: model.items")
    wrapped.__cause__ = error
    assert one_line(wrapped) == f"model.items: {line}"


def test_each_remedy_is_of_an_error_that_there_is() -> None:
    files = (ROOT / "src" / "missrec").rglob("*.py")
    nodes = (node for path in files for node in ast.walk(ast.parse(path.read_text())))
    assert _REMEDIES.keys() <= {node.name for node in nodes if isinstance(node, ast.ClassDef)}


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (errno.ENOENT, "/else/x.csv is missing; name one that is there"),
        (errno.EACCES, "/else/x.csv is not yours to read or write; change its permissions"),
        (errno.EROFS, "/else/x.csv is on a disk that is only to be read; name another place"),
        (errno.ENOSPC, "/else/x.csv finds no space left on its disk; free some"),
        (errno.EIO, "[Errno 5] Input/output error: '/else/x.csv'"),
    ],
)
def test_what_the_system_refuses_is_said_of_the_file_with_what_to_do(
    number: int, said: str
) -> None:
    assert one_line(OSError(number, os.strerror(number), "/else/x.csv")).startswith(said)


def test_a_full_disk_is_told_though_nobody_knows_the_file() -> None:
    said = one_line(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert said.startswith("what this command writes finds no space left on its disk; free some")


def test_a_class_that_a_package_has_not_is_no_package_that_is_not_here() -> None:
    with pytest.raises(ModuleNotFoundError) as found:
        importlib.import_module("torch.optim.Adamm")
    assert "not installed" not in one_line(found.value)
    assert one_line(ModuleNotFoundError("x", name="nowhere.at_all")).startswith("nowhere is not")
