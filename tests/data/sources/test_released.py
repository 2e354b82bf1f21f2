from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from missrec.data.sources.released import HEADER, OtherNameError
from synthetic import prepared_domain, released_source, sequences_of, write_released

# Released ids count from 0, so the last target of each file has two digits: 10, 12 or 11.
LONG = [[1, 2, 3, 4, 5, 6, 7], [3, 1, 2], [8, 9, 10, 11, 13, 12]]
DOMAIN = prepared_domain(LONG, num_items=13)
ROW = "1\t2 0\t1"  # of user 1 in the test file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_released(tmp_path / "tiny", DOMAIN)


def replace_in(folder: Path, suffix: str, old: str, new: str) -> None:
    path = folder / f"tiny.{suffix}"
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize("max_history", [2, 3, 50])
def test_sequences_come_back_whole_however_short_the_histories(
    tmp_path: Path, max_history: int
) -> None:
    folder = write_released(tmp_path, DOMAIN, max_history=max_history)
    assert sequences_of(released_source(folder, max_history=max_history).read()) == LONG


def test_keys_texts_and_features_come_back(folder: Path) -> None:
    prepared = released_source(folder).read()
    assert prepared.user_keys == DOMAIN.user_keys
    assert prepared.item_keys == DOMAIN.item_keys
    assert prepared.item_texts == DOMAIN.item_texts
    np.testing.assert_equal(prepared.features, DOMAIN.features)


def test_texts_go_to_their_item_whatever_the_order_of_the_file(folder: Path) -> None:
    path = folder / "tiny.text"
    header, *lines = path.read_text().splitlines()
    path.write_text("".join(f"{line}\n" for line in [header, *reversed(lines)]))
    assert released_source(folder).read().item_texts == DOMAIN.item_texts


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere is missing, where the released files"):
        released_source(tmp_path / "nowhere").read()


@pytest.mark.parametrize(
    "suffix",
    ["train.inter", "valid.inter", "test.inter", "user2index", "item2index", "text", "feat1CLS"],
)
def test_missing_file_is_refused(folder: Path, suffix: str) -> None:
    (folder / f"tiny.{suffix}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"tiny\.{suffix} is missing"):
        released_source(folder).read()


def test_files_may_be_named_otherwise_than_the_domain(folder: Path) -> None:
    prepared = released_source(folder, name="science", files_named="tiny").read()
    assert prepared.name == "science"
    assert sequences_of(prepared) == LONG


@pytest.mark.parametrize("asked", [{"name": "science"}, {"files_named": "Tiny"}])
def test_files_of_no_such_name_are_refused_with_the_names_there_are(
    folder: Path, asked: dict[str, str]
) -> None:
    (folder / "Other (1).item2index").touch()
    (name,) = asked.values()
    said = rf"no files named {name}\.\*; those there are named Other \(1\), tiny$"
    with pytest.raises(OtherNameError, match=said):
        released_source(folder, **asked).read()


@pytest.mark.parametrize(
    ("suffix", "old", "new", "message"),
    [
        pytest.param("test.inter", HEADER, "user\titems\titem", "expected the header", id="header"),
        pytest.param("test.inter", ROW, "1\t2 0", "expected user <tab>", id="no target"),
        pytest.param("test.inter", ROW, "1\t\t1", "line 3: the history is empty", id="empty"),
        pytest.param("test.inter", ROW, "1\t2 x\t1", "line 3: item id x", id="not a number"),
        pytest.param("test.inter", ROW, "1\t2 13\t1", r"id 13 .* 0\.\.12", id="item range"),
        pytest.param("test.inter", ROW, "1\t2 -1\t1", r"id -1 .* 0\.\.12", id="negative"),
        pytest.param("test.inter", ROW, "3\t2 0\t1", r"user id 3 .* 0\.\.2", id="user range"),
        pytest.param("valid.inter", "1\t2\t0\n", "", "user 1 has 0 rows, expected 1", id="no row"),
        pytest.param("valid.inter", "1\t2\t0\n", "1\t2\t0\n" * 2, "user 1 has 2 rows", id="twice"),
        pytest.param("valid.inter", "1\t2\t0", "1\t2\t5", "rows of user 1 are not", id="valid"),
        pytest.param("train.inter", "0\t0 1\t2", "0\t0 1\t9", "user 0 are not", id="prefix"),
        pytest.param("train.inter", "0\t0 1\t2", "0\t9 1\t2", "user 0 are not", id="train history"),
        pytest.param("valid.inter", "2 3 4\t5", "2 9 4\t5", "user 0 are not", id="valid history"),
        pytest.param("train.inter", "0\t0 1\t2\n", "", "rows of user 0 are not", id="gap"),
        pytest.param("text", "item-3\t", "item-3 ", r"line 4: .* expected id <tab>", id="text"),
    ],
)
def test_malformed_file_is_refused(
    folder: Path, suffix: str, old: str, new: str, message: str
) -> None:
    replace_in(folder, suffix, old, new)
    with pytest.raises(ValueError, match=rf"(?s)tiny\..*{message}"):
        released_source(folder).read()


def test_user_with_fewer_than_three_interactions_is_refused(tmp_path: Path) -> None:
    folder = write_released(tmp_path, prepared_domain([[1, 2, 3], [4, 5]]))
    with pytest.raises(ValueError, match=r"user 1 has 0 rows, expected 1"):
        released_source(folder).read()


TEXT_FILES = ["train.inter", "valid.inter", "test.inter", "user2index", "item2index", "text"]


@pytest.mark.parametrize("suffix", TEXT_FILES)
def test_text_file_cut_at_a_line_boundary_is_refused(folder: Path, suffix: str) -> None:
    path = folder / f"tiny.{suffix}"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(ValueError, match=r"tiny\."):
        released_source(folder).read()


@pytest.mark.parametrize("suffix", TEXT_FILES)
def test_text_file_cut_anywhere_in_its_last_line_is_refused(folder: Path, suffix: str) -> None:
    path = folder / f"tiny.{suffix}"
    whole = path.read_text()
    last_line = whole.splitlines(keepends=True)[-1]
    for kept in range(1, len(last_line) - 1):  # the line without its newline is still whole
        path.write_text(whole[: -len(last_line) + kept])
        with pytest.raises(ValueError, match=r"tiny\."):
            released_source(folder).read()


@pytest.mark.parametrize(
    "num_bytes", [pytest.param(13 * 4 * 4 - 16, id="row"), pytest.param(13 * 4 * 4 - 1, id="byte")]
)
def test_truncated_feature_file_is_refused(folder: Path, num_bytes: int) -> None:
    path = folder / "tiny.feat1CLS"
    path.write_bytes(path.read_bytes()[:num_bytes])
    message = rf"feat1CLS has {num_bytes} bytes, expected 13 x 4 x 4 = 208"
    with pytest.raises(ValueError, match=message):
        released_source(folder).read()


def test_wrong_feature_width_is_refused(folder: Path) -> None:
    np.zeros((13, 5), dtype=np.float32).tofile(folder / "tiny.feat1CLS")
    with pytest.raises(ValueError, match=r"260 bytes, expected 13 x 4 x 4 = 208 .* width"):
        released_source(folder).read()


def test_any_of_the_widths_a_modality_may_have_is_read(folder: Path) -> None:
    np.ones((13, 5), dtype=np.float32).tofile(folder / "tiny.feat1CLS")
    dims = {"text": [4, 5], "image": [3]}
    assert released_source(folder, feature_dims=dims).read().features["text"].shape == (13, 5)


def test_features_of_one_item_more_are_refused(folder: Path) -> None:
    np.zeros((14, 4), dtype=np.float32).tofile(folder / "tiny.feat1CLS")
    with pytest.raises(ValueError, match=r"224 bytes, expected 13 x 4 x 4 = 208 .* row count"):
        released_source(folder).read()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(folder: Path, bad: float) -> None:
    values = DOMAIN.features["text"].copy()
    values[[3, 7], 1] = bad
    values.tofile(folder / "tiny.feat1CLS")
    with pytest.raises(ValueError, match=r"feat1CLS: row 3 holds NaN or Inf \(2 such rows\)"):
        released_source(folder).read()


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"users": 4}, "found 3 users, the published set has 4"),
        ({"items": 12}, "found 13 items, the published set has 12"),
        ({"interactions": 17}, "found 16 interactions, the published set has 17"),
    ],
)
def test_another_data_set_than_the_published_one_is_refused(
    folder: Path, counts: dict[str, int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        released_source(folder, expected_counts=counts).read()
