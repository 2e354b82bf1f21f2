from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from missrec.data.manifest import FORMAT_VERSION, MANIFEST, read_manifest, write_manifest
from missrec.files import replace_folder, sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table").write_bytes(b"abc")
    write_manifest(tmp_path, {"counts": {"users": 3}})
    return tmp_path


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_sha256_is_the_published_digest_of_abc(folder: Path) -> None:
    assert sha256(folder / "table").startswith("ba7816bf8f01cfea")  # FIPS 180-2, example B.1


def test_manifest_holds_the_facts_and_every_file_but_itself(folder: Path) -> None:
    write_manifest(folder, {"counts": {"users": 3}})  # a second time: the first one is not a file
    assert read_manifest(folder, facts=[], files=[]) == {
        "format_version": FORMAT_VERSION,
        "counts": {"users": 3},
        "files": {"table": {"bytes": 3, "sha256": sha256(folder / "table")}},
    }


def test_changed_byte_is_refused(folder: Path) -> None:
    (folder / "table").write_bytes(b"abd")
    with pytest.raises(ValueError, match=r"table does not match the sha256"):
        read_manifest(folder, facts=[], files=[])


def test_truncated_file_is_refused_with_both_sizes(folder: Path) -> None:
    (folder / "table").write_bytes(b"ab")
    with pytest.raises(ValueError, match=r"table has 2 bytes, its manifest says 3"):
        read_manifest(folder, facts=[], files=[])


def test_missing_file_is_refused(folder: Path) -> None:
    (folder / "table").unlink()
    with pytest.raises(FileNotFoundError, match=r"table is missing .* lists it"):
        read_manifest(folder, facts=[], files=[])


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.*is missing"):
        read_manifest(tmp_path / "nowhere", facts=[], files=[])


def test_other_format_version_is_refused(folder: Path) -> None:
    edit_manifest(folder, format_version=FORMAT_VERSION + 1)
    with pytest.raises(ValueError, match=r"format_version is 2, expected 1"):
        read_manifest(folder, facts=[], files=[])


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"format_version": 1, "fi', id="cut"),
        pytest.param("", id="empty"),
        pytest.param("[]", id="list"),
        pytest.param('{"format_version": 1}', id="no files"),
        pytest.param('{"format_version": 1, "files": 3}', id="files is a number"),
        pytest.param('{"format_version": 1, "files": {"table": 3}}', id="entry is a number"),
        pytest.param('{"format_version": 1, "files": {"table": {}}}', id="entry is empty"),
    ],
)
def test_malformed_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / MANIFEST).write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json is not a readable manifest"):
        read_manifest(folder, facts=[], files=[])


def test_replace_folder_makes_a_new_folder_and_its_parents(tmp_path: Path) -> None:
    with replace_folder(tmp_path / "deep" / "domain") as draft:
        (draft / "file").write_text("new")
    assert (tmp_path / "deep" / "domain" / "file").read_text() == "new"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["domain"]


def test_replace_folder_keeps_nothing_of_the_old_one(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with replace_folder(tmp_path / "domain") as draft:
            (draft / name).touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["domain", "new"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_failed_block_leaves_the_old_folder_and_no_draft(
    tmp_path: Path, error: type[BaseException]
) -> None:
    with replace_folder(tmp_path / "domain") as draft:
        (draft / "file").write_text("old")
    with pytest.raises(error), replace_folder(tmp_path / "domain") as draft:  # noqa: PT012
        (draft / "file").write_text("half")
        raise error
    assert [path.name for path in tmp_path.iterdir()] == ["domain"]
    assert (tmp_path / "domain" / "file").read_text() == "old"


def test_failed_block_without_an_old_folder_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError), replace_folder(tmp_path / "domain"):  # noqa: PT011
        raise ValueError
    assert list(tmp_path.iterdir()) == []


def test_old_folder_survives_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with replace_folder(tmp_path / "domain") as draft:
        (draft / "file").write_text("old")
    rename = Path.rename

    def refuse_drafts(path: Path, target: Path) -> Path:
        if target == tmp_path / "domain" and path.name == "new":
            raise PermissionError(f"{path} is in use")
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse_drafts)
    with pytest.raises(PermissionError, match="is in use"), replace_folder(tmp_path / "domain"):
        pass
    assert (tmp_path / "domain" / "file").read_text() == "old"
