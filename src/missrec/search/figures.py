"""Plots of a hyper-parameter search."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from missrec.files import written_whole
from missrec.search.trials import TrialRow, best_trial, by_value

_POINT, _LINE = "#7f9cc0", "#b3402a"
_LOG_RATIO = 30


def history_figure(path: Path, metric: str, rows: Sequence[TrialRow]) -> None:
    """The value of each trial and the best so far, as PNG; pruned ones as crosses."""
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    for state, marker in {"complete": "o", "pruned": "x"}.items():
        found = [row for row in rows if row.state == state]
        values = [row.value for row in found]
        axes.scatter([r.number for r in found], values, marker=marker, color=_POINT, label=state)
    best = [best_trial(rows[: row.number + 1]) for row in rows]
    values = [math.nan if found is None else found.value for found in best]
    axes.step([row.number for row in rows], values, where="post", color=_LINE, label="best so far")
    axes.set_xlabel("trial")
    axes.set_ylabel(metric)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    with written_whole(path) as draft:
        figure.savefig(draft, dpi=150)


def parameters_figure(path: Path, metric: str, rows: Sequence[TrialRow]) -> None:
    """Parallel coordinates of the completed trials, as PNG; the brighter, the better.

    Numbers whose largest is many times their smallest stand on a logarithmic axis; all else that
    is no number on one place a value.
    """
    complete = [row for row in reversed(by_value(rows)) if row.state == "complete"]
    keys = list(complete[0].params)
    columns = {key: [row.params[key] for row in complete] for key in keys}
    columns[metric] = [row.value for row in complete]
    heights = []
    figure = Figure(figsize=(2 + 1.8 * len(columns), 4), layout="constrained")
    axes = figure.subplots()
    for place, values in enumerate(columns.values()):
        positions, ticks = _axis(values)
        heights.append(positions)
        axes.axvline(place, color="black", linewidth=0.8)
        for height, label in ticks:
            axes.annotate(label, (place, height), (3, 0), textcoords="offset points", fontsize=8)
    for trial, line in enumerate(zip(*heights, strict=True)):
        color = colormaps["viridis"]((trial + 1) / len(complete))
        axes.plot(range(len(columns)), line, color=color, alpha=0.8)
    axes.set_xticks(range(len(columns)), list(columns))
    axes.set_yticks([])
    axes.margins(x=0.15)
    axes.spines[:].set_visible(False)
    with written_whole(path) as draft:
        figure.savefig(draft, dpi=150)


def _axis(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights in [0, 1] of the values, and heights with labels."""
    if not all(type(value) in {int, float} for value in values):
        places = {str(value): 0.0 for value in values}
        step = max(len(places) - 1, 1)
        places = {label: place / step for place, label in enumerate(sorted(places))}
        return [places[str(value)] for value in values], [(h, v) for v, h in places.items()]
    low, high = min(values), max(values)
    scale = math.log if low > 0 and high > _LOG_RATIO * low else float
    width = (scale(high) - scale(low)) or 1.0
    ticks = sorted(set(values)) if len(set(values)) <= 6 else [low, high]
    return (
        [(scale(value) - scale(low)) / width for value in values],
        [((scale(value) - scale(low)) / width, f"{value:.4g}") for value in ticks],
    )
