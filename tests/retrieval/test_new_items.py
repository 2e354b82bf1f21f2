"""Items that keep what they have learnt when their catalogue changes around them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from missrec.app.command_line.remedies import remedy_of
from missrec.app.model import build
from missrec.interests.index import NO_INTEREST
from missrec.models.missrec import MISSRec
from missrec.models.vqrec import VQRec
from missrec.retrieval.known_items import KnownItems
from missrec.retrieval.new_items import ItemMap, TakenOver, item_rows, map_items, take_over
from missrec.retrieval.predicted_ids import predicted_ids
from missrec.types import Catalogue, DiscoversInterests
from synthetic import catalogue, feature_table, raw_features, sequence_batch

CONF = Path(__file__).resolve().parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
BY_ID = ["bert4rec", "fdsa", "s3rec", "sasrec"]
WIDTHS = {"text": 6, "image": 5}

BEFORE = [f"k{number}" for number in range(1, 25)]
WITHOUT_IMAGE = ("k2", "k9", "new1")
WITHOUT_ANYTHING = "new3"
CHANGED = {
    "nothing": BEFORE,
    "renumbered": BEFORE[::-1],
    "new ones": ["new1", *BEFORE[:10], "new2", *BEFORE[10:], "new3"],
    "some gone": BEFORE[5:],
    "all of it": ["new2", *BEFORE[:4:-1], "new1", "new3"],
}


def series(keys: Sequence[str]) -> pl.Series:
    return pl.Series(keys, dtype=pl.String)


@pytest.mark.parametrize(
    ("before", "today", "expected"),
    [
        ({"a": ["x", "y"]}, {"a": ["x", "y"]}, [0, 1, 2]),
        ({"a": ["x", "y"]}, {"a": ["y", "x"]}, [0, 2, 1]),
        ({"a": ["x", "y", "z"]}, {"a": ["z", "n", "x"]}, [0, 3, 0, 1]),
        ({"a": ["x"]}, {"a": ["n", "m"]}, [0, 0, 0]),
        ({"a": ["x", "y"]}, {"renamed": ["y"]}, [0, 2]),
        ({"a": ["x"], "b": ["x", "y"]}, {"b": ["y", "x"], "a": ["x"]}, [0, 3, 2, 1]),
        ({"a": ["x"], "b": ["y"]}, {"b": ["x", "y"]}, [0, 0, 2]),
        ({"a": ["x"]}, {"a": ["x"], "c": ["x"]}, [0, 1, 0]),
        ({"a": ["x"]}, {"a": []}, [0]),
    ],
)
def test_an_item_is_known_by_its_domain_and_its_key(
    before: dict[str, list[str]], today: dict[str, list[str]], expected: list[int]
) -> None:
    found = map_items(
        {name: series(keys) for name, keys in before.items()},
        {name: series(keys) for name, keys in today.items()},
    )
    assert found.before.tolist() == expected
    assert found.known.tolist() == [item for item, was in enumerate(expected) if was]
    assert found.new.tolist() == [item for item, was in enumerate(expected) if item and not was]
    assert found.num_removed == sum(map(len, before.values())) - len(found.known)
    assert found.is_same == (before == today)


def test_rows_move_with_their_items_and_new_ones_start() -> None:
    items = map_items({"a": series(["x", "y", "z"])}, {"a": series(["z", "n"])})
    rows = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    assert items.moved(rows, dim=0, start=torch.full((3, 1), 9.0)).tolist() == [[0], [3], [9]]
    columns = torch.tensor([[-1, 5, 6, 7]])
    assert items.moved(columns, dim=1, start=torch.full((1, 3), -1)).tolist() == [[-1, 7, -1]]
    with pytest.raises(ValueError, match="entries for 2 items, and 3 are recorded"):
        items.moved(rows[:3], dim=0, start=torch.zeros(3, 1))


@cache
def config(name: str, transfer: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("train", [f"model={name}", f"transfer={transfer}"])


def features_of(key: str, modality: str) -> np.ndarray:
    """The same for a key in every catalogue; zeros where the item lacks the modality."""
    if key == WITHOUT_ANYTHING or (modality == "image" and key in WITHOUT_IMAGE):
        return np.zeros(WIDTHS[modality], np.float32)
    seed = [*key.encode(), len(modality)]
    return np.random.default_rng(seed).standard_normal(WIDTHS[modality], dtype=np.float32)


def catalogue_of(keys: Sequence[str], modalities: Sequence[str]) -> Catalogue:
    """Every item is clicked once or more, in the order of its key."""
    place = {key: number for number, key in enumerate(keys, start=1)}
    ids = [place[key] for key in sorted(keys)]
    features = {name: np.stack([features_of(key, name) for key in keys]) for name in modalities}
    histories = [[*ids[start : start + 6], ids[0], ids[1]] for start in range(0, len(ids), 3)]
    return catalogue(histories, features=features, num_items=len(keys))


def model_of(name: str, transfer: str, keys: Sequence[str], *, seed: int = 0) -> nn.Module:
    cfg = config(name, transfer)
    torch.manual_seed(seed)
    model: nn.Module = build(cfg, "model", catalogue=catalogue_of(keys, cfg.inputs.modalities))
    if isinstance(model, DiscoversInterests):
        model.refresh_interests()
    return model.eval()


def moved(
    name: str, transfer: str, keys: Sequence[str], *, predict_ids: bool = False
) -> tuple[nn.Module, nn.Module, TakenOver]:
    """A model of the catalogue before, the same for other keys, and what it can do there."""
    trained = model_of(name, transfer, BEFORE)
    with torch.no_grad():
        for parameter in trained.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
        for own, rows in item_rows(trained):
            if rows.is_id:
                trained.get_parameter(own)[0] = 0
    model = model_of(name, transfer, keys, seed=1)
    items = map_items({"a": series(BEFORE)}, {"a": series(keys)})
    features = catalogue_of(keys, config(name, transfer).inputs.modalities).features
    state = trained.state_dict()
    taken = take_over(model, state, items=items, features=features, predict_ids=predict_ids)
    return trained, model, taken


@pytest.fixture(autouse=True)
def _codes_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))
    config.cache_clear()


def scores(
    model: nn.Module, keys: Sequence[str], histories: list[list[str]]
) -> Mapping[str, Tensor]:
    """Key -> its scores for all histories."""
    place = {key: number for number, key in enumerate(keys, start=1)}
    batch = sequence_batch([[place[key] for key in own] for own in histories], [1] * len(histories))
    with torch.no_grad():
        found = model.score(model.encode(batch), model.candidates(torch.arange(1, len(keys) + 1)))
    return dict(zip(keys, found.T, strict=True))


HISTORIES = [["k7", "k8", "k20"], ["k9"], ["k12", "k11", "k10", "k9", "k24"]]
LEARNT = [name for name in MODELS if name not in {"last_item_transition", "most_popular"}]


@pytest.mark.parametrize("change", CHANGED)
@pytest.mark.parametrize("name", LEARNT)
@pytest.mark.parametrize("transfer", ["inductive", "transductive"])
def test_known_items_are_scored_for_known_histories_as_before(
    name: str, transfer: str, change: str
) -> None:
    keys = CHANGED[change]
    trained, model, _ = moved(name, transfer, keys)
    before, after = scores(trained, BEFORE, HISTORIES), scores(model, keys, HISTORIES)
    for key in set(BEFORE) & set(keys):
        torch.testing.assert_close(after[key], before[key], rtol=1e-5, atol=1e-6, msg=key)


@pytest.mark.parametrize("name", LEARNT)
def test_new_items_may_be_recommended_where_a_model_knows_something_of_them(name: str) -> None:
    keys = CHANGED["new ones"]
    _, model, taken = moved(name, "transductive", keys)
    known = {key for key, can in zip(keys, taken.recommendable[1:].tolist(), strict=True) if can}
    expected = set() if name in BY_ID else {"new1", "new2"}
    assert known == {*BEFORE, *expected}
    assert taken.num_unknown == 3 - len(expected)
    assert not taken.recommendable[0]
    for row_name, rows in item_rows(model):
        if rows.is_id:
            assert not model.get_parameter(row_name)[taken.items.new].any()


def test_of_a_catalogue_of_new_items_a_model_of_ids_knows_nothing() -> None:
    keys = [f"new{number}" for number in range(1, 11)]
    _, _, taken = moved("sasrec", "transductive", keys)
    assert not taken.recommendable.any()
    assert taken.items.num_removed == len(BEFORE)
    _, _, taken = moved("missrec", "transductive", keys)
    assert taken.recommendable.tolist() == [False, True, True, False, *[True] * 7]


@pytest.mark.parametrize("name", ["missrec", "missrec_released"])
def test_new_tokens_join_the_nearest_interest_that_has_a_member(name: str) -> None:
    trained, model, taken = moved(name, "inductive", CHANGED["new ones"])
    assert isinstance(trained, MISSRec)
    assert isinstance(model, MISSRec)
    assert torch.equal(model.interests.prototypes, trained.interests.prototypes)
    tokens, found = model.item_tokens().detach(), model.interests.interest_of_item
    live = trained.interests.interest_of_item.unique().tolist()
    for item in taken.items.new.tolist():
        for modality in range(2):
            if not model.features.present(torch.tensor([item]))[modality]:
                assert found[modality, item] == NO_INTEREST
                continue
            distances = {
                one: float((tokens[modality, item] - model.interests.prototypes[one]).norm())
                for one in live
                if one != NO_INTEREST
            }
            assert distances[int(found[modality, item])] == pytest.approx(min(distances.values()))
    known = taken.items.known
    assert torch.equal(
        found[:, known], trained.interests.interest_of_item[:, taken.items.before[known]]
    )


def test_a_moved_model_finds_as_many_interests_as_it_has_tokens_for() -> None:
    for keys in (CHANGED["new ones"], CHANGED["some gone"]):
        _, model, _ = moved("missrec", "inductive", keys)
        again = model_of("missrec", "inductive", keys)
        assert isinstance(model, MISSRec)
        again.load_state_dict(model.state_dict())  # as a checkpoint of it is
        model.refresh_interests()
        ratio = config("missrec", "inductive").model.interests.ratio
        num_tokens = int(model.features.present(torch.arange(len(keys) + 1)).sum())
        assert len(model.interests.prototypes) == round(ratio * num_tokens)


def test_ids_are_predicted_for_new_items_that_have_a_feature_alone() -> None:
    keys = CHANGED["new ones"]
    for name in ("missrec", "unisrec", "zesrec", "fdsa"):
        _, model, taken = moved(name, "transductive", keys, predict_ids=True)
        assert taken.recommendable.sum() == len(keys) - 1
        for row_name, rows in item_rows(model):
            if rows.is_id:
                new = model.get_parameter(row_name)[taken.items.new]
                assert new.any(dim=1).tolist() == [True, True, False]


def test_predicted_ids_are_those_of_a_linear_rule() -> None:
    text = raw_features(num_items=300, width=5, seed=1)
    image = raw_features(num_items=300, width=4, missing=range(5, 300, 10), seed=2)
    weights = np.random.default_rng(3).standard_normal((9, 2))
    lacks = ~image.any(axis=1)
    vectors = np.hstack([text, image]) @ weights + np.where(lacks[:, None], [5, -2], [1, 0])
    known, new = torch.arange(1, 281), torch.arange(281, 301)
    ids = torch.from_numpy(np.vstack([np.zeros((1, 2)), vectors]))
    table = feature_table({"text": text, "image": image})
    hidden = ids.clone()
    hidden[new] = 100
    found = predicted_ids(table, hidden, known=known, new=new)
    torch.testing.assert_close(found, ids[new], rtol=0.05, atol=0.3)
    one = predicted_ids(table, hidden, known=known, new=new[:1])
    torch.testing.assert_close(one, found[:1])
    constant = predicted_ids(table, torch.ones(301, 2), known=known, new=new)
    torch.testing.assert_close(constant, torch.ones(20, 2, dtype=constant.dtype))


def test_what_a_model_knows_nothing_of_is_neither_recommended_nor_read() -> None:
    keys = CHANGED["new ones"]
    _, model, taken = moved("sasrec", "transductive", keys)
    careful = KnownItems(model, taken.recommendable).eval()
    found = scores(careful, keys, [["k7", "new1", "k8"], ["new2"]])
    without = scores(model, keys, [["k7", "k8"], ["new2"]])
    for key in keys:
        if key in BEFORE:
            torch.testing.assert_close(found[key], without[key])
        else:
            assert found[key].tolist() == [-torch.inf] * 2
    with pytest.raises(RuntimeError, match="is not trained"):
        careful.training_loss(sequence_batch([[1]], [2]))


def test_another_model_s_state_is_refused_in_one_line() -> None:
    model = model_of("sasrec", "transductive", BEFORE)
    items = ItemMap(torch.arange(len(BEFORE) + 1), len(BEFORE))
    features = catalogue_of(BEFORE, []).features
    state = {name: value for name, value in model.state_dict().items() if "encoder" not in name}
    with pytest.raises(ValueError, match="does not fit the model of these settings") as refused:
        take_over(model, state, items=items, features=features, predict_ids=False)
    assert "\n" not in str(refused.value)
    assert "transfer" in str(remedy_of(refused.value))


def test_new_items_get_the_codes_that_the_run_s_codebooks_give_them() -> None:
    keys = CHANGED["new ones"]
    trained, model, taken = moved("vqrec", "inductive", keys)
    assert isinstance(trained, VQRec)
    assert isinstance(model, VQRec)
    place = {key: number for number, key in enumerate(keys, start=1)}
    assert model.items.present[place["new1"]].all()
    assert not model.items.present[place[WITHOUT_ANYTHING]].any()
    rotation, centroids = trained.items.codebooks[0].rotation, trained.items.codebooks[0].centroids
    for key in ("new1", "new2", "k3"):
        vector = torch.zeros(len(rotation))
        vector[: WIDTHS["text"]] = torch.from_numpy(features_of(key, "text"))
        parts = (rotation @ vector).view(len(centroids), -1)
        nearest = [
            int((own - part).norm(dim=1).argmin())
            for part, own in zip(parts, centroids, strict=True)
        ]
        assert model.items.codewords[place[key]].tolist() == nearest
    assert taken.recommendable[place["new1"]]


def test_a_checkpoint_without_codebooks_serves_all_but_new_items() -> None:
    trained = model_of("vqrec", "inductive", BEFORE)
    state = {key: value for key, value in trained.state_dict().items() if "codebooks" not in key}
    for change, keys in CHANGED.items():
        model = model_of("vqrec", "inductive", keys, seed=1)
        items = map_items({"a": series(BEFORE)}, {"a": series(keys)})
        features = catalogue_of(keys, ["text"]).features
        move = partial(take_over, items=items, features=features, predict_ids=False)
        if len(items.new):
            with pytest.raises(ValueError, match="codebooks of these item codes were not kept"):
                move(model, state)
            continue
        move(model, state)
        after, before = scores(model, keys, HISTORIES), scores(trained, BEFORE, HISTORIES)
        for key in keys:
            torch.testing.assert_close(after[key], before[key], msg=f"{change} {key}")
