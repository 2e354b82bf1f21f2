"""What a model found: its interests, their members, and how they moved, as tables and plots."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import NamedTuple

import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from missrec.files import written_whole

_BAR, _LINE = "#7f9cc0", "#b3402a"
_TITLE_LENGTH = 80
_NAMED, _NAME_LENGTH = 10, 34
"""Interests that a picture names, and the letters of a title there."""


def tokens(number: int) -> str:
    """Such as `1 token` or `1,200 tokens`."""
    return f"{number:,} token{'' if number == 1 else 's'}"


def interest_table(
    tokens: pl.DataFrame, *, modalities: Sequence[str], num_interests: int, num_central: int
) -> pl.DataFrame:
    """One row an interest, largest first; dead ones, which no token belongs to, have size 0.

    Args:
        tokens: one row a token: `interest`, `modality`, `title` and `distance` to the prototype.
        modalities: names of the modalities.
        num_interests: number of prototypes.
        num_central: titles to show of each interest, nearest to the prototype first.

    Returns:
        `interest`, `size`, `<modality>_share` for each modality, `central_items`.
    """
    central = (
        tokens.sort("interest", "distance", maintain_order=True)
        .unique(["interest", "title"], keep="first", maintain_order=True)
        .group_by("interest", maintain_order=True)
        .agg(pl.col("title").str.slice(0, _TITLE_LENGTH).head(num_central).alias("central_items"))
    )
    sizes = tokens.group_by("interest").agg(
        pl.len().cast(pl.Int64).alias("size"),
        *((pl.col("modality") == name).mean().alias(f"{name}_share") for name in modalities),
    )
    every = pl.DataFrame({"interest": range(num_interests)}, schema={"interest": pl.Int64})
    return (
        every.join(sizes, on="interest", how="left")
        .join(central, on="interest", how="left")
        .with_columns(pl.col("size").fill_null(0), pl.col("central_items").fill_null([]))
        .sort(["size", "interest"], descending=[True, False])
    )


class ItemInterest(NamedTuple):
    """The interest of one token of an item: its number, its tokens, and its most central items."""

    interest: int
    size: int
    central: tuple[str, ...]


class ItemInterests(NamedTuple):
    """An item and its interest by modality, as the paper's Figure 3."""

    title: str
    by_modality: Mapping[str, ItemInterest]


def interests_of_items(
    tokens: pl.DataFrame, interests: pl.DataFrame, *, num_items: int
) -> list[ItemInterests]:
    """Items whose modalities lead to different interests that are shared by many other tokens.

    First comes the item whose smallest interest is the largest; no interest is shown twice.

    Args:
        tokens: one row a token: `domain`, `item_key`, `title`, `modality`, `interest`.
        interests: as `interest_table`.
        num_items: how many to find at most.
    """
    sizes = interests.select("interest", "size", "central_items")
    joined = tokens.join(sizes, on="interest", how="inner", maintain_order="left")
    items = (
        joined.group_by("domain", "item_key", maintain_order=True)
        .agg("title", "modality", "interest", "size", "central_items")
        .filter(
            pl.col("interest").list.n_unique() == pl.col("interest").list.len(),
            pl.col("interest").list.len() > 1,
        )
        .sort(pl.col("size").list.min(), descending=True, maintain_order=True)
    )
    chosen: list[ItemInterests] = []
    shown: set[int] = set()
    for row in items.iter_rows(named=True):
        if len(chosen) < num_items and shown.isdisjoint(row["interest"]):
            shown.update(row["interest"])
            columns = zip(
                row["interest"], row["size"], map(tuple, row["central_items"]), strict=True
            )
            found = (ItemInterest(*values) for values in columns)
            by_modality = dict(zip(row["modality"], found, strict=True))
            chosen.append(ItemInterests(row["title"][0][:_TITLE_LENGTH], by_modality))
    return chosen


def interests_figure(path: Path, interests: pl.DataFrame, *, modalities: Sequence[str]) -> None:
    """Sizes of the live interests, the largest by name, and how they mix modalities, as PNG.

    An interest is called by its most central item. The mix is of the first modality with others.

    Args:
        path: of the file.
        interests: as `interest_table`.
        modalities: names of the modalities.
    """
    live = interests.filter(pl.col("size") > 0)
    panels = 3 if len(modalities) > 1 else 2
    figure = Figure(figsize=(4.5 * panels, 3.2), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    axes[0].plot(range(1, len(live) + 1), live["size"], color=_LINE)
    axes[0].set_xscale("log")
    axes[0].set_yscale("log")
    axes[0].set_xlabel("interest, by size")
    axes[0].set_ylabel("tokens")
    axes[0].set_title(f"{len(live):,} live, {len(interests) - len(live):,} dead")
    _draw_largest(axes[1], live.head(_NAMED))
    if panels > 2:
        share = live[f"{modalities[0]}_share"]
        axes[2].hist(share, bins=20, range=(0, 1), weights=live["size"], color=_BAR)
        axes[2].set_xlabel(f"share of {modalities[0]} among an interest's tokens")
        axes[2].set_ylabel("tokens")
        num_mixed = int(((share > 0) & (share < 1)).sum())
        many = "interest holds" if num_mixed == 1 else "interests hold"
        axes[2].set_title(f"{num_mixed:,} {many} more than one modality")
    with written_whole(path) as draft, warnings.catch_warnings():
        # A title in a script that the font lacks has boxes in its place.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(draft, dpi=300)


def _draw_largest(axes: Axes, largest: pl.DataFrame) -> None:
    """Bars of the sizes of some interests, by the title of their most central item."""
    names = [
        f"{interest}: {shorten(' '.join(central[:1]), _NAME_LENGTH, placeholder=' …')}"
        for interest, central in largest.select("interest", "central_items").iter_rows()
    ]
    axes.barh(range(len(largest)), largest["size"], color=_BAR)
    axes.set_yticks(range(len(largest)), [name.replace("$", r"\$") for name in names], fontsize=7)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("tokens")
    axes.set_title("the largest, by their most central item")


def epochs_figure(path: Path, epochs: pl.DataFrame) -> None:
    """Live interests, drift and alpha at the start of each epoch, as PNG.

    Args:
        path: of the file.
        epochs: `epoch`, `live`, `drift`, `alpha`, `alpha_lowest`, `alpha_highest`.
    """
    figure = Figure(figsize=(6, 5.5), layout="constrained")
    axes: Sequence[Axes] = figure.subplots(3, 1, sharex=True)
    for panel, column in zip(axes, ("live", "drift", "alpha"), strict=True):
        panel.plot(epochs["epoch"], epochs[column], color=_LINE, marker=".")
        panel.set_ylabel(column)
    axes[2].fill_between(
        epochs["epoch"], epochs["alpha_lowest"], epochs["alpha_highest"], color=_BAR, alpha=0.5
    )
    axes[2].set_xlabel("epoch")
    axes[2].xaxis.set_major_locator(MaxNLocator(integer=True))
    with written_whole(path) as draft:
        figure.savefig(draft, dpi=300)
