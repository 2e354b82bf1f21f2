from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from missrec.interests.index import NO_INTEREST, InterestIndex
from missrec.models.missrec import MISSRec
from missrec.nn.adapters import LinearAdapter
from missrec.nn.encoder_decoder import EncoderDecoder
from missrec.nn.fusion import DynamicFusion
from missrec.objectives.ranking import FullSoftmax, InBatchSoftmax
from missrec.types import SequenceBatch
from synthetic import catalogue, sequence_batch, text_and_image

NUM_ITEMS, EMBED_DIM, MAX_SEQ_LEN = 12, 8, 6
WITHOUT_IMAGE = (2, 5, 6, 9)
WITHOUT_ANYTHING = 6
TEMPERATURE, ORTHOGONALITY_WEIGHT = 0.2, 0.3
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
            num_heads=2,
            feedforward_dim=12,
            dropout_prob=0.0,
            num_encoder_blocks=1,
            num_decoder_blocks=1,
        ),
        "interests": partial(
            InterestIndex,
            ratio=0.5,
            num_neighbors=2,
            mean_prototypes=False,
            normalize_tokens=False,
            block_bytes=1 << 20,
        ),
        "fusion": DynamicFusion(initial_alpha=2.0, learnable=True),
        "objective": InBatchSoftmax(temperature=TEMPERATURE),
        "orthogonality_weight": ORTHOGONALITY_WEIGHT,
        "item_ids": False,
        "normalize_ids": False,
        "positions_from_end": False,
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


def item_tokens(model: MISSRec, item: int) -> dict[int, Tensor]:
    """Modality -> x of one item, of the modalities that it has."""
    raw = features()
    return {
        number: model.adapters[modality](torch.from_numpy(raw[modality][item - 1]))
        for number, modality in enumerate(model.adapters)
        if raw[modality][item - 1].any()
    }


def id_embedding(model: MISSRec, item: int) -> Tensor:
    if model.item_embeddings is None:
        return torch.zeros(EMBED_DIM)
    return model.item_embeddings.weight[item]


def naive_decode(model: MISSRec, history: list[int], *, from_end: bool = False) -> Tensor:
    """(K, D) decoded interests of one history, without padding (sections 3.2.3 to 3.4.2)."""
    tokens, interests = [], set()
    for step, item in enumerate(history):
        position = model.positions.weight[len(history) - 1 - step if from_end else step]
        for modality, token in item_tokens(model, item).items():
            tokens.append(token + id_embedding(model, item) + position)
            interests.add(int(model.interests.interest_of_item[modality, item]))
    queries = torch.stack([model.interests.prototypes[interest] for interest in interests])
    return model.network(
        torch.stack(tokens)[None],
        queries[None],
        token_mask=torch.ones(1, len(tokens), dtype=torch.bool),
        query_mask=torch.ones(1, len(queries), dtype=torch.bool),
    ).embeddings[0]


def unit(vector: Tensor) -> Tensor:
    return vector / vector.norm()


def naive_score(model: MISSRec, user: Tensor, item: int) -> Tensor:
    """<u, v + z> of Eq. 10, with v built for this user by Eq. 1."""
    tokens = [unit(token) for token in item_tokens(model, item).values()]
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
def test_in_batch_training_loss_is_equation_8(*, item_ids: bool) -> None:
    model = missrec(item_ids=item_ids)
    ranking, orthogonality = [], []
    for history, positive in zip(HISTORIES, TARGETS, strict=True):
        decoded = naive_decode(model, history)
        user = unit(decoded.mean(dim=0))
        negatives = [target for target in TARGETS if target != positive]
        scores = [naive_score(model, user, item) / TEMPERATURE for item in [positive, *negatives]]
        ranking.append(torch.stack(scores).logsumexp(dim=0) - scores[0])
        products = [unit(one) @ unit(other) for one in decoded for other in decoded]
        orthogonality.append(torch.stack(products).sum() / len(decoded) ** 2)
    expected = (
        torch.stack(ranking).mean() + ORTHOGONALITY_WEIGHT * torch.stack(orthogonality).mean()
    )
    loss = model.training_loss(batch())
    torch.testing.assert_close(loss.total, expected)
    torch.testing.assert_close(loss.terms["ranking"], torch.stack(ranking).mean().detach())
    torch.testing.assert_close(
        loss.terms["orthogonality"], torch.stack(orthogonality).mean().detach()
    )
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    torch.testing.assert_close(
        torch.autograd.grad(loss.total, parameters),
        torch.autograd.grad(expected, parameters),
        rtol=1e-3,
        atol=1e-5,
    )


def test_full_softmax_training_loss_ranks_the_whole_catalogue() -> None:
    model = missrec(objective=FullSoftmax(temperature=TEMPERATURE), item_ids=True)
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
