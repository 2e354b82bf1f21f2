"""The report's figures for print and for the page."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import plotly.graph_objects as go
import pytest
from PIL import Image

from missrec.report.figures.interactive import curves_plot, interests_plot, popularity_plot
from missrec.report.figures.interests import ItemInterest, ItemInterests
from missrec.report.figures.printed import save_interests_figure, save_popularity_figure
from missrec.report.popularity import Popularity

HOSTILE = "<b>5 $ and $x_1</b> 日本"
POPULARITY = Popularity(
    buckets=("0 (cold)", "1-4", "5+"),
    num_users=(0, 20, 30),
    recall={"Ours": (None, 0.3, 0.4), HOSTILE: (None, 0.2, 0.5), "B": (None, 0.0, 0.4)},
    reference="Ours",
)
ITEMS = [
    ItemInterests(
        f"{HOSTILE} {'long ' * 30}",
        {
            "text": ItemInterest(3, 1200, (HOSTILE, "Ink" * 60)),
            "image": ItemInterest(7, 4, ()),
        },
    ),
    ItemInterests("Pen", {"text": ItemInterest(1, 5, ("Nib",)), "image": ItemInterest(2, 5, ())}),
]


@pytest.mark.parametrize("figure", ["popularity", "interests"])
def test_print_figures_are_png_of_300_dpi_and_svg_and_readable_in_grey(
    tmp_path: Path, figure: str
) -> None:
    if figure == "popularity":
        files = save_popularity_figure(tmp_path / "a.b", POPULARITY, title=HOSTILE)
    else:
        files = save_interests_figure(tmp_path / "a.b", ITEMS, title=HOSTILE)
    assert [path.name for path in files] == ["a.b.png", "a.b.svg"]
    with Image.open(files[0]) as image:
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert (pixels.max(axis=2) - pixels.min(axis=2)).max() == 0  # nothing is told by colour
    assert ET.parse(files[1]).getroot().tag.endswith("svg")


def valid(plot: dict[str, Any]) -> go.Figure:
    """Plotly's own check of every property."""
    return go.Figure(plot)


def test_the_popularity_plot_shows_users_and_improvement_over_each_system() -> None:
    plot = popularity_plot(POPULARITY)
    bar, first, second = valid(plot).data
    assert tuple(bar.y) == (0, 20, 30)
    assert first.y[1] == pytest.approx(0.5)
    assert second.y[1] is None  # it found nothing there
    assert plot["data"][1]["name"] == "over &lt;b&gt;5 $ and $x_1&lt;/b&gt; 日本"


def test_ones_own_systems_are_shown_by_their_recall_and_long_names_keep_their_place(
    tmp_path: Path,
) -> None:
    recall = {**POPULARITY.recall, "long " * 40: (None, 0.1, 0.1)}
    own = POPULARITY._replace(recall=recall, is_relative=False)
    _, *lines = valid(popularity_plot(own)).data
    assert [tuple(line.y) for line in lines] == list(recall.values())
    assert [pair[1] for pair in lines[1].customdata] == list(recall[HOSTILE])
    assert all(path.exists() for path in save_popularity_figure(tmp_path / "a", own, title="x"))


def test_epochs_are_whole_numbers_ten_at_most() -> None:
    def step(last: int) -> object:
        curves = {"Ours": {"seed 1": {"a": {0: 1.0, last: 2.0}}}}
        return curves_plot(curves, ["a"])["layout"]["xaxis"]["dtick"]

    assert [step(last) for last in (1, 10, 11, 25, 50, 200)] == [1, 1, 2, 5, 5, 20]
    assert curves_plot({}, ["a"])["layout"]["xaxis"]["dtick"] == 1


def test_the_interests_plot_leads_from_each_item_by_modality_to_its_interests() -> None:
    (flow,) = valid(interests_plot(ITEMS)).data
    labels = flow.node.label
    links = list(zip(flow.link.source, flow.link.target, flow.link.label, strict=True))
    assert [(labels[target], name) for _, target, name in links] == [
        ("3: &lt;b&gt;5 $ and $x_1&lt;/b&gt; 日本 (1,200)", "text"),
        ("7: no title (4)", "image"),
        ("1: Nib (5)", "text"),
        ("2: no title (5)", "image"),
    ]
    assert labels[links[0][0]].startswith("&lt;b&gt;5 $")


def test_the_curves_of_a_row_share_a_colour_and_each_key_has_its_panel() -> None:
    runs = {"seed 1": {"a": {0: 1.0, 1: 2.0}, "b": {}}, "seed 2": {"a": {0: 3.0}}}
    plot = curves_plot({"Ours": runs, "B": {"seed 1": {"a": {0: 1.0}}}}, ["a", "b"])
    traces = valid(plot).data
    assert len({t.line.color for t in traces if t.legendgroup == "Ours"}) == 1
    assert len({t.line.color for t in traces}) == 2
    assert {t.yaxis for t in traces} == {"y", "y2"}
    assert [t.line.dash for t in traces if t.showlegend] == ["solid", "dash", "solid"]
    assert traces[0].mode == "lines"
    assert traces[2].mode == "markers"  # one epoch is no line
