"""Tables of what preparing made of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.table import Table

from missrec.data.domain import Step
from missrec.data.statistics import DomainStatistics
from missrec.report.formats.terminal import print_table

_SHOWN_DIGITS = 12


def print_statistics(statistics: Sequence[DomainStatistics]) -> None:
    """The columns of the paper's Table 1, its own row below ours, and what the times say."""
    modalities = list(dict.fromkeys(name for row in statistics for name in row.num_with))
    table = Table(title="Statistics, in the columns of the paper's Table 1", caption_justify="left")
    table.add_column("Dataset", no_wrap=True)
    headers = [f"#{modality.capitalize()} (%)" for modality in modalities]
    for header in ("#Users", "#Items", *headers, "#Inters.", "Avg. SL.", "Ties", "Leak"):
        table.add_column(header, justify="right", no_wrap=True)
    for row in statistics:
        table.add_row(
            row.name,
            f"{row.num_users:,}",
            f"{row.num_items:,}",
            *(_coverage(row, modality) for modality in modalities),
            f"{row.num_interactions:,}",
            f"{row.mean_length:.2f}",
            _percent(row.tie_share),
            _percent(row.leak_rate),
        )
        if row.published:
            _add_published(table, row, [""] * len(modalities))
    table.caption = (
        "Ties: next interactions of a user at the same time, whose order is the file's. Leak: "
        "training interactions later than a user's test item under leave-one-out, mean over users."
    )
    if any(row.published for row in statistics):
        table.caption += (
            " Published: UniSRec's preparation keeps an item again at another time "
            "(keep_repeats), and also items without a title."
        )
    print_table(table)


def print_steps(name: str, steps: Sequence[Step]) -> None:
    """What each step of reading and filtering left; nothing where a source has no steps."""
    if not steps:
        return
    table = Table(title=f"{name}, step by step")
    table.add_column("")
    for header in ("Interactions", "Users", "Items"):
        table.add_column(header, justify="right")
    for step in steps:
        table.add_row(step.name, *("" if count is None else f"{count:,}" for count in step[1:]))
    print_table(table)


def print_splits(splits: Mapping[str, Mapping[str, str]], names: Sequence[str]) -> None:
    """The hash of every split of every domain, shortened; the manifests hold them whole."""
    table = Table("Dataset", *names, title="Splits, sha256")
    for domain, hashes in splits.items():
        shown = (hashes[name][:_SHOWN_DIGITS] if name in hashes else "no times" for name in names)
        table.add_row(domain, *shown)
    print_table(table)


def print_verification(
    title: str, found: Mapping[str, int | str | None], known: Mapping[str, int | str]
) -> None:
    """The facts of a folder, beside those of a known set where there is one."""
    table = Table(title=title)
    table.add_column("")
    for header in ("here", "known", ""):
        table.add_column(header, justify="right", no_wrap=True)
    for fact, value in found.items():
        verdict = ("equal" if value == known[fact] else "differs") if fact in known else ""
        table.add_row(fact, _shown(value), _shown(known.get(fact)), verdict)
    print_table(table)


def _shown(fact: int | str | None) -> str:
    if fact is None:
        return "-"
    return f"{fact:,}" if isinstance(fact, int) else fact[:_SHOWN_DIGITS]


def _add_published(table: Table, row: DomainStatistics, blanks: Sequence[str]) -> None:
    found = {
        "users": row.num_users,
        "items": row.num_items,
        "interactions": row.num_interactions,
    }
    published = [f"{row.published[key]:,}" if key in row.published else "" for key in found]
    differences = [
        f"{count - row.published[key]:+,}" if key in row.published else ""
        for key, count in found.items()
    ]
    for name, (users, items, interactions) in (
        ("  published", published),
        ("  difference", differences),
    ):
        table.add_row(name, users, items, *blanks, interactions)


def _coverage(row: DomainStatistics, modality: str) -> str:
    if modality not in row.num_with:
        return ""
    count = row.num_with[modality]
    return f"{count:,} ({100 * count / max(1, row.num_items):.2f})"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
