"""Interactive plots for the page, as what Plotly takes: `data` and `layout`.

The page sets the colours of text, grid and background, light or dark. Plotly reads texts as a
little HTML, so whatever comes from runs or data is escaped here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from itertools import count, cycle
from typing import Any

from missrec.report.figures.interests import ItemInterests, tokens
from missrec.report.popularity import Popularity

Plot = dict[str, Any]

_COLORS = ("#1b73c4", "#d1495b", "#2e8b57", "#b07d12", "#7b5ea7", "#138a8a", "#c2571a", "#76808a")
_DASHES = ("solid", "dash", "dot", "dashdot", "longdash")
_MARKERS = ("circle", "square", "triangle-up", "diamond")
_TITLE = 32
_HOVER = {
    True: "%{y:+.1%} (Recall@10 %{customdata[0]:.4f} against %{customdata[1]:.4f})"
    "<extra>%{fullData.name}</extra>",
    False: "Recall@10 %{y:.4f}<extra>%{fullData.name}</extra>",
}


def popularity_plot(popularity: Popularity) -> Plot:
    """Figure 4: bars of test users, lines of recall or of the improvement of the reference."""
    data: list[Plot] = [
        {
            "type": "bar",
            "name": "test users",
            "x": list(popularity.buckets),
            "y": list(popularity.num_users),
            "marker": {"color": "rgba(128, 140, 155, 0.45)"},
            "hovertemplate": "%{x}: %{y:,} test users<extra></extra>",
        }
    ]
    is_relative = popularity.is_relative
    ours = popularity.recall[popularity.reference]
    theirs = [
        r for n, r in popularity.recall.items() if n != popularity.reference or not is_relative
    ]
    styles = zip(cycle(_COLORS), cycle(_DASHES), cycle(_MARKERS), strict=False)
    for (color, dash, marker), (name, line), recall in zip(
        styles, popularity.lines.items(), theirs, strict=False
    ):
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escape(name),
                "x": list(popularity.buckets),
                "y": list(line),
                "yaxis": "y2",
                "line": {"color": color, "dash": dash},
                "marker": {"symbol": marker, "size": 8},
                "customdata": [list(pair) for pair in zip(ours, recall, strict=True)],
                "hovertemplate": _HOVER[is_relative],
            }
        )
    layout = {
        "xaxis": {"title": {"text": "occurrences of the target in training"}, "type": "category"},
        "yaxis": {"title": {"text": "test users"}, "showgrid": False},
        "yaxis2": {
            "title": {"text": "improvement in Recall@10" if is_relative else "Recall@10"},
            "overlaying": "y",
            "side": "right",
            "tickformat": "+.0%" if is_relative else "",
            "rangemode": "tozero",
            "tickmode": "auto",
            "zeroline": True,
        },
        "height": 400,
    }
    return {"data": data, "layout": layout}


def interests_plot(items: Sequence[ItemInterests]) -> Plot:
    """Figure 3: from items by their modalities to interests, as flows."""
    nodes: dict[tuple[str, object], int] = {}
    labels: list[str] = []
    hovers: list[str] = []

    def node(key: tuple[str, object], label: str, hover: str) -> int:
        if key not in nodes:
            nodes[key] = len(labels)
            labels.append(escape(label))
            hovers.append(hover)
        return nodes[key]

    links: dict[str, list[Any]] = {
        "source": [],
        "target": [],
        "value": [],
        "label": [],
        "color": [],
    }
    color_of: dict[str, str] = {}
    for place, item in enumerate(items):
        source = node(("item", place), _shortened(item.title), escape(item.title))
        for modality, found in item.by_modality.items():
            titles = [f"interest {found.interest}, {tokens(found.size)}; nearest:", *found.central]
            central = "<br>".join(escape(title) for title in titles)
            named = _shortened(found.central[0]) if found.central else "no title"
            label = f"{found.interest}: {named} ({found.size:,})"
            target = node(("interest", found.interest), label, central)
            color = color_of.setdefault(modality, _COLORS[len(color_of) % len(_COLORS)])
            values = (source, target, 1, escape(modality), f"{color}80")
            for column, value in zip(links.values(), values, strict=True):
                column.append(value)
    sankey = {
        "type": "sankey",
        "arrangement": "fixed",
        "node": {
            "label": labels,
            "customdata": hovers,
            "color": "#8a94a0",
            "pad": 18,
            "thickness": 12,
            "hovertemplate": "%{customdata}<extra></extra>",
        },
        "link": {**links, "hovertemplate": "%{label}<extra></extra>"},
    }
    return {"data": [sankey], "layout": {"height": 60 + 70 * len(items)}}


def curves_plot(
    curves: Mapping[str, Mapping[str, Mapping[str, Mapping[int, float]]]], keys: Sequence[str]
) -> Plot:
    """Learning curves, one panel below the other; the runs of a row share a colour.

    Args:
        curves: row -> run -> key -> epoch -> value.
        keys: a panel each.
    """
    data: list[Plot] = []
    for color, (row, runs) in zip(cycle(_COLORS), curves.items(), strict=False):
        for dash, (run, by_key) in zip(cycle(_DASHES), runs.items(), strict=False):
            for panel, key in enumerate(keys, start=1):
                curve = by_key.get(key, {})
                data.append(
                    {
                        "type": "scatter",
                        "mode": "lines" if len(curve) > 1 else "markers",
                        "name": escape(run),
                        "legendgroup": escape(row),
                        "legendgrouptitle": {"text": escape(row)},
                        "showlegend": panel == 1,
                        "x": list(curve),
                        "y": list(curve.values()),
                        "xaxis": "x",
                        "yaxis": f"y{panel if panel > 1 else ''}",
                        "line": {"color": color, "dash": dash, "width": 1.7},
                        "meta": escape(row),
                        "hovertemplate": "epoch %{x}: %{y:.4f}<extra>%{meta}, "
                        "%{fullData.name}</extra>",
                    }
                )
    height = 1 / len(keys)
    last = max(
        (max(c, default=0) for r in curves.values() for k in r.values() for c in k.values()),
        default=0,
    )
    epochs = {"title": {"text": "epoch"}, "zeroline": False, "tick0": 0, "dtick": _whole_step(last)}
    layout: Plot = {"xaxis": epochs, "height": 240 * len(keys)}
    for panel, key in enumerate(keys, start=1):
        top = 1 - (panel - 1) * height
        layout[f"yaxis{panel if panel > 1 else ''}"] = {
            "title": {"text": key},
            "domain": [top - height * 0.92, top],
        }
    layout["xaxis"]["anchor"] = f"y{len(keys) if len(keys) > 1 else ''}"
    return {"data": data, "layout": layout}


def _whole_step(last: int) -> int:
    """1, 2 or 5 times a power of ten that parts the epochs up to the last into ten at most."""
    steps = (step * int(10**power) for power in count() for step in (1, 2, 5))
    return next(step for step in steps if last <= 10 * step)


def _shortened(title: str) -> str:
    return title if len(title) <= _TITLE else f"{title[: _TITLE - 1]}…"
