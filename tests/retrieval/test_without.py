from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from item_vectors import random_users, random_vectors
from missrec.retrieval.interests import principal_plane
from missrec.retrieval.table import ItemTable
from toy_recommender import (
    KEYS,
    PROTOTYPES,
    WEIGHT,
    ToyChain,
    ToyCounts,
    ToyInterests,
    scored,
    toy_recommender,
)

HISTORY = ["b", "10"]


def fused_without(left_out: set[str], item: str) -> float:
    """The score by hand: the plain mean goes over the modalities that stay."""
    parts = scored(HISTORY, item)
    products = {
        name: parts[name] / WEIGHT * sum(one != 0 for one in (parts["text"], parts["image"]))
        for name in ("text", "image")
    }
    stay = {name: value for name, value in products.items() if value != 0 and name not in left_out}
    fused = WEIGHT * sum(stay.values()) / len(stay) if stay else 0.0
    return fused + (0.0 if "id" in left_out else parts["id"])


@pytest.mark.parametrize(
    "left_out", [{"image"}, {"text"}, {"id"}, {"text", "id"}, {"text", "image"}, set()]
)
def test_scores_lack_the_parts_that_are_left_out(left_out: set[str]) -> None:
    toys = toy_recommender().without(left_out)
    assert toys.parts == tuple(name for name in ("text", "image", "id") if name not in left_out)
    found = toys.recommend([HISTORY], k=5, exclude_seen=False)
    assert dict(found.select("item", "score").iter_rows()) == pytest.approx(
        {item: fused_without(left_out, item) for item in KEYS}
    )
    shares = found.select(f"share_{part}" for part in toys.parts)
    assert all(sum(row) in (0, pytest.approx(1)) for row in shares.iter_rows())


def test_the_recommender_itself_stays_whole() -> None:
    toys = toy_recommender()
    before = toys.recommend([HISTORY], k=5)
    other = toys.without({"id"})
    other.similar(["b"], k=2)
    assert toys.recommend([HISTORY], k=5).equals(before)
    assert toys.parts == ("text", "image", "id")
    assert toys.similar(["b"], k=4).equals(toy_recommender().similar(["b"], k=4))


def test_reasons_are_of_the_parts_that_stay() -> None:
    rows = toy_recommender().without({"image"}).explain(HISTORY, "a")
    parts = dict(rows.filter(kind="part").select("name", "value").iter_rows())
    assert list(parts) == ["text", "id"]
    assert math.fsum(parts.values()) == pytest.approx(fused_without({"image"}, "a"))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"sound"}, "'sound' is no part of a score; parts: text, image, id"),
        ({"text", "sound"}, "'sound' is no part"),
        ({"text", "image", "id"}, "without text and image and id nothing of a score is left"),
    ],
)
def test_what_is_no_part_and_all_parts_are_refused(parts: set[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_recommender().without(parts)


def test_models_whose_scores_have_no_parts_say_so() -> None:
    assert toy_recommender(ToyChain()).parts == ()
    with pytest.raises(ValueError, match="the scores of ToyChain have no parts"):
        toy_recommender(ToyChain()).without({"text"})
    assert toy_recommender(ToyCounts()).parts == ("bias",)
    with pytest.raises(ValueError, match="without bias nothing of a score is left"):
        toy_recommender(ToyCounts()).without({"bias"})


@pytest.mark.parametrize("alpha", [0.0, 3.0, float("inf"), -2.0])
def test_a_table_without_a_modality_is_that_of_items_that_never_had_it(alpha: float) -> None:
    vectors = random_vectors(40, alpha=alpha, bias=True, modalities=("text", "image", "sound"))
    table = ItemTable(vectors, key_ranks=torch.randperm(40, generator=_seeded()))
    lacking = vectors._replace(tokens=vectors.tokens.clone(), present=vectors.present.clone())
    lacking.tokens[1] = 0
    lacking.present[1] = False
    expected = ItemTable(lacking, key_ranks=table.places)
    users, items = (
        part.flatten() for part in torch.meshgrid(*map(torch.arange, (3, 40)), indexing="ij")
    )
    encoded = random_users(3)
    found = table.without(["image"]).pair_scores(encoded, users, items)
    assert found.total.equal(expected.pair_scores(encoded, users, items).total)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_interests_on_the_map_are_as_far_from_each_other_as_in_two_dimensions() -> None:
    found = toy_recommender(ToyInterests()).interest_map()
    assert found.select("interest", "size", "share_text", "item", "title").rows() == [
        (1, 4, 0.75, "a", "Toy a"),
        (0, 3, pytest.approx(1 / 3), "a", "Toy a"),
        (2, 1, 0.0, "d", "Toy d"),
    ]
    places = torch.tensor(found.select("x", "y").rows(), dtype=torch.float64)
    in_order = PROTOTYPES[found["interest"].to_list()].double()
    torch.testing.assert_close(torch.cdist(places, places), torch.cdist(in_order, in_order))
    torch.testing.assert_close(places.mean(dim=0), torch.zeros(2, dtype=torch.float64))


def test_models_without_interests_have_no_map() -> None:
    with pytest.raises(ValueError, match="ToyFusion finds no interests"):
        toy_recommender().interest_map()


@pytest.mark.parametrize("shape", [(30, 6), (3, 6), (2, 4), (1, 3), (5, 1)])
def test_the_plane_holds_the_most_variance_and_never_lies_mirrored(shape: tuple[int, int]) -> None:
    points = torch.randn(shape, generator=_seeded())
    plane = principal_plane(points)
    assert plane.shape == (shape[0], 2)
    values = torch.linalg.svdvals(points.double() - points.double().mean(dim=0))
    values = torch.nn.functional.pad(values, (0, 2))[:2]
    torch.testing.assert_close(plane.norm(dim=0), values, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(principal_plane(_shifted(points)), plane)


def _shifted(points: Tensor) -> Tensor:
    return points.double() + 7
