"""The order of events by exact times, and what of these is stored."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import polars as pl


class Timeline(NamedTuple):
    """Events in an exact order.

    Attributes:
        events: see `EVENTS`; `time` is a place in the order where `moments` are there.
        moments: (number of places,) int64 times, rounded; None where `time` is exact itself.
    """

    events: pl.DataFrame
    moments: np.ndarray | None


def with_fractions(events: pl.DataFrame, fractions: pl.DataFrame) -> pl.DataFrame:
    """Events with a column `fraction`, see `Exact`, where any has one.

    Args:
        events: see `EVENTS`; `time` is the whole number below.
        fractions: `row` and `fraction` of those that have one.
    """
    if not len(fractions):
        return events
    column = events.select(row=pl.int_range(pl.len(), dtype=pl.Int64)).join(
        fractions, on="row", how="left", maintain_order="left"
    )
    return events.with_columns(column["fraction"].fill_null(""))


def timeline(events: pl.DataFrame) -> Timeline:
    """Events ordered exactly; numbers with fractions are stored as the nearest whole ones."""
    if "fraction" not in events.columns:
        return Timeline(events, None)
    key = ["time", "fraction"]
    places = events.select(key).unique().sort(key).with_row_index("place")
    found = events.select(key).join(places, on=key, how="left", maintain_order="left")
    time, fraction = pl.col("time"), pl.col("fraction")
    # A half goes to the even neighbour, as Python rounds.
    goes_up = (fraction > "5") | ((fraction == "5") & ((time & 1) == 1))
    moments = places.select(time + goes_up.cast(pl.Int64))["time"].to_numpy()
    ordered = events.drop("fraction").with_columns(time=found["place"].cast(pl.Int64))
    return Timeline(ordered, moments)
