from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from missrec.interests.index import NO_INTEREST, InterestIndex, InterestTokens
from missrec.models.missrec import MISSRec
from missrec.nn.adapters import LinearAdapter, NoAdapter
from missrec.nn.fusion import DynamicFusion, FixedFusion
from missrec.nn.sequence_networks import EncodedSequence, EncoderDecoder, ItemTokens
from missrec.nn.transformer import BlockSettings
from missrec.objectives.contrastive import SequenceContrast
from missrec.objectives.orthogonality import orthogonality, released_orthogonality
from missrec.objectives.ranking import FullSoftmax, InBatchSoftmax
from missrec.types import SequenceBatch
from synthetic import catalogue, dpc_knn, sequence_batch, text_and_image

NUM_ITEMS, EMBED_DIM, MAX_SEQ_LEN = 12, 8, 6
WITHOUT_IMAGE = (2, 5, 6, 9)
WITHOUT_ANYTHING = 6
TEMPERATURE, ORTHOGONALITY_WEIGHT = 0.2, 0.3
CONTRAST_TEMPERATURE, CONTRAST_WEIGHT = 0.4, 0.7
HISTORIES = [[1, 2, 3, 4, 5], [7, 2, 7, 9], [5], [6, 8, 6], [10, 11, 12, 1, 2, 3]]
TARGETS = [8, 3, 8, 6, 3]


def features() -> dict[str, np.ndarray]:
    """Text and image of 12 items; four have no image, and one of them has no text either."""
    raw = text_and_image(num_items=NUM_ITEMS, missing_images=WITHOUT_IMAGE)
    raw["text"][WITHOUT_ANYTHING - 1] = 0
    return raw


def missrec(raw: dict[str, np.ndarray] | None = None, **changes: Any) -> MISSRec:
    """A small model whose parameters are random and whose interests are fresh; no dropout."""
    torch.manual_seed(0)
    settings: dict[str, Any] = {
        "catalogue": catalogue(features=features() if raw is None else raw),
        "embed_dim": EMBED_DIM,
        "max_seq_len": MAX_SEQ_LEN,
        "adapter": LinearAdapter,
        "network": partial(
            EncoderDecoder,
            block=BlockSettings(
                num_heads=2,
                feedforward_dim=12,
                dropout_prob=0.0,
                activation_dropout_prob=0.0,
                layer_norm_eps=1e-5,
            ),
            num_encoder_blocks=1,
            num_decoder_blocks=1,
            init_std=None,
        ),
        "interests": partial(
            InterestIndex,
            ratio=0.5,
            clustering=dpc_knn(num_neighbors=2, mean_prototypes=False),
            normalize_tokens=False,
            padding_slot=False,
        ),
        "fusion": partial(DynamicFusion, initial_alpha=2.0, positive=True, per_item=False),
        "objective": InBatchSoftmax(),
        "temperature": TEMPERATURE,
        "orthogonality": orthogonality,
        "orthogonality_weight": ORTHOGONALITY_WEIGHT,
        "contrast": SequenceContrast(temperature=CONTRAST_TEMPERATURE, include_self=False),
        "contrast_weight": 0.0,
        "feature_dropout_prob": 0.0,
        "item_ids": False,
        "normalize_ids": False,
        "modality_weight": 1.0,
        "id_weight": 1.0,
        "positions_from_end": False,
        "missing_as_zeros": False,
    }
    model = MISSRec(**{**settings, **changes})
    for parameter in model.network.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.7)
    nn.init.normal_(model.positions.weight)
    if model.item_embeddings is not None:
        nn.init.normal_(model.item_embeddings.weight[1:])
    model.refresh_interests()
    return model


class DroppedAdapter(LinearAdapter):
    """Drops in training."""

    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(super().forward(features), 0.5, training=self.training)


def batch() -> SequenceBatch:
    return sequence_batch(HISTORIES, TARGETS)


def item_tokens(model: MISSRec, item: int, *, as_zeros: bool = False) -> dict[int, Tensor]:
    """Modality -> x of one item, of the modalities that it has; of all with `as_zeros`."""
    raw = features()
    return {
        number: model.adapters[modality](torch.from_numpy(raw[modality][item - 1]))
        for number, modality in enumerate(model.adapters)
        if as_zeros or raw[modality][item - 1].any()
    }


def id_embedding(model: MISSRec, item: int) -> Tensor:
    if model.item_embeddings is None:
        return torch.zeros(EMBED_DIM)
    return model.item_embeddings.weight[item]


def naive_decode(
    model: MISSRec, history: list[int], *, from_end: bool = False, as_zeros: bool = False
) -> Tensor:
    """(K, D) decoded interests of one history, without padding (sections 3.2.3 to 3.4.2)."""
    tokens, shared, interests = [], [], set()
    for step, item in enumerate(history):
        position = model.positions.weight[len(history) - 1 - step if from_end else step]
        for modality, token in item_tokens(model, item, as_zeros=as_zeros).items():
            tokens.append(token)
            shared.append(position + id_embedding(model, item))
            interests.add(int(model.interests.interest_of_item[modality, item]))
    queries = [model.interests.prototypes[i] for i in interests - {NO_INTEREST}]
    every_token = torch.ones(1, len(tokens), dtype=torch.bool)
    encoded: EncodedSequence = model.network(
        # One token after the other, as items of one modality.
        ItemTokens(
            torch.stack(tokens)[None, None],
            every_token[None],
            torch.stack(shared)[None],
            every_token,
        ),
        InterestTokens(torch.stack(queries)[None], torch.ones(1, len(queries), dtype=torch.bool)),
    )
    return encoded.interests[0]


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def naive_score(model: MISSRec, user: Tensor, item: int, *, as_zeros: bool = False) -> Tensor:
    """<u, v + z> of Eq. 10, with v built for this user by Eq. 1."""
    tokens = [unit(token) for token in item_tokens(model, item, as_zeros=as_zeros).values()]
    votes = [torch.exp(model.fusion.alpha * (user @ token)) for token in tokens]
    fused = sum(
        (vote / sum(votes) * token for vote, token in zip(votes, tokens, strict=True)),
        torch.zeros(EMBED_DIM),
    )
    return user @ (fused + id_embedding(model, item))


@pytest.mark.parametrize("item_ids", [False, True])
@pytest.mark.parametrize("positions_from_end", [False, True])
def test_sequence_embedding_is_the_mean_decoded_interest(
    *, item_ids: bool, positions_from_end: bool
) -> None:
    model = missrec(item_ids=item_ids, positions_from_end=positions_from_end)
    expected = [
        unit(naive_decode(model, history, from_end=positions_from_end).mean(dim=0))
        for history in HISTORIES
    ]
    torch.testing.assert_close(model.encode(batch()), torch.stack(expected))


def naive_contrast_of_equal_views(users: list[Tensor]) -> Tensor:
    """Eq. 6 with u' = u, without <u_i, u_i>: without any dropout both views are the same."""
    losses = []
    for i, user in enumerate(users):
        cosines = [user @ other for other in users]
        others = [cosine for j, cosine in enumerate(cosines) if j != i]
        logits = torch.stack([*cosines, *others]) / CONTRAST_TEMPERATURE
        losses.append(logits.logsumexp(dim=0) - cosines[i] / CONTRAST_TEMPERATURE)
    return torch.stack(losses).mean()


@pytest.mark.parametrize("item_ids", [False, True])
def test_score_is_that_of_equations_9_and_10(*, item_ids: bool) -> None:
    model = missrec(item_ids=item_ids)
    users, items = model.encode(batch()), [3, 6, 2, 11, 5, 12]
    scores = model.score(users, model.candidates(torch.tensor(items)))
    expected = [torch.stack([naive_score(model, user, item) for item in items]) for user in users]
    torch.testing.assert_close(scores, torch.stack(expected))


def test_normalized_ids_count_by_their_direction() -> None:
    model, plain = (missrec(item_ids=True, normalize_ids=normalize) for normalize in (True, False))
    users, items = model.encode(batch()), torch.arange(1, NUM_ITEMS + 1)
    assert model.item_embeddings is not None
    ids = model.item_embeddings.weight[1:]
    gain = model.score(users, model.candidates(items)) - plain.score(users, plain.candidates(items))
    expected = users @ (ids / ids.norm(dim=1, keepdim=True) - ids).T
    torch.testing.assert_close(gain, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("item_ids", [False, True])
@pytest.mark.parametrize("contrast_weight", [0.0, CONTRAST_WEIGHT])
def test_in_batch_training_loss_is_equations_7_and_8(
    contrast_weight: float, *, item_ids: bool
) -> None:
    model = missrec(item_ids=item_ids, contrast_weight=contrast_weight)
    users, ranking, orthogonal = [], [], []
    for history, positive in zip(HISTORIES, TARGETS, strict=True):
        decoded = naive_decode(model, history)
        user = unit(decoded.mean(dim=0))
        users.append(user)
        negatives = [target for target in TARGETS if target != positive]
        scores = [naive_score(model, user, item) / TEMPERATURE for item in [positive, *negatives]]
        ranking.append(torch.stack(scores).logsumexp(dim=0) - scores[0])
        products = [unit(one) @ unit(other) for one in decoded for other in decoded]
        orthogonal.append(torch.stack(products).sum() / len(decoded) ** 2)
    terms = {
        "ranking": torch.stack(ranking).mean(),
        "orthogonality": torch.stack(orthogonal).mean(),
    }
    expected = terms["ranking"] + ORTHOGONALITY_WEIGHT * terms["orthogonality"]
    if contrast_weight:
        terms["contrast"] = naive_contrast_of_equal_views(users)
        expected = expected + contrast_weight * terms["contrast"]
    loss = model.training_loss(batch())
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.terms, {name: value.detach() for name, value in terms.items()})
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.testing.assert_close(
        torch.autograd.grad(loss.total, parameters),
        torch.autograd.grad(expected, parameters),
        rtol=1e-3,
        atol=1e-5,
    )


def test_full_softmax_training_loss_ranks_the_whole_catalogue() -> None:
    model = missrec(objective=FullSoftmax(padding_candidate=False), item_ids=True)
    items = torch.arange(1, NUM_ITEMS + 1)
    scores = model.score(model.encode(batch()), model.candidates(items)) / TEMPERATURE
    rows = torch.arange(len(TARGETS))
    expected = scores.logsumexp(dim=1) - scores[rows, torch.tensor(TARGETS) - 1]
    torch.testing.assert_close(
        model.training_loss(batch()).terms["ranking"], expected.mean().detach()
    )


@pytest.mark.parametrize("item_ids", [False, True])
def test_the_image_adapter_does_not_touch_an_item_without_image(*, item_ids: bool) -> None:
    model, changed = missrec(item_ids=item_ids), missrec(item_ids=item_ids)
    nn.init.normal_(changed.adapters["image"].weight, std=3)
    nn.init.normal_(changed.adapters["image"].bias, std=3)
    with_image = [item for item in range(1, NUM_ITEMS + 1) if item not in WITHOUT_IMAGE]
    without_image, histories = torch.tensor(WITHOUT_IMAGE), [[2, 5], [9, 6, 2], [5]]
    text_only = sequence_batch(histories, [1, 1, 1])
    users = model.encode(text_only)
    assert changed.encode(text_only).equal(users)

    def score(model: MISSRec, items: Tensor) -> Tensor:
        return model.score(users, model.candidates(items))

    assert score(changed, without_image).equal(score(model, without_image))
    difference = score(changed, torch.tensor(with_image)) - score(model, torch.tensor(with_image))
    assert difference.abs().min() > 1e-4


def test_interests_are_clustered_from_the_adapted_tokens_without_ids() -> None:
    model = missrec(item_ids=True)
    tokens = {
        (modality, item): token
        for item in range(1, NUM_ITEMS + 1)
        for modality, token in item_tokens(model, item).items()
    }
    prototypes = model.interests.prototypes
    assert (len(tokens), len(prototypes)) == (11 + 8, 10)  # texts + images, ratio 0.5
    for (modality, item), token in tokens.items():
        nearest = (prototypes - token).norm(dim=1).argmin()
        assert model.interests.interest_of_item[modality, item] == nearest
    is_absent = model.interests.interest_of_item.eq(NO_INTEREST)
    assert int(is_absent.sum()) == 2 * (NUM_ITEMS + 1) - len(tokens)
    for prototype in prototypes:
        assert min((prototype - token).norm() for token in tokens.values()) < 1e-5


@pytest.mark.parametrize("training", [False, True])
def test_refreshing_neither_trains_nor_drops(*, training: bool) -> None:
    model = missrec(adapter=DroppedAdapter).train(training)
    report = model.refresh_interests()
    assert model.training is training
    assert report.drift == pytest.approx(0, abs=1e-6)
    assert not model.interests.prototypes.requires_grad


def test_without_positions_the_order_of_a_history_does_not_matter() -> None:
    model = missrec(item_ids=True)
    history = sequence_batch([[1, 2, 3, 4], [4, 2, 1, 3]], [5, 5])
    first, second = model.encode(history)
    assert (first - second).norm() > 0.01
    nn.init.zeros_(model.positions.weight)
    first, second = model.encode(history)
    torch.testing.assert_close(first, second)


def test_scores_of_a_part_of_the_catalogue_are_its_columns() -> None:
    model, users = missrec(item_ids=True), torch.eye(3, EMBED_DIM)
    whole = model.score(users, model.candidates(torch.arange(1, NUM_ITEMS + 1)))
    part = torch.tensor([9, 3, 6])
    torch.testing.assert_close(model.score(users, model.candidates(part)), whole[:, part - 1])


def test_only_the_transductive_model_has_item_embeddings_and_padding_stays_zero() -> None:
    inductive, transductive = missrec(), missrec(item_ids=True)
    names = {name for name, _ in transductive.named_parameters()}
    assert names - {name for name, _ in inductive.named_parameters()} == {"item_embeddings.weight"}
    optimizer = torch.optim.Adam(transductive.parameters(), lr=0.1)
    transductive.training_loss(batch()).total.backward()
    optimizer.step()
    assert transductive.item_embeddings is not None
    assert transductive.item_embeddings.weight[0].eq(0).all()


@pytest.mark.parametrize("modality", ["text", "image"])
def test_with_one_modality_the_score_is_its_inner_product(modality: str) -> None:
    raw = {modality: features()[modality]}
    model = missrec(raw)
    users = model.encode(batch())
    for item in range(1, NUM_ITEMS + 1):
        token = model.adapters[modality](torch.from_numpy(raw[modality][item - 1]))
        expected = users @ unit(token) * bool(raw[modality][item - 1].any())
        scores = model.score(users, model.candidates(torch.tensor([item])))
        torch.testing.assert_close(scores[:, 0], expected)


def test_full_softmax_with_the_padding_as_a_candidate_ranks_it_too() -> None:
    model = missrec(objective=FullSoftmax(padding_candidate=True), item_ids=True)
    scores = model.score(model.encode(batch()), model.candidates(torch.arange(NUM_ITEMS + 1)))
    assert scores[:, 0].eq(0).all()  # no modality, and the id of padding is zero
    logits = scores / TEMPERATURE
    expected = logits.logsumexp(dim=1) - logits[torch.arange(len(TARGETS)), torch.tensor(TARGETS)]
    torch.testing.assert_close(
        model.training_loss(batch()).terms["ranking"], expected.mean().detach()
    )


def test_the_temperature_divides_the_scores_of_the_loss_only() -> None:
    model, other = missrec(), missrec(temperature=3 * TEMPERATURE)
    users, items = model.encode(batch()), torch.arange(1, NUM_ITEMS + 1)
    scores = model.score(users, model.candidates(items))
    assert other.score(users, other.candidates(items)).equal(scores)
    targets = torch.tensor(sorted(set(TARGETS)))
    index = torch.searchsorted(targets, torch.tensor(TARGETS))
    expected = InBatchSoftmax()(scores[:, targets - 1] / (3 * TEMPERATURE), index)
    torch.testing.assert_close(other.training_loss(batch()).terms["ranking"], expected.detach())


class Readings:
    """What passed through the network of a model: its items and sequence embeddings."""

    def __init__(self, model: MISSRec) -> None:
        self.items: list[ItemTokens] = []
        self.sequences: list[Tensor] = []
        model.network.register_forward_hook(self._record)

    def _record(
        self, network: nn.Module, inputs: tuple[ItemTokens, object], encoded: EncodedSequence
    ) -> None:
        self.items.append(inputs[0])
        self.sequences.append(encoded.sequence)


@pytest.mark.parametrize(("contrast_weight", "num_readings"), [(0.0, 1), (CONTRAST_WEIGHT, 2)])
def test_without_contrast_each_sequence_is_read_once(
    contrast_weight: float, num_readings: int
) -> None:
    model = missrec(contrast_weight=contrast_weight, feature_dropout_prob=0.5)
    readings = Readings(model)
    loss = model.training_loss(batch())
    assert len(readings.items) == num_readings
    assert ("contrast" in loss.terms) is (num_readings == 2)


def square_features() -> dict[str, np.ndarray]:
    """Text and image of equal width; all items have both."""
    widths = {"text": EMBED_DIM, "image": EMBED_DIM}
    return text_and_image(num_items=NUM_ITEMS, widths=widths, missing_images=())


def test_each_view_of_the_histories_drops_their_raw_features_anew() -> None:
    raw = square_features()
    model = missrec(
        raw, adapter=NoAdapter, contrast_weight=CONTRAST_WEIGHT, feature_dropout_prob=0.5
    )
    readings = Readings(model)
    model.training_loss(batch())
    kept = []
    for items in readings.items:
        # Without adapters the tokens are the features; 1 / (1 - 0.5) = 2.
        features = torch.stack(
            [torch.from_numpy(raw[m])[batch().item_ids - 1] for m in ("text", "image")], dim=1
        )
        ratios = (items.modalities / features)[items.present]
        assert set(ratios.flatten().tolist()) == {0, 2}
        kept.append(ratios != 0)
    assert 0.4 < kept[0].double().mean() < 0.6
    assert not kept[0].equal(kept[1])
    first, second = (nn.functional.normalize(part, dim=-1) for part in readings.sequences)
    assert (first - second).norm(dim=-1).min() > 0.01


def test_the_contrast_compares_the_two_views_and_the_ranking_reads_the_first() -> None:
    model = missrec(contrast_weight=CONTRAST_WEIGHT, feature_dropout_prob=0.5)
    readings = Readings(model)
    loss = model.training_loss(batch())
    first, second = (nn.functional.normalize(part, dim=-1) for part in readings.sequences)
    contrast = SequenceContrast(temperature=CONTRAST_TEMPERATURE, include_self=False)
    torch.testing.assert_close(loss.terms["contrast"], contrast(first, second).detach())
    assert ranking_of(model, first).item() == pytest.approx(loss.terms["ranking"].item(), rel=1e-5)
    assert ranking_of(model, second).item() != pytest.approx(loss.terms["ranking"].item(), rel=1e-3)


def ranking_of(model: MISSRec, users: Tensor) -> Tensor:
    """The in-batch loss of users (B, D) against candidates that nothing dropped."""
    targets = torch.tensor(sorted(set(TARGETS)))
    with torch.no_grad():
        scores = model.score(users, model.candidates(targets))
    index = torch.searchsorted(targets, torch.tensor(TARGETS))
    return InBatchSoftmax()(scores / TEMPERATURE, index)


def test_candidates_are_not_dropped_though_they_stand_in_the_histories() -> None:
    in_histories = {item for history in HISTORIES for item in history}
    assert in_histories & set(TARGETS) == {3, 6, 8}
    model = missrec(feature_dropout_prob=0.9)
    readings = Readings(model)
    ranking = model.training_loss(batch()).terms["ranking"]
    users = nn.functional.normalize(readings.sequences[0], dim=-1)
    torch.testing.assert_close(ranking, ranking_of(model, users).detach())
    assert not users.allclose(model.encode(batch()))


def test_in_evaluation_no_feature_is_dropped() -> None:
    plain, dropping = (
        missrec(contrast_weight=CONTRAST_WEIGHT, feature_dropout_prob=prob).eval()
        for prob in (0.0, 0.9)
    )
    torch.testing.assert_close(
        dropping.training_loss(batch()).total, plain.training_loss(batch()).total, rtol=0, atol=0
    )


@pytest.mark.parametrize("training", [False, True])
def test_encoding_scoring_and_refreshing_drop_no_feature(*, training: bool) -> None:
    plain, dropping = (
        missrec(feature_dropout_prob=prob, item_ids=True).train(training) for prob in (0.0, 0.9)
    )
    items = torch.arange(1, NUM_ITEMS + 1)
    users = plain.encode(batch())
    assert dropping.encode(batch()).equal(users)
    scores = [model.score(users, model.candidates(items)) for model in (dropping, plain)]
    assert scores[0].equal(scores[1])
    dropping.refresh_interests()
    assert dropping.interests.prototypes.equal(plain.interests.prototypes)


def test_the_score_weighs_modalities_and_ids() -> None:
    users, items = torch.eye(3, EMBED_DIM), torch.arange(1, NUM_ITEMS + 1)

    def score(modality_weight: float, id_weight: float) -> Tensor:
        model = missrec(item_ids=True, modality_weight=modality_weight, id_weight=id_weight)
        return model.score(users, model.candidates(items))

    fused, ids = score(1, 0), score(0, 1)
    torch.testing.assert_close(fused, missrec().score(users, missrec().candidates(items)))
    embeddings = missrec(item_ids=True).item_embeddings
    assert embeddings is not None
    torch.testing.assert_close(ids, users @ embeddings.weight[1:].T)
    torch.testing.assert_close(score(2 / 3, 1 / 3), (2 * fused + ids) / 3)


@pytest.mark.parametrize("num_modalities", [1, 2, 3])
@pytest.mark.parametrize("item_ids", [False, True])
@pytest.mark.parametrize(
    "fusion",
    [
        partial(DynamicFusion, initial_alpha=2.0, positive=True, per_item=False),
        partial(DynamicFusion, initial_alpha=2.0, positive=False, per_item=True),
        partial(FixedFusion, alpha=0.0),
        partial(FixedFusion, alpha=math.inf),
        partial(FixedFusion, alpha=1e39),  # which float32 does not hold
    ],
)
def test_spared_products_change_neither_score_nor_gradient(
    num_modalities: int, fusion: Any, *, item_ids: bool
) -> None:
    raw = features()
    raw["other"] = raw["text"][::-1].copy()
    raw["other"][WITHOUT_ANYTHING - 1] = 0
    raw = dict(list(raw.items())[:num_modalities])
    model = missrec(
        raw, fusion=fusion, item_ids=item_ids, normalize_ids=True, modality_weight=0.7, id_weight=2
    )
    users = torch.randn(4, EMBED_DIM)
    items, weights = torch.arange(1, NUM_ITEMS + 1), torch.randn(4, NUM_ITEMS)
    vectors = model.item_vectors(items)
    fused = model.fusion([users @ part.T for part in vectors.tokens], vectors.present, items)
    plain = vectors.modality_weight * fused
    if vectors.ids is not None:
        plain = plain + users @ vectors.ids.T
    score = model.score(users, model.candidates(items))
    torch.testing.assert_close(score, plain)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [
        torch.autograd.grad((weights * one).sum(), learning, materialize_grads=True)
        for one in (score, plain)
    ]
    torch.testing.assert_close(*gradients)
    assert any(part.any() for part in gradients[0])


def test_without_ids_the_weights_change_nothing() -> None:
    users, items = torch.eye(3, EMBED_DIM), torch.arange(1, NUM_ITEMS + 1)
    weighted, plain = missrec(modality_weight=0.3, id_weight=0.4), missrec()
    found = weighted.score(users, weighted.candidates(items))
    assert found.equal(plain.score(users, plain.candidates(items)))


def test_a_missing_image_as_zeros_scores_as_the_bias_of_its_adapter() -> None:
    fusion = partial(FixedFusion, alpha=0.0)
    model, plain = (missrec(missing_as_zeros=zeros, fusion=fusion) for zeros in (True, False))
    users = torch.eye(3, EMBED_DIM)

    def score(model: MISSRec, items: tuple[int, ...]) -> Tensor:
        return model.score(users, model.candidates(torch.tensor(items)))

    bias = unit(model.adapters["image"].bias)
    text_only = (2, 5, 9)
    expected = (score(plain, text_only) + (users @ bias)[:, None]) / 2
    torch.testing.assert_close(score(model, text_only), expected)
    biases = bias + unit(model.adapters["text"].bias)
    torch.testing.assert_close(score(model, (WITHOUT_ANYTHING,))[:, 0], users @ biases / 2)
    assert score(model, (1, 3)).equal(score(plain, (1, 3)))


def test_a_missing_image_as_zeros_is_a_token_of_its_sequence_but_has_no_interest() -> None:
    model, plain = missrec(missing_as_zeros=True), missrec()
    found = model.encode(batch())
    expected = [
        unit(naive_decode(model, history, as_zeros=True).mean(dim=0)) for history in HISTORIES
    ]
    torch.testing.assert_close(found, torch.stack(expected))
    assert model.interests.interest_of_item.equal(plain.interests.interest_of_item)
    assert (found - plain.encode(batch())).norm(dim=-1).min() > 1e-3


def test_a_missing_feature_as_zeros_stays_zero_under_feature_dropout() -> None:
    model = missrec(missing_as_zeros=True, feature_dropout_prob=0.5)
    readings = Readings(model)
    model.training_loss(sequence_batch([[2, 5, 9]], [1]))
    images = readings.items[0].modalities[0, 1]
    torch.testing.assert_close(images, model.adapters["image"].bias.expand(3, -1))


def test_without_a_width_the_model_takes_that_of_its_first_features() -> None:
    model = missrec(embed_dim=None, item_ids=True)
    assert (model.features.modalities, model.features.dims) == (["text", "image"], [4, 3])
    assert model.adapters["image"].weight.shape == (4, 3)
    assert model.positions.weight.shape == (MAX_SEQ_LEN, 4)
    assert model.interests.prototypes.shape == (10, 4)
    assert model.encode(batch()).shape == (len(HISTORIES), 4)


def test_without_adapters_an_item_scores_by_its_raw_features() -> None:
    raw = square_features()
    model = missrec(raw, embed_dim=None, adapter=NoAdapter, fusion=partial(FixedFusion, alpha=0.0))
    text, image = (torch.from_numpy(raw[modality][2]) for modality in ("text", "image"))
    users = model.encode(batch())
    expected = users @ (unit(text) + unit(image)) / 2
    torch.testing.assert_close(
        model.score(users, model.candidates(torch.tensor([3])))[:, 0], expected
    )
    assert not list(model.adapters.parameters())


def test_the_model_regularises_by_the_function_it_is_given() -> None:
    model = missrec(orthogonality=released_orthogonality)
    history = batch()._replace(item_ids=batch().item_ids[:1], target_ids=batch().target_ids[:1])
    decoded = naive_decode(model, HISTORIES[0])
    by_hand = decoded.sum(dim=0).square().sum() / EMBED_DIM  # no padding: all entries are real
    loss = model.training_loss(history)
    torch.testing.assert_close(loss.terms["orthogonality"], by_hand.detach())
    expected = loss.terms["ranking"] + ORTHOGONALITY_WEIGHT * by_hand
    torch.testing.assert_close(loss.total, expected)


@pytest.mark.parametrize(
    ("fusion", "bound"),
    [
        (partial(DynamicFusion, initial_alpha=1.0, positive=True, per_item=True), True),
        (partial(DynamicFusion, initial_alpha=1.0, positive=True, per_item=False), False),
        (partial(FixedFusion, alpha=0.0), False),
    ],
)
def test_an_alpha_of_each_item_stays_in_its_domain(
    fusion: Callable[..., nn.Module], *, bound: bool
) -> None:
    expected = {"item_embeddings", "interests"} | ({"fusion.raw_alpha"} if bound else set())
    assert set(missrec(fusion=fusion).domain_bound) == expected


@pytest.mark.parametrize("temperature", [-1.0, 0.0, math.nan])
def test_temperature_out_of_range_is_refused(temperature: float) -> None:
    with pytest.raises(ValueError, match=rf"temperature \({temperature}\) must be above 0"):
        missrec(temperature=temperature)


def test_feature_dropout_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dropout_prob \(1.0\) must be in \[0, 1\)"):
        missrec(feature_dropout_prob=1.0)


def loss_and_gradients(model: MISSRec) -> tuple[Tensor, dict[str, Tensor]]:
    model.zero_grad()
    loss = model.training_loss(batch()).total
    loss.backward()
    gradients = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    return loss.detach(), gradients


@pytest.mark.parametrize("objective", [InBatchSoftmax(), FullSoftmax(padding_candidate=False)])
def test_features_on_disk_train_as_features_on_the_device(objective: object) -> None:
    resident = missrec(objective=objective)
    on_disk = missrec(
        objective=objective, catalogue=catalogue(features=features(), resident_bytes=0)
    )
    assert (resident.features.is_resident, on_disk.features.is_resident) == (True, False)
    torch.testing.assert_close(
        loss_and_gradients(on_disk), loss_and_gradients(resident), rtol=0, atol=0
    )


def test_mixed_precision_keeps_scores_in_single() -> None:
    model = missrec(item_ids=True).eval()
    user = model.encode(batch())
    items = model.candidates(torch.arange(1, NUM_ITEMS + 1))
    plain = model.score(user, items)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = model.score(user, items)
        narrow = model.score(user.bfloat16(), items)
    assert mixed.dtype == narrow.dtype == torch.float32
    assert torch.equal(mixed, plain)


def test_mixed_precision_trains_nearly_the_same() -> None:
    model = missrec(item_ids=True, contrast_weight=CONTRAST_WEIGHT)
    plain, gradients = loss_and_gradients(model)
    with torch.autocast("cpu", torch.bfloat16):
        mixed, rounded = loss_and_gradients(model)
    torch.testing.assert_close(mixed, plain, rtol=0.02, atol=0)
    assert not torch.equal(mixed, plain)  # or nothing was in mixed precision
    for name, gradient in gradients.items():
        if gradient.norm() > 1e-3:
            cosine = nn.functional.cosine_similarity(
                gradient.flatten(), rounded[name].flatten(), dim=0
            )
            assert cosine > 0.98, name
