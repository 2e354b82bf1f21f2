"""What accuracy does not see of recommended lists: how many items, how popular, how alike.

U users and K places: `lists` (U, K) holds ids in 1..N, best first, each once, and `PAD_ID` behind
them where a list is shorter. A measure of a user is NaN where there is nothing to measure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from missrec.types import PAD_ID

_NUMBERS_AT_ONCE = 2**22
_SEQUENCES_AT_ONCE = 2**16


class Features(NamedTuple):
    """What the items of a catalogue look like, in one modality.

    Attributes:
        item_ids: (P,) ids of the items that have it.
        values: (P, F) of any float type; may lie on disk.
    """

    item_ids: np.ndarray
    values: np.ndarray


class ItemFacts(NamedTuple):
    """What is known of the N items of a catalogue whatever recommends them.

    Attributes:
        counts: (N + 1,) interactions of training by item id; entry 0 is padding.
        user_counts: (N + 1,) users of training who had the item, each counted once.
        num_users: users of training.
        features: modality -> features; none of a catalogue of ids alone.
    """

    counts: np.ndarray
    user_counts: np.ndarray
    num_users: int
    features: Mapping[str, Features]

    @property
    def num_items(self) -> int:
        """N."""
        return len(self.counts) - 1


def users_per_item(items: np.ndarray, offsets: np.ndarray, *, num_items: int) -> np.ndarray:
    """(num_items,) int64, how many of U sequences hold each item, however often.

    Args:
        items: (T,) numbers from 0, sequence after sequence.
        offsets: (U + 1,) sequence u is items[offsets[u]:offsets[u + 1]].
        num_items: one more than the largest number.
    """
    found = np.zeros(num_items, dtype=np.int64)
    for first in range(0, len(offsets) - 1, _SEQUENCES_AT_ONCE):
        bounds = offsets[first : first + _SEQUENCES_AT_ONCE + 1]
        rows = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds))
        pairs = np.unique(rows * num_items + items[bounds[0] : bounds[-1]])
        found += np.bincount(pairs % num_items, minlength=num_items)
    return found


def catalog_coverage(lists: np.ndarray, *, num_items: int) -> float:
    """Share of the items that are in any list: |union of all L_u| / N.

    **Source**: Ge, Delgado-Battenfeld & Jannach, Beyond Accuracy: Evaluating Recommender Systems by
    Coverage and Serendipity, 2010.

    Args:
        lists: (U, K).
        num_items: N.
    """
    return float(np.count_nonzero(_times_recommended(lists, num_items)) / num_items)


def gini_index(lists: np.ndarray, *, num_items: int) -> float:
    """How unequally often items are recommended: sum_j (2 j - N - 1) p_j / (N - 1).

    p_1 <= ... <= p_N are the items' shares of all places. 0 where each has the same, 1 where one
    item has them all; 0 of a single item, NaN of no place.

    **Source**: Shani & Gunawardana, Evaluating Recommendation Systems, 2011.

    Args:
        lists: (U, K).
        num_items: N.
    """
    times = np.sort(_times_recommended(lists, num_items))
    if not times.sum():
        return float("nan")
    weights = 2 * np.arange(1, num_items + 1) - num_items - 1
    return float((weights * times).sum() / times.sum() / max(1, num_items - 1))


def average_popularity(lists: np.ndarray, *, counts: np.ndarray) -> np.ndarray:
    """(U,) mean of how often the items of a list occur in training: sum_i c_i / |L|.

    **Source**: Yin, Cui, Li, Yao & Chen, Challenging the Long Tail Recommendation, 2012.

    Args:
        lists: (U, K).
        counts: see `ItemFacts`.
    """
    return _mean_of_lists(counts[lists], lists)


def mean_inverse_user_frequency(
    lists: np.ndarray, *, user_counts: np.ndarray, num_users: int
) -> np.ndarray:
    """(U,) novelty in bits: the mean of -log2(u_i / n), where u_i of n users had the item.

    An item that nobody had counts as if one user had it, as RecTools does.

    **Source**: Zhou, Kuscsik, Liu, Medo, Wakeling & Zhang, Solving the Apparent Diversity-Accuracy
    Dilemma of Recommender Systems, 2010; RecTools 0.19, MeanInvUserFreq.

    Args:
        lists: (U, K).
        user_counts: see `ItemFacts`.
        num_users: n.
    """
    novelties = np.log2(max(1, num_users) / np.maximum(1, user_counts))
    return _mean_of_lists(novelties[lists], lists)


def intra_list_diversity(lists: np.ndarray, *, features: Features) -> np.ndarray:
    """(U,) mean over the pairs of a list of 1 - cos(f_i, f_j), from 0 (alike) to 2 (opposite).

    Pairs with an item that has no features, or features of length 0, are left out; where that
    leaves none the value is NaN. A list of one item has diversity 0, as in RecTools.

    **Source**: Ziegler, McNee, Konstan & Lausen, Improving Recommendation Lists Through Topic
    Diversification, 2005; RecTools 0.19, IntraListDiversity.

    Args:
        lists: (U, K).
        features: of the items.
    """
    rows = np.full(max(int(lists.max(initial=0)), int(features.item_ids.max(initial=0))) + 1, -1)
    rows[features.item_ids] = np.arange(len(features.item_ids))
    found = np.full(len(lists), np.nan)
    users_at_once = max(1, _NUMBERS_AT_ONCE // max(1, lists.shape[1] * features.values.shape[1]))
    for start in range(0, len(lists), users_at_once):
        block = lists[start : start + users_at_once]
        found[start : start + len(block)] = _diversity(rows[block], features.values)
    found[(lists != PAD_ID).sum(axis=1) == 1] = 0
    return found


def _diversity(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(U,) of lists of rows (U, K) of features, -1 where there are none."""
    vectors = np.zeros((*rows.shape, values.shape[1]))
    vectors[rows >= 0] = values[rows[rows >= 0]]
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0)
    num_items = (lengths > 0).sum(axis=(1, 2))
    # The squared length of a sum of unit vectors: each with itself, and each pair twice.
    cosines = (vectors.sum(axis=1) ** 2).sum(axis=-1) - num_items
    found = np.full(len(rows), np.nan)
    pairs = num_items * (num_items - 1)
    np.divide(cosines, pairs, out=found, where=pairs > 0)
    return np.asarray(1 - found)


def serendipity(lists: np.ndarray, *, target_ids: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(U,) how far hits lie above their place by popularity.

    sum_p max(0, q(p) - q(r_i)) rel_i / |L|

    Of the item i in place p, rel_i is 1 if it is the target, else 0, and r_i is its rank by count,
    which equal counts share: 1, 2, ... q(p) = (N + 1 - p) / N, but q(r_i) = 0 of an item without
    any interaction.

    **Source**: Ge, Delgado-Battenfeld & Jannach, 2010, in the form of RecTools 0.19, Serendipity.

    Args:
        lists: (U, K).
        target_ids: (U,) what each user took.
        counts: see `ItemFacts`.
    """
    num_items = len(counts) - 1
    levels, level_of = np.unique(counts, return_inverse=True)
    expected = (num_items + 1 - (len(levels) - level_of)) / num_items
    expected[counts == 0] = 0
    at_place = (num_items - np.arange(lists.shape[1])) / num_items
    gains = np.maximum(0, at_place - expected[lists])
    return _mean_of_lists(gains * (lists == target_ids[:, None]), lists)


def list_metrics(
    lists: np.ndarray, *, target_ids: np.ndarray, items: ItemFacts, cutoffs: Sequence[int]
) -> dict[str, float]:
    """All of the above at each cut-off, such as `coverage@10`; users with a value, averaged.

    Args:
        lists: (U, K) with K at least the largest cut-off, or all items.
        target_ids: (U,).
        items: of the catalogue.
        cutoffs: values of k.

    Returns:
        `coverage`, `gini`, `popularity`, `novelty`, `diversity_<modality>` and `serendipity`;
        without those that no user has a value of.
    """
    found: dict[str, float] = {}
    for k in cutoffs:
        best = lists[:, :k]
        found[f"coverage@{k}"] = catalog_coverage(best, num_items=items.num_items)
        found[f"gini@{k}"] = gini_index(best, num_items=items.num_items)
        by_user = {
            "popularity": average_popularity(best, counts=items.counts),
            "novelty": mean_inverse_user_frequency(
                best, user_counts=items.user_counts, num_users=items.num_users
            ),
            **{
                f"diversity_{name}": intra_list_diversity(best, features=features)
                for name, features in items.features.items()
            },
            "serendipity": serendipity(best, target_ids=target_ids, counts=items.counts),
        }
        found |= {f"{name}@{k}": mean_of_known(values) for name, values in by_user.items()}
    return {name: value for name, value in found.items() if not np.isnan(value)}


def mean_of_known(values: np.ndarray) -> float:
    """The mean of what is no NaN; NaN where nothing is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _times_recommended(lists: np.ndarray, num_items: int) -> np.ndarray:
    """(N,) in how many lists each item is."""
    return np.bincount(lists.ravel(), minlength=num_items + 1)[PAD_ID + 1 :]


def _mean_of_lists(values: np.ndarray, lists: np.ndarray) -> np.ndarray:
    """(U,) the mean of the values (U, K) of the items of each list; NaN of an empty one."""
    is_item = lists != PAD_ID
    sums, lengths = np.where(is_item, values, 0.0).sum(axis=1), is_item.sum(axis=1)
    return np.asarray(np.divide(sums, lengths, out=np.full(len(lists), np.nan), where=lengths > 0))
