from __future__ import annotations

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import FancyBboxPatch

from missrec.report.figures.method import method_figure


def test_no_label_of_an_arrow_cuts_into_a_box_and_no_text_leaves_its_box() -> None:
    figure = method_figure()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    axes = figure.axes[0]
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    texts = [text.get_window_extent() for text in axes.texts if text.get_text()]
    assert len(boxes) == 8
    inside = [t for t in texts if any(b.contains(*t.min) and b.contains(*t.max) for b in boxes)]
    assert len(inside) == len(boxes)
    labels = [text for text in texts if text not in inside]
    assert len(labels) == 5
    assert not any(label.overlaps(box) for label in labels for box in boxes)
