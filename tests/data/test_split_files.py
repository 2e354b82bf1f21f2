"""A split that files list, and what of them does not fit the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from missrec.data.splits import GivenFiles, Keys, Split, SplitError

OFFSETS = np.array([0, 5, 8, 12])
ITEMS = [1, 2, 3, 4, 5, 3, 1, 2, 5, 4, 5, 2]
"""Users a, b and 7; the last took item 5 twice. Items are named 10, 20, ..."""
KEYS = Keys(
    pl.Series(["a", "b", "7"]),
    pl.Series([str(10 * item) for item in range(1, 7)]),
    np.array(ITEMS, dtype=np.int32),
)
VAL, TEST = "user,item\na,40\nb,10\n", "user,item\na,50\n7.0,20\n"


@pytest.fixture
def split(tmp_path: Path) -> Any:
    """Splits by files of these contents."""

    def by(*, suffix: str = "csv", **given: Any) -> Split:
        settings: dict[str, Any] = {
            "train": None,
            "user": "user",
            "item": "item",
            "place": None,
            **given,
        }
        for part in ("val", "test", "train"):
            content = settings[part]
            if content is not None:
                path = tmp_path / f"{part}.{suffix}"
                if isinstance(content, pl.DataFrame):
                    content.write_parquet(path)
                else:
                    path.write_text(content)
                settings[part] = str(path)
        first_users = settings.pop("first_users", np.array([0, 3]))
        splitter = GivenFiles(**settings).with_keys(KEYS)
        return splitter(offsets=OFFSETS, times=None, first_users=first_users)

    return by


def positions(found: Split) -> dict[str, list[int]]:
    return {name: part.tolist() for name, part in found._asdict().items()}


EXPECTED = {"train": [1, 2, 9, 10], "val": [3, 6], "test": [4, 11], "train_ends": [3, 6, 11]}


def test_training_ends_before_the_first_target_of_a_user(split: Any) -> None:
    assert positions(split(val=VAL, test=TEST)) == EXPECTED


def test_a_file_may_say_what_is_trained_on(split: Any) -> None:
    train = "user,item\na,20\na,10\nb,30\n"  # nothing of 7, and item 30 of a is not used
    found = positions(split(val=VAL, test=TEST, train=train))
    assert found == {**EXPECTED, "train": [1], "train_ends": [2, 6, 8]}


def test_the_earliest_of_several_rows_of_a_user_is_the_target(split: Any) -> None:
    assert positions(split(val=VAL, test=f"{TEST}b,20\n7,40\n"))["test"] == [4, 7, 9]


def test_a_target_without_a_history_is_left_out(split: Any) -> None:
    found = positions(split(val=VAL, test="user,item\na,50\nb,20\n", train="user,item\na,10\n"))
    assert found["test"] == [4, 7]
    first = split(val="user,item\nb,30\na,40\n", test=TEST)
    assert first.val.tolist() == [3]


@pytest.mark.parametrize(
    ("suffix", "val", "test"),
    [
        ("tsv", "x\tuser\titem\n1\ta\t40\n2\tb\t10\n", "user\titem\na\t50\n7\t20\n"),
        (
            "jsonl",
            '{"user": "a", "item": 40}\n{"user": "b", "item": 10}\n',
            '{"user": "a", "item": 50}\n{"user": "7", "item": 20}\n',
        ),
        (
            "parquet",
            pl.DataFrame({"user": ["a", "b"], "item": [40.0, 10.0]}),
            pl.DataFrame({"user": ["a", "7"], "item": [50, 20]}),
        ),
    ],
)
def test_files_of_each_kind(split: Any, suffix: str, val: Any, test: Any) -> None:
    assert positions(split(suffix=suffix, val=val, test=test)) == EXPECTED


def test_a_column_says_which_of_equal_items_is_meant(split: Any) -> None:
    val = "who,what,nth\na,40,4\n"
    names = {"user": "who", "item": "what", "place": "nth"}
    for nth, position in ((1, 8), (3, 10)):
        test = f"who,what,nth\n7,50,{nth}\nb,20,3\n"
        found = split(val=val, test=test, **names)
        assert found.train_ends.tolist() == [3, 7, position]
        assert found.test.tolist() == ([7, 10] if nth == 3 else [7])


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"test": "user,item\nz,10\na,50\ny,10\n"}, r"row 1 \(user 'z', item '10'\): the data has "
         r"no such user \(and 1 more of 3 rows\)"),
        ({"test": "user,item\na,50\na,99\n"}, r"row 2 \(user 'a', item '99'\): .* no such item"),
        ({"test": "user,item\nb,50\n"}, r"row 1 .*: that user did not take that item"),
        ({"test": "user,item\n7,50\n"}, r"row 1 .*: that user took it more than once: a column"),
        ({"test": VAL}, r"val.csv: the first item of user 'a' .* does not come before its first"),
        ({"test": "user,item\na,20\n"}, r"does not come before its first in .*test.csv"),
        ({"train": "user,item\na,20\n"}, r"rows of user 'a' are not the first of its interactions"),
        ({"train": "user,item\nb,30\nb,30\n"}, r"rows of user 'b' are not the first"),
        ({"train": "user,item\na,10\na,20\na,30\na,40\n"}, r"a target of user 'a' is trained on"),
        ({"test": "user,product\na,50\n"}, r"has no column 'item', it has: user, product"),
        ({"test": "user,item\n"}, r"test.csv has no rows"),
        ({"test": ""}, r"test.csv cannot be read: "),
        ({"test": "user,item\na,\n"}, r"a row without 'item'"),
        ({"test": "user,item,n\na,50,x\n", "val": "user,item,n\na,40,4\n", "place": "n"},
         r"test.csv cannot be read: .*x"),
        ({"test": "user,item,n\na,50,6\n", "val": "user,item,n\na,40,4\n", "place": "n"},
         r"row 1 \(user 'a', item '50', place 6\): that user has no such item there"),
        ({"first_users": np.array([0, 1, 3])}, r"files split one domain, and here are 2"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_the_data_are_refused(
    split: Any, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        split(**{"val": VAL, "test": TEST, **given})


@pytest.mark.parametrize("part", ["val", "test"])
def test_both_targets_must_be_named(part: str) -> None:
    named: dict[str, Any] = {"val": "v.csv", "test": "t.csv", "train": None, part: None}
    with pytest.raises(SplitError, match=f"no file of the {part} targets is named"):
        GivenFiles(**named, user="user", item="item", place=None)


@pytest.mark.parametrize(("name", "said"), [("gone.csv", "is missing"), ("x.xls", "expected .csv")])
def test_a_file_that_is_not_there_or_of_another_kind(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "x.xls").write_text("user,item\n")
    path = str(tmp_path / name)
    splitter = GivenFiles(val=path, test=path, train=None, user="user", item="item", place=None)
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        splitter.with_keys(KEYS)(offsets=OFFSETS, times=None, first_users=np.array([0, 3]))
