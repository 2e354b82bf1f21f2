"""What the metrics of recommended lists are called, and what they say, for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ListMetric(NamedTuple):
    """A metric of lists.

    Attributes:
        label: as tables call it.
        digits: behind the point.
        meaning: in a few words.
    """

    label: str
    digits: int
    meaning: str


_DIVERSITY = "diversity_"

_KNOWN = {
    "coverage": ListMetric("coverage", 4, "share of the items that are in any list"),
    "gini": ListMetric("Gini", 4, "0: all items are recommended equally often; 1: one alone is"),
    "popularity": ListMetric("popularity", 1, "how often a recommended item occurs in training"),
    "novelty": ListMetric("novelty", 2, "in bits, b: one of 2^b users has had such an item"),
    _DIVERSITY: ListMetric("diversity", 4, "0: items of a list are alike; 1: they share nothing"),
    "serendipity": ListMetric("serendipity", 4, "hits that popularity would not have made"),
    "cold_item_recall": ListMetric("R of cold items", 4, "recall of targets rare in training"),
    "cold_user_recall": ListMetric("R of cold users", 4, "recall of users with a short history"),
}


def is_list_metric(metric: str) -> bool:
    """Whether it is a metric of lists at a cut-off, such as `coverage@10`."""
    return "@" in metric and _kind(metric) in _KNOWN


def list_metrics(metrics: Iterable[str]) -> list[str]:
    """Those of some metrics that are of lists, each once, in the order to show them."""
    order = list(_KNOWN)

    def place(metric: str) -> tuple[int, int, str]:
        name, _, cutoff = metric.partition("@")
        return int(cutoff), order.index(_kind(metric)), name

    return sorted({metric for metric in metrics if is_list_metric(metric)}, key=place)


def described(metric: str) -> ListMetric:
    """How a metric of lists is shown, such as `diversity_text@10` as `diversity (text)@10`."""
    name, _, cutoff = metric.partition("@")
    known = _KNOWN[_kind(metric)]
    of = f" ({name.removeprefix(_DIVERSITY)})" if _kind(metric) == _DIVERSITY else ""
    return known._replace(label=f"{known.label}{of}@{cutoff}")


def _kind(metric: str) -> str:
    name = metric.partition("@")[0]
    return _DIVERSITY if name.startswith(_DIVERSITY) else name
