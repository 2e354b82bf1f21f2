from __future__ import annotations

import pytest

from missrec.data.domain import Step
from missrec.data.statistics import DomainStatistics
from missrec.report.formats.preparation import print_splits, print_statistics, print_steps

ROW = DomainStatistics(
    name="toys",
    num_users=1_200,
    num_items=300,
    num_with={"image": 150},
    num_interactions=9_000,
    mean_length=7.5,
    tie_share=0.25,
    leak_rate=None,
    published={"users": 1_000, "interactions": 9_100},
)


def cells(printed: str) -> list[list[str]]:
    """The rows of the tables below their headers."""
    lines = [line for line in printed.splitlines() if line.startswith("│")]
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in lines]


def test_published_counts_stand_below_ours_with_the_difference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_statistics([ROW])
    printed = capsys.readouterr().out
    assert cells(printed) == [
        ["toys", "1,200", "300", "150 (50.00)", "9,000", "7.50", "25.0%", "-"],
        ["published", "1,000", "", "", "9,100", "", "", ""],
        ["difference", "+200", "", "", "-100", "", "", ""],
    ]
    assert "(keep_repeats)" in printed


def test_domain_without_published_counts_has_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    print_statistics([ROW._replace(published={}), ROW._replace(published={}, num_with={})])
    printed = capsys.readouterr().out
    assert [row[3] for row in cells(printed)] == ["150 (50.00)", ""]
    assert "keep_repeats" not in printed


def test_steps_leave_blank_what_cannot_be_known(capsys: pytest.CaptureFixture[str]) -> None:
    print_steps("toys", [Step("rows read", 10_000, None, None), Step("readable", 9_999, 5, 3)])
    assert cells(capsys.readouterr().out) == [
        ["rows read", "10,000", "", ""],
        ["readable", "9,999", "5", "3"],
    ]
    print_steps("demo", [])
    assert capsys.readouterr().out == ""


def test_split_that_needs_times_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_splits({"toys": {"leave_one_out": "0123456789abcdef"}}, ["global_time", "leave_one_out"])
    assert cells(capsys.readouterr().out) == [["toys", "no times", "0123456789ab"]]
