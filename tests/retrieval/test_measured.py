from __future__ import annotations

from math import log2

import numpy as np
import pytest

from missrec.features.store import ModalityFeatures
from missrec.features.table import FeatureTable
from missrec.retrieval.catalogue import CatalogueUsers
from missrec.retrieval.histories import Histories
from missrec.retrieval.recommender import CatalogueRecommender
from toy_recommender import FIRST_ID, KEYS, toy_items, toy_recommender

TEXT = np.array([[1, 0], [0, 2], [3, 3]], dtype=np.float16)  # of b, e and 10
IMAGE = np.array([[1.0, 0.0]], dtype=np.float32)  # of b


@pytest.fixture(scope="module")
def recommender() -> CatalogueRecommender:
    """Of toys; users ann, 7 and bob have b e b, 10, and d a."""
    first = FIRST_ID
    features = {
        "text": ModalityFeatures(np.array([first, first + 1, first + 2]), TEXT),
        "image": ModalityFeatures(np.array([first]), IMAGE),
    }
    num_items = FIRST_ID + len(KEYS)
    table = FeatureTable([features], num_items=[num_items], resident_bytes=1 << 20)
    return toy_recommender(features=table)


def test_a_list_is_measured_by_what_users_had_and_by_features(
    recommender: CatalogueRecommender,
) -> None:
    found = recommender.measure(["b", "e", "10"])
    cosines = [0, 1 / 2**0.5, 1 / 2**0.5]  # of b e, b 10 and e 10
    assert found == pytest.approx(
        {
            "popularity": (2 + 1 + 1) / 3,
            "mean_popularity": 6 / 5,
            "novelty": log2(3),  # each of one of three users
            "diversity_text": 1 - sum(cosines) / 3,
        }
    )


def test_what_cannot_be_said_is_left_out(recommender: CatalogueRecommender) -> None:
    assert recommender.measure([]) == {}
    assert set(recommender.measure(["b"])) == {"popularity", "mean_popularity", "novelty"}
    assert set(recommender.measure(["d", "a"])) == {"popularity", "mean_popularity", "novelty"}
    assert set(toy_recommender().measure(["b", "e"])) == {
        "popularity",
        "mean_popularity",
        "novelty",
    }
    nobody = CatalogueUsers(
        domain="toys",
        keys=toy_items().index.keys.clear(),
        histories=Histories(np.zeros(0, dtype=np.int64), np.zeros(1, dtype=np.int64)),
    )
    assert toy_recommender(users=nobody).measure(["b", "e"]) == {}


def test_items_that_are_not_known_are_left_out_of_the_measure(
    recommender: CatalogueRecommender, caplog: pytest.LogCaptureFixture
) -> None:
    assert recommender.measure(["b", "nobody's"]) == recommender.measure(["b"])
    assert "nobody" in caplog.text
