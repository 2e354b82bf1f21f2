from __future__ import annotations

from pathlib import Path

import pytest

from missrec.data.vocabulary import read_index_file


def write(folder: Path, text: str) -> Path:
    path = folder / "tiny.item2index"
    path.write_text(text, encoding="utf-8")
    return path


def test_keys_come_in_the_order_of_their_indices(tmp_path: Path) -> None:
    path = write(tmp_path, "C\t2\nA\t0\nB with\ta tab\t1\n")
    assert read_index_file(path) == ["A", "B with\ta tab", "C"]


@pytest.mark.parametrize("row", ["B", "B 1", "B\t-1", "B\tone", "B\t"])
def test_row_that_is_not_id_and_index_is_refused(tmp_path: Path, row: str) -> None:
    path = write(tmp_path, f"A\t0\n{row}\n")
    with pytest.raises(ValueError, match=rf"line 2: found '.*{row[-3:].strip()}.*', expected id"):
        read_index_file(path)


def test_index_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 3: index 1 occurs twice"):
        read_index_file(write(tmp_path, "A\t0\nB\t1\nC\t1\n"))


def test_key_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'A' occurs twice"):
        read_index_file(write(tmp_path, "A\t0\nA\t1\n"))


def test_gap_in_the_indices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"the 2 indices are not 0\.\.1; .* truncated"):
        read_index_file(write(tmp_path, "A\t0\nC\t2\n"))


def test_empty_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"item2index.*empty"):
        read_index_file(write(tmp_path, ""))


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="item2index"):
        read_index_file(tmp_path / "tiny.item2index")
