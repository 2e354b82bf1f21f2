"""A file or folder is whole or not there, wherever the process that writes it ends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import FileLock

from faults import Killed, file_operations
from missrec.files import recover_folder, remove_drafts, replace_folder, write_json, written_whole

OLD, NEW = {"a": "old", "b": "old"}, {"a": "new", "c": "new"}


def replace(folder: Path, content: dict[str, str]) -> None:
    with replace_folder(folder) as draft:
        for name, text in content.items():
            (draft / name).write_text(text)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@contextmanager
def killed(below: Path, number: int, *, torn: bool) -> Iterator[None]:
    with pytest.raises(Killed), file_operations(below, kill_at=number, torn=torn):
        yield


@pytest.mark.parametrize("torn", [False, True])
def test_a_file_is_the_old_or_the_new_one_wherever_its_writing_ends(
    tmp_path: Path, torn: bool
) -> None:
    path = tmp_path / "metrics.json"
    with file_operations(tmp_path) as whole:
        write_json(path, {"ndcg": 1})
    old = path.read_bytes()
    for number in range(whole.count):
        with killed(tmp_path, number, torn=torn):
            write_json(path, {"ndcg": 2})
        assert path.read_bytes() in {old, old.replace(b"1", b"2")}
        remove_drafts(tmp_path)
        assert names(tmp_path) == ["metrics.json"]
        write_json(path, {"ndcg": 1})
        assert path.read_bytes() == old


def test_a_file_that_fails_to_be_written_leaves_no_draft(tmp_path: Path) -> None:
    def fail(draft: Path) -> None:
        assert (draft.parent, draft.suffix) == (tmp_path, ".png")
        draft.write_text("half")
        raise OSError("No space left on device")

    with pytest.raises(OSError, match="No space"), written_whole(tmp_path / "a.png") as draft:
        fail(draft)
    assert names(tmp_path) == []


@pytest.mark.parametrize("torn", [False, True])
@pytest.mark.parametrize("before", [OLD, None], ids=["replaced", "new"])
def test_a_folder_is_found_again_wherever_its_replacement_ends(
    tmp_path: Path, torn: bool, before: dict[str, str] | None
) -> None:
    folder = tmp_path / "domain"

    def start() -> None:
        if folder.exists():
            for path in folder.iterdir():
                path.unlink()
            folder.rmdir()
        if before is not None:
            replace(folder, before)

    start()
    with file_operations(tmp_path) as whole:
        replace(folder, NEW)
    assert whole.count > 10
    for number in range(whole.count):
        start()
        with killed(tmp_path, number, torn=torn):
            replace(folder, NEW)
        recover_folder(folder)
        found = content(folder) if folder.exists() else None
        assert found in ([before, NEW] if before else [None, NEW])
        replace(folder, {"a": "again"})
        assert content(folder) == {"a": "again"}
        assert names(tmp_path) == ["domain"]


def test_what_a_killed_process_left_goes_and_what_a_living_one_makes_stays(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "domain"
    with replace_folder(folder) as draft:
        (draft / "a").write_text("slow")
        left = tmp_path / ".domain.0123abcd.draft"
        (left / "new").mkdir(parents=True)
        (left / "lock").touch()
        replace(folder, {"a": "quick"})
        remove_drafts(tmp_path)
        assert not left.exists()
        assert (draft / "a").read_text() == "slow"
        assert content(folder) == {"a": "quick"}
    assert content(folder) == {"a": "slow"}
    assert names(tmp_path) == ["domain"]


def test_a_folder_that_comes_back_meanwhile_is_replaced_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "domain"
    replace(folder, OLD)
    rename, readers = Path.rename, [recover_folder] * 3

    def interrupted(path: Path, target: Path) -> Path:
        renamed = rename(path, target)
        if path == folder and readers:  # another process asks for it between the two renames
            readers.pop()(folder)
            assert content(folder) == OLD
        return renamed

    monkeypatch.setattr(Path, "rename", interrupted)
    replace(folder, NEW)
    assert not readers
    assert content(folder) == NEW
    assert names(tmp_path) == ["domain"]


def test_a_folder_set_aside_by_an_earlier_version_is_put_back(tmp_path: Path) -> None:
    folder = tmp_path / "domain"
    aside = tmp_path / ".domain.old.x1y2z3" / "domain"
    aside.mkdir(parents=True)
    (aside / "a").write_text("old")
    recover_folder(folder)
    assert content(folder) == {"a": "old"}
    assert names(tmp_path) == ["domain"]


def test_a_folder_that_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    left = tmp_path / ".domain.0123abcd.draft"  # killed when the new folder was in place
    (left / "old0123abcd").mkdir(parents=True)
    recover_folder(tmp_path / "domain")
    assert not (tmp_path / "domain").exists()
    replace(tmp_path / "domain", NEW)
    assert names(tmp_path) == ["domain"]


def test_drafts_are_removed_at_any_depth_and_nothing_else(tmp_path: Path) -> None:
    kept = ["metrics.json", ".hidden", "deep/last.ckpt", ".draft", "a.draft", "deep/.x.lock"]
    drafts = [".metrics.0123abcd.draft.json", "deep/.last.89abcdef.draft.ckpt", ".x.json.draft"]
    (tmp_path / "deep").mkdir()
    for name in (*kept, *drafts):
        (tmp_path / name).touch()
    remove_drafts(tmp_path)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == set(kept)


def test_without_locks_a_folder_is_replaced_and_no_draft_of_others_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no locks available")

    other = tmp_path / ".domain.0123abcd.draft" / "new"
    other.mkdir(parents=True)
    monkeypatch.setattr(FileLock, "acquire", refuse)
    for each in (OLD, NEW):
        replace(tmp_path / "domain", each)
        assert content(tmp_path / "domain") == each
    assert other.is_dir()
