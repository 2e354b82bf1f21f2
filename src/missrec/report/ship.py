"""What the page "Fit to ship?" of one run holds, and the plain sentences that it says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from missrec.metrics.paired import Compared
from missrec.metrics.significance import FEW_USERS, PairedDifference
from missrec.report.figures.interactive import Plot
from missrec.report.formats.words import metric_name, signed
from missrec.runs.groups import Run

METRICS = ("recall@10", "ndcg@10")
"""What systems are compared by on the page."""
_MANY_TIES = 0.01
_PARTS = {
    "id": "what it learned of each item by its id",
    "bias": "the one number that it has of each item",
}
"""What parts of scores are that no input has."""


class Beaten(NamedTuple):
    """What learns nothing, on the same users.

    Attributes:
        name: as tables have it.
        doing: what it does, as a sentence goes on after "better than".
        compared: metric -> the run against it.
    """

    name: str
    doing: str
    compared: Mapping[str, Compared]


class KnockOut(NamedTuple):
    """The run's model with a part of its scores taken away at ranking, against the whole."""

    part: str
    compared: Mapping[str, Compared]


class ShownItem(NamedTuple):
    """An item; its picture is a `data:` address, empty without one."""

    key: str
    title: str
    picture: str = ""
    is_target: bool = False


class Example(NamedTuple):
    """A test user: the last items of the history, what came next and at which rank, and the list.

    The history is oldest first, the list best first.
    """

    user: str
    history: tuple[ShownItem, ...]
    target: ShownItem
    rank: float
    recommended: tuple[ShownItem, ...]


class ShownInterest(NamedTuple):
    """An interest: its number, its tokens, and the items nearest to it."""

    interest: int
    size: int
    items: tuple[ShownItem, ...]


class Facts(NamedTuple):
    """Size and speed.

    Attributes:
        parameters: numbers that the model learned.
        megabytes: of its weights, buffers included.
        users_per_sec: ranked over all items in one pass.
        num_items: of the catalogue.
        where: it ran.
    """

    parameters: int
    megabytes: float
    users_per_sec: float
    num_items: int
    where: str


class Buckets(NamedTuple):
    """Recall@10 by popularity of the target: a plot, and its table."""

    plot: Plot
    header: tuple[str, ...]
    cells: tuple[tuple[str, ...], ...]


class Ship(NamedTuple):
    """The page of one run.

    Attributes:
        made_at: when, as text.
        label: the system.
        run: the run.
        num_users: of the test; None where its ranks cannot be read.
        baselines: on the same users.
        knock_outs: what is lost without each part of a score.
        buckets: by popularity; None without data.
        examples: of test users.
        interests: the largest.
        facts: size and speed; None where the model was not loaded.
        curves: of training; None where none was logged.
        warnings: what to doubt.
        notes: what the page lacks, and why.
    """

    made_at: str
    label: str
    run: Run
    num_users: int | None
    baselines: tuple[Beaten, ...] = ()
    knock_outs: tuple[KnockOut, ...] = ()
    buckets: Buckets | None = None
    examples: tuple[Example, ...] = ()
    interests: tuple[ShownInterest, ...] = ()
    facts: Facts | None = None
    curves: Plot | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def verdict(ship: Ship) -> str:
    """Whether the run is better than the strongest of the baselines, in one sentence.

    The strongest is the one with the highest NDCG@10 on the same test users: the choice favours
    the baseline.
    """
    if not ship.baselines:
        return "Nothing says yet whether it is good: it is compared with no simple baseline."
    strongest = max(ship.baselines, key=lambda one: one.compared["ndcg@10"].theirs[0])
    difference = strongest.compared["ndcg@10"].difference
    by = f"{signed(difference.mean, 4)} in NDCG@10 ({interval(difference)})"
    if difference.low > 0:
        return f"Better than {strongest.doing}, by {by}."
    if difference.high < 0:
        return f"Worse than {strongest.doing}, by {by}: do not ship it."
    return f"Not clearly better than {strongest.doing}: {by} may be chance."


def interval(difference: PairedDifference) -> str:
    """Such as `95 % interval +0.0100 to +0.0300`."""
    return f"95 % interval {signed(difference.low, 4)} to {signed(difference.high, 4)}"


def accuracy(ship: Ship) -> Iterator[str]:
    """What the figures of the test say of users."""
    recall = ship.run.metrics.get("test/recall@10")
    if recall is None:
        return
    users = "" if ship.num_users is None else f" of {ship.num_users:,} test users"
    yield (
        f"For {recall:.1%}{users} the item that came next is among the ten that this system ranks "
        "first, of all items."
    )
    if (gain := ship.run.metrics.get("test/ndcg@10")) is not None:
        yield (
            f"NDCG@10 is {gain:.4f}: it counts the same hits, and more the further up they are; "
            "1 would be the right item first for everyone."
        )


def against(baseline: Beaten) -> str:
    """One baseline in one sentence."""
    found = baseline.compared["recall@10"]
    difference = found.difference
    users = abs(difference.mean) * difference.num_users
    more = "more" if difference.mean >= 0 else "fewer"
    return (
        f"{baseline.name} finds the next item of {found.theirs[0]:.1%} of the users; this run "
        f"finds it for {users:,.0f} {more} of {difference.num_users:,}."
    )


def worth(knock_out: KnockOut) -> str:
    """What a part of the scores is worth, in one sentence."""
    found = knock_out.compared["ndcg@10"]
    before, after, difference = found.theirs[0], found.ours[0], found.difference
    part = _PARTS.get(knock_out.part, f"the {knock_out.part} of the items")
    share = f" ({difference.mean / before:+.0%})" if before else ""
    if difference.low <= 0 <= difference.high:
        return f"Without {part} NDCG@10 is {after:.4f}, not {before:.4f}: no clear difference."
    return f"Without {part} NDCG@10 is {after:.4f}, not {before:.4f}{share}."


def warnings_of(run: Run, num_users: int | None) -> Iterator[str]:
    """What to doubt of a run by what it recorded."""
    if run.hit_max_epochs:
        yield (
            "Not converged: training ended on trainer.max_epochs, after "
            f"{run.metrics['epochs']:.0f} epochs; validation might still have risen. Train longer."
        )
    ties = run.metrics.get("test/tie_rate", 0.0)
    if ties > _MANY_TIES:
        yield (
            f"For {ties:.1%} of the users other items have exactly the score of the right one; "
            "metrics count what a random order of these gives."
        )
    if num_users is not None and num_users < FEW_USERS:
        yield (
            f"Only {num_users:,} test users, fewer than {FEW_USERS}: all intervals are rough, and "
            "another few users might say otherwise."
        )
    if run.dirty:
        yield "The code had changes that no commit has."


def not_applicable(run: Run, *, parts: Sequence[str]) -> Iterator[str]:
    """What a page of such a run cannot have."""
    if not run.learns:
        yield "It learns nothing: there are no learning curves, and no other seed would differ."
    if not parts:
        yield "What each input is worth is not known: its scores are no sum of parts."
    elif len(parts) == 1:
        part = _PARTS.get(parts[0], f"the {parts[0]} of the items")
        yield f"It ranks by {part} alone: without that nothing is left to rank by."


def names(metrics: Sequence[str]) -> list[str]:
    """As tables have them."""
    return [metric_name(metric) for metric in metrics]
