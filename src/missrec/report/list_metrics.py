"""What the metrics of recommended lists are called, and what they say, for whoever reads them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class ListMetric(NamedTuple):
    """A metric of lists.

    Attributes:
        label: as tables call it, with places for the cut-off and the modality.
        digits: behind the point.
        meaning: in a few words.
    """

    label: str
    digits: int
    meaning: str


_DIVERSITY = "diversity_"

_KNOWN = {
    "coverage": ListMetric("coverage{at}", 4, "share of the items that are in any list"),
    "gini": ListMetric(
        "Gini{at}", 4, "0: all items are recommended equally often; 1: one alone is"
    ),
    "popularity": ListMetric(
        "popularity{at}", 1, "how often a recommended item occurs in training"
    ),
    "novelty": ListMetric("novelty{at}", 2, "in bits, b: one of 2^b users has had such an item"),
    _DIVERSITY: ListMetric(
        "diversity{at}{of}", 4, "0: items of a list are alike; 1: they share nothing"
    ),
    "serendipity": ListMetric("serendipity{at}", 4, "hits that popularity would not have made"),
    "cold_item_recall": ListMetric("R{at} of cold items", 4, "recall of targets rare in training"),
    "cold_user_recall": ListMetric(
        "R{at} of cold users", 4, "recall of users with a short history"
    ),
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
    """How a metric of lists is shown, such as `diversity_text@10` as `diversity@10 (text)`."""
    name, _, cutoff = metric.partition("@")
    known = _KNOWN[_kind(metric)]
    of = f" ({name.removeprefix(_DIVERSITY)})" if _kind(metric) == _DIVERSITY else ""
    return known._replace(label=known.label.format(at=f"@{cutoff}", of=of))


def meanings(metrics: Iterable[str]) -> dict[str, str]:
    """What each kind of some metrics of lists says, whatever the cut-off and the modality."""
    kinds = dict.fromkeys(_kind(metric) for metric in list_metrics(metrics))
    return {_KNOWN[kind].label.format(at="", of=""): _KNOWN[kind].meaning for kind in kinds}


def _kind(metric: str) -> str:
    name = metric.partition("@")[0]
    return _DIVERSITY if name.startswith(_DIVERSITY) else name
