"""What the page "Fit to ship?" says, from figures made up here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from html_page import HOSTILE, Page
from missrec.metrics.paired import Compared
from missrec.metrics.significance import PairedDifference
from missrec.report.figures.interactive import curves_plot
from missrec.report.formats.ship import ship_page
from missrec.report.formats.words import MINUS
from missrec.report.ship import (
    Beaten,
    Buckets,
    Example,
    Facts,
    KnockOut,
    Ship,
    ShownInterest,
    ShownItem,
    accuracy,
    against,
    not_applicable,
    verdict,
    warnings_of,
    worth,
)
from run_folders import a_run
from serving.chromium import Browser


def compared(ours: float, theirs: float, *, half: float = 0.01, users: int = 400) -> Compared:
    """A difference with an interval of this half width."""
    mean = ours - theirs
    found = PairedDifference(mean, mean - half, mean + half, None, users, None)
    return Compared((ours,), (theirs,), found)


def baseline(name: str, doing: str, *, theirs: float, **changes: Any) -> Beaten:
    found = compared(0.1, theirs, **changes)
    return Beaten(name, doing, {"recall@10": found, "ndcg@10": found})


POPULAR = baseline("most popular", "recommending the most popular items", theirs=0.02)
FOLLOWS = baseline("transitions", "counting what followed the last item", theirs=0.07)


def ship(**changes: Any) -> Ship:
    return Ship(made_at="today", label="Ours", run=a_run(), num_users=400)._replace(**changes)


def test_the_verdict_is_against_the_strongest_baseline_and_by_its_interval() -> None:
    assert verdict(ship(baselines=(POPULAR, FOLLOWS))) == (
        "Better than counting what followed the last item, by +0.0300 in NDCG@10 "
        "(95 % interval +0.0200 to +0.0400)."
    )
    unsure = baseline("t", "counting", theirs=0.095)
    assert verdict(ship(baselines=(POPULAR, unsure))).startswith("Not clearly better than counting")
    worse = baseline("t", "counting", theirs=0.2)
    assert verdict(ship(baselines=(worse,))) == (
        f"Worse than counting, by {MINUS}0.1000 in NDCG@10 (95 % interval {MINUS}0.1100 to "
        f"{MINUS}0.0900): do not ship it."
    )
    assert verdict(ship()).startswith("Nothing says yet whether it is good")


def test_sentences_count_in_users_and_say_what_a_part_is_worth() -> None:
    (found, gain) = accuracy(
        ship(run=a_run(metrics={"test/recall@10": 0.25, "test/ndcg@10": 0.125}))
    )
    assert found.startswith("For 25.0% of 400 test users the item that came next")
    assert "NDCG@10 is 0.1250" in gain
    assert against(FOLLOWS) == (
        "transitions finds the next item of 7.0% of the users; this run finds it for 12 more of "
        "400."
    )
    image = {"ndcg@10": compared(0.05, 0.1)}
    assert worth(KnockOut("image", image)) == (
        "Without the image of the items NDCG@10 is 0.0500, not 0.1000 (-50%)."
    )
    none = {"ndcg@10": compared(0.101, 0.1)}
    assert worth(KnockOut("id", none)).endswith("is 0.1010, not 0.1000: no clear difference.")


def test_warnings_are_of_what_was_recorded() -> None:
    sound = {"test/recall@10": 0.1, "epochs": 3, "stopped_early": 1}
    assert list(warnings_of(a_run(metrics=sound), 400)) == []
    doubtful = {**sound, "stopped_early": 0, "test/tie_rate": 0.5}
    converged, ties, few = warnings_of(a_run(metrics=doubtful), 30)
    assert converged.startswith("Not converged: training ended on trainer.max_epochs, after 3")
    assert ties.startswith("For 50.0% of the users")
    assert few.startswith("Only 30 test users, fewer than 200")
    floor = a_run(metrics={"test/recall@10": 0.1})
    assert list(warnings_of(floor, 400)) == []  # what learns nothing need not converge


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ((), "What each input is worth is not known"),
        (("id",), "It ranks by what it learned of each item by its id alone"),
        (("a", "b"), None),
    ],
)
def test_what_does_not_apply_is_said(parts: tuple[str, ...], said: str | None) -> None:
    found = list(not_applicable(a_run(), parts=parts))
    assert [text.startswith(said or "") for text in found] == ([True] if said else [])
    floor = a_run(metrics={"test/recall@10": 0.1})
    assert next(iter(not_applicable(floor, parts=parts))).startswith("It learns nothing")


def hostile_page() -> str:
    """A page with all that there can be, whose every text is hostile."""
    plot = curves_plot({HOSTILE: {HOSTILE: {"val/ndcg@10": {0: 0.1, 1: 0.2}}}}, ["val/ndcg@10"])
    item = ShownItem(HOSTILE, HOSTILE, "data:image/jpeg;base64,AAAA", is_target=True)
    nameless = ShownItem("key_7", "")
    full = ship(
        label=HOSTILE,
        baselines=(Beaten(HOSTILE, HOSTILE, FOLLOWS.compared),),
        knock_outs=(KnockOut(HOSTILE, FOLLOWS.compared),),
        buckets=Buckets(plot, (HOSTILE,), ((HOSTILE,),)),
        examples=(Example(HOSTILE, (item, nameless), item, 2.5, (item,)),),
        interests=(ShownInterest(3, 1, (item,)),),
        facts=Facts(1234567, 4.94, 1500.4, 4385, "a machine"),
        curves=plot,
        warnings=(HOSTILE,),
        notes=(HOSTILE,),
    )
    return ship_page(full)


def test_the_page_needs_nothing_else_and_shows_hostile_titles_as_texts() -> None:
    text = hostile_page()
    found = Page(text)
    assert all(address.startswith(("#", "data:")) for address in found.addresses())
    assert len([1 for kind, _ in found.scripts if kind is None]) == 2  # Plotly and ours
    assert any(HOSTILE in text for text in found.texts)
    assert "key_7" in text  # stands for a title that is missing
    assert "1,234,567 parameters, 4.9 MB; 1,500 users a second" in text
    assert "Interest 3, 1 token<" in text
    bare = Page(ship_page(ship(num_users=None)))
    assert [tag for tag, _ in bare.tags if tag in {"table", "img"}] == []


@pytest.mark.slow
def test_the_page_can_be_had_by_everybody(chromium: Browser, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(hostile_page(), encoding="utf-8")
    assert chromium.against_rules(tmp_path / "page.html") == []
