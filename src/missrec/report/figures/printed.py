"""The paper's Figures 3 and 4 for print: PNG and SVG, readable in grey."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from textwrap import wrap

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.ticker import PercentFormatter

from missrec.report.figures.interests import ItemInterests, tokens
from missrec.report.popularity import Popularity

_BAR, _INK = "#d9d9d9", "#222222"
_LINES = (("#000000", "-", "o"), ("#4d4d4d", "--", "s"), ("#808080", "-.", "^"), ("#333", ":", "D"))
_MODALITY_LINES = ("-", "--", ":")
_SHOWN_CENTRAL = 3
_LEGEND = 64
"""Letters of a name in a legend."""


def save_popularity_figure(path: Path, popularity: Popularity, *, title: str) -> list[Path]:
    """Figure 4: bars of test users, lines of Recall@10 or of the relative improvement in it.

    Args:
        path: without its suffix.
        popularity: what is shown.
        title: above it.

    Returns:
        The files, PNG first.
    """
    with rc_context({"font.size": 8.0, "svg.hashsalt": "missrec"}):
        names = [_wrapped(name, _LEGEND, 1) for name in popularity.lines]
        columns = 4 if popularity.is_relative else 1 + (max(map(len, names)) <= _LEGEND // 2)
        figure = Figure(figsize=(5.5, 2.7 + 0.2 * -(-len(names) // columns)), layout="constrained")
        bars = figure.subplots()
        places = range(len(popularity.buckets))
        bars.bar(places, popularity.num_users, color=_BAR, edgecolor="#8c8c8c", label="test users")
        bars.set_xticks(places, list(popularity.buckets))
        bars.set_xlabel("occurrences of the target in training")
        bars.set_ylabel("test users")
        bars.set_title(_literal(title))
        lines = bars.twinx()
        styles = cycle(_LINES)
        for name, line in zip(names, popularity.lines.values(), strict=True):
            color, dashes, marker = next(styles)
            values = [float("nan") if value is None else value for value in line]
            lines.plot(
                places,
                values,
                color=color,
                linestyle=dashes,
                marker=marker,
                markersize=4,
                label=_literal(name),
            )
        lines.axhline(0, color=_INK, linewidth=0.6)
        if popularity.is_relative:
            lines.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
            lines.set_ylabel(f"improvement of {_literal(popularity.reference)}\nin Recall@10")
        else:
            lines.set_ylabel("Recall@10")
        lines.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.2),
            ncols=columns,
            frameon=False,
            handlelength=3,
        )
        return _save(figure, path)


def save_interests_figure(path: Path, items: Sequence[ItemInterests], *, title: str) -> list[Path]:
    """Figure 3: items, and the interest that each of their modalities leads to.

    Args:
        path: without its suffix.
        items: at least one.
        title: above it.

    Returns:
        The files, PNG first.
    """
    num_rows = sum(len(item.by_modality) for item in items)
    with rc_context({"font.size": 8.0, "svg.hashsalt": "missrec"}):
        figure = Figure(figsize=(7, 0.3 + 0.78 * num_rows), layout="constrained")
        axes = figure.subplots()
        axes.set_xlim(0, 10)
        axes.set_ylim(-num_rows, 0)
        axes.set_axis_off()
        axes.set_title(_literal(title))
        row = 0
        for item in items:
            middle = -row - len(item.by_modality) / 2
            _box(axes, (0.05, middle), (2.9, 0.8), _wrapped(item.title, 27), fill="#f0f0f0")
            for dashes, (modality, found) in zip(
                cycle(_MODALITY_LINES), item.by_modality.items(), strict=False
            ):
                y = -row - 0.5
                _arrow(axes, (2.95, middle), (4.25, y), modality, dashes)
                central = "\n".join(_wrapped(c, 62, 1) for c in found.central[:_SHOWN_CENTRAL])
                heading = f"interest {found.interest}, {tokens(found.size)}"
                _box(axes, (4.25, y), (5.7, 0.86), f"{heading}\n{central}", fill="white")
                row += 1
        return _save(figure, path)


def _box(
    axes: Axes, left: tuple[float, float], size: tuple[float, float], text: str, *, fill: str
) -> None:
    corner = (left[0], left[1] - size[1] / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(FancyBboxPatch(corner, *size, boxstyle=style, facecolor=fill, edgecolor=_INK))
    axes.text(left[0] + 0.12, left[1], _literal(text), va="center", fontsize=7.5, linespacing=1.25)


def _arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], label: str, dashes: str
) -> None:
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=9, color=_INK, linestyle=dashes
        )
    )
    middle = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
    axes.text(
        *middle, _literal(label), ha="center", va="center", fontsize=7.5, backgroundcolor="white"
    )


def _wrapped(text: str, width: int, num_lines: int = 3) -> str:
    """The text in lines of this width, cut where it has more."""
    return "\n".join(wrap(text, width, max_lines=num_lines, placeholder=" …"))


def _literal(text: str) -> str:
    """Text that matplotlib does not read as mathematics."""
    return text.replace("$", r"\$")


def _save(figure: Figure, path: Path) -> list[Path]:
    files = [path.with_name(f"{path.name}{suffix}") for suffix in (".png", ".svg")]
    with warnings.catch_warnings():
        # A title in a script that the font lacks has boxes in its place.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        for file in files:
            metadata = {"Date": None} if file.suffix == ".svg" else None
            figure.savefig(file, dpi=300, metadata=metadata)
    return files
