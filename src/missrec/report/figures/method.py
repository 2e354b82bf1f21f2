"""The picture of the method: `python -m missrec.report.figures.method docs/method.svg`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from missrec.files import written_whole

_FROZEN, _TRAINED, _FOUND = "#e8e8e8", "#c9d6e5", "#f2d9b8"
_WIDTH, _HEIGHT = 2.3, 0.8
_COLUMN = 3.8
"""From box to box, so that the label of an arrow has its place between two."""


class _Box(NamedTuple):
    text: str
    x: float
    y: float
    color: str


_BOXES = {
    "text": _Box("text features $f^t$\n(cached CLIP)", 0 * _COLUMN, 2.4, _FROZEN),
    "image": _Box("image features $f^v$\n(where there are)", 0 * _COLUMN, 0.8, _FROZEN),
    "adapters": _Box("adapters $\\psi^t, \\psi^v$\n(+ item ids $z$)", 1 * _COLUMN, 1.6, _TRAINED),
    "encoder": _Box("context encoder\nitem tokens + positions", 2 * _COLUMN, 2.4, _TRAINED),
    "interests": _Box("DPC-KNN interests\nbefore every epoch", 2 * _COLUMN, 0.8, _FOUND),
    "decoder": _Box("interest-aware\ndecoder", 3 * _COLUMN, 1.6, _TRAINED),
    "user": _Box("user vector $u$\nmean over interests", 4 * _COLUMN, 1.6, _TRAINED),
    "fusion": _Box("dynamic fusion\nof candidate scores, $\\alpha$", 4 * _COLUMN, -0.2, _TRAINED),
}
_ARROWS = (
    ("text", "adapters", ""),
    ("image", "adapters", ""),
    ("adapters", "encoder", "sequence"),
    ("adapters", "interests", "all tokens"),
    ("encoder", "decoder", "keys, values"),
    ("interests", "decoder", "queries"),
    ("decoder", "user", ""),
    ("user", "fusion", ""),
    ("adapters", "fusion", "candidates"),
)


def draw_method(path: Path) -> None:
    """Writes the picture; the suffix of `path` chooses the format."""
    with written_whole(path) as draft:
        method_figure().savefig(draft, metadata={"Date": None} if path.suffix == ".svg" else None)


def method_figure() -> Figure:
    """The picture."""
    figure = Figure(figsize=(13, 3.2), layout="constrained")
    axes = figure.subplots()
    for box in _BOXES.values():
        _draw_box(axes, box)
    for start, end, label in _ARROWS:
        _draw_arrow(axes, _BOXES[start], _BOXES[end], label)
    axes.set_xlim(-1.3, 4 * _COLUMN + 1.3)
    axes.set_ylim(-0.8, 3.0)
    axes.set_axis_off()
    return figure


def _draw_box(axes: Axes, box: _Box) -> None:
    corner = (box.x - _WIDTH / 2, box.y - _HEIGHT / 2)
    style = "round,pad=0.02,rounding_size=0.1"
    axes.add_patch(
        FancyBboxPatch(
            corner, _WIDTH, _HEIGHT, boxstyle=style, facecolor=box.color, edgecolor="#444"
        )
    )
    axes.text(box.x, box.y, box.text, ha="center", va="center", fontsize=8.5)


def _draw_arrow(axes: Axes, start: _Box, end: _Box, label: str) -> None:
    bend, middle = "arc3", ((start.x + end.x) / 2, (start.y + end.y) / 2)
    if start.x == end.x:
        tail, head = (start.x, start.y - _HEIGHT / 2), (end.x, end.y + _HEIGHT / 2)
    elif end.y < start.y - 1.5:  # below what lies between: down, then right
        tail, head = (start.x, start.y - _HEIGHT / 2), (end.x - _WIDTH / 2, end.y)
        bend, middle = "angle,angleA=-90,angleB=180,rad=5", ((tail[0] + head[0]) / 2, end.y)
    else:
        tail, head = (start.x + _WIDTH / 2, start.y), (end.x - _WIDTH / 2, end.y)
    axes.add_patch(
        FancyArrowPatch(
            tail, head, arrowstyle="-|>", mutation_scale=10, color="#444", connectionstyle=bend
        )
    )
    axes.text(
        *middle, label, ha="center", va="center", fontsize=7, color="#444", backgroundcolor="w"
    )


if __name__ == "__main__":
    draw_method(Path(sys.argv[1]))
