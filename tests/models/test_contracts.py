"""What every model of `conf/model` must keep; a new YAML file is tested without a change here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from torch import Tensor, nn

from missrec.app.build import build
from missrec.types import DiscoversInterests, SequenceBatch
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
WITHOUT_PARAMETERS = {"most_popular"}
TRAINED = [name for name in MODELS if name not in WITHOUT_PARAMETERS]

NUM_ITEMS = 24
WITHOUT_IMAGE = [2, 5, 6, 9, 17, 20]
WITHOUT_ANYTHING = 6
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)


@cache
def config(name: str, *, transfer: str, inputs: str) -> DictConfig:
    """The composed config; composing takes longer than building."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose(
            "train", overrides=[f"model={name}", f"transfer={transfer}", f"inputs={inputs}"]
        )


def build_model(name: str, *, transfer: str, inputs: str = "text_image") -> nn.Module:
    """The model of a config file, its interests fresh, in evaluation mode."""
    cfg = config(name, transfer=transfer, inputs=inputs)
    missing = {"text": [WITHOUT_ANYTHING], "image": WITHOUT_IMAGE}
    features = {
        modality: raw_features(num_items=NUM_ITEMS, width=5, missing=missing[modality], seed=seed)
        for seed, modality in enumerate(cfg.inputs.modalities)
    }
    torch.manual_seed(0)
    model: nn.Module = build(cfg, "model", catalogue=catalogue(histories(), features=features))
    refresh(model)
    return model.eval()


def refresh(model: nn.Module) -> None:
    if isinstance(model, DiscoversInterests):
        model.refresh_interests()


def histories() -> list[list[int]]:
    return random_sequences(num_users=8, num_items=NUM_ITEMS, shortest=3, longest=9, seed=1)


def batch_of_eight(*, width: int | None = None) -> SequenceBatch:
    return sequence_batch(histories(), [4, 11, 4, 17, 1, 24, 6, 13], width=width)


def encode_and_score(model: nn.Module, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        encoded = model.encode(batch)
        return encoded, model.score(encoded, model.candidates(ALL_ITEMS))


@pytest.fixture(params=["inductive", "transductive"])
def transfer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_models_are_found() -> None:
    assert set(MODELS) >= {"missrec", *WITHOUT_PARAMETERS}
    assert TRAINED


@pytest.mark.parametrize("name", sorted(WITHOUT_PARAMETERS))
def test_models_that_are_not_trained_have_no_parameters(name: str, transfer: str) -> None:
    assert not list(build_model(name, transfer=transfer).parameters())


@pytest.mark.parametrize("name", MODELS)
def test_more_padding_changes_nothing(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    expected = encode_and_score(model, batch)
    for width in (batch.item_ids.shape[1] + 1, 50):
        padded = encode_and_score(model, batch_of_eight(width=width))
        torch.testing.assert_close(padded, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_sequence_does_not_depend_on_the_rest_of_its_batch(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    together = encode_and_score(model, batch)
    for user, history in enumerate(histories()):
        alone = encode_and_score(model, sequence_batch([history], [1]))
        expected = tuple(value[user : user + 1] for value in together)
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_permuting_the_batch_permutes_the_embeddings(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    order = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])
    permuted = SequenceBatch(*(column[order] for column in batch))
    expected = tuple(value[order] for value in encode_and_score(model, batch))
    torch.testing.assert_close(encode_and_score(model, permuted), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_encoder_never_reads_the_target(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    other = batch._replace(target_ids=batch.target_ids % NUM_ITEMS + 1)
    assert encode_and_score(model, other)[0].equal(encode_and_score(model, batch)[0])


@pytest.mark.parametrize("name", TRAINED)
def test_the_history_decides_the_scores(name: str, transfer: str) -> None:
    _, scores = encode_and_score(build_model(name, transfer=transfer), batch_of_eight())
    assert torch.pdist(scores).min() > 1e-3


@pytest.mark.parametrize("name", TRAINED)
@pytest.mark.parametrize("inputs", ["text", "image", "text_image"])
def test_every_parameter_that_trains_gets_a_gradient(name: str, transfer: str, inputs: str) -> None:
    model = build_model(name, transfer=transfer, inputs=inputs).train()
    model.training_loss(batch_of_eight()).total.backward()
    gradients = {
        parameter_name: parameter.grad
        for parameter_name, parameter in model.named_parameters()
        if parameter.requires_grad
        # A bias of all keys alike leaves the attention weights as they are.
        and not parameter_name.endswith("attention.key.bias")
    }
    without = [name for name, grad in gradients.items() if grad is None or not grad.any()]
    assert not without
    assert all(grad.isfinite().all() for grad in gradients.values())


@pytest.mark.parametrize("name", TRAINED)
def test_the_loss_falls_when_overfitting_eight_sequences(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    before = model.training_loss(batch).total
    for step in range(20):
        if step % 10 == 0:
            refresh(model)
        optimizer.zero_grad()
        model.train().training_loss(batch).total.backward()
        optimizer.step()
    after = model.eval().training_loss(batch).total
    assert after < before / 2, (before, after)


@pytest.mark.parametrize("name", MODELS)
def test_images_of_other_items_do_not_touch_items_without_image(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer)
    batch = sequence_batch([[2, 5, 9], [17], [20, 2, 6]], [1, 1, 1])
    users, scores = encode_and_score(model, batch)
    for buffer_name, images in model.named_buffers():
        if buffer_name.endswith("values_image"):
            images.normal_(generator=torch.Generator().manual_seed(9))
    changed_users, changed_scores = encode_and_score(model, batch)
    columns = torch.tensor(WITHOUT_IMAGE) - 1
    assert changed_users.equal(users)
    assert changed_scores[:, columns].equal(scores[:, columns])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("history", [[6], [6, 6, 6]])
def test_items_without_any_modality_give_finite_scores(
    name: str, transfer: str, history: list[int]
) -> None:
    model = build_model(name, transfer=transfer)
    _, scores = encode_and_score(model, sequence_batch([history, [1, 2, 3]], [6, 4]))
    assert scores.isfinite().all()


@pytest.mark.parametrize("name", TRAINED)
def test_items_without_any_modality_give_finite_gradients(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer).train()
    loss = model.training_loss(sequence_batch([[6], [6, 6, 6], [1, 2, 3]], [6, 4, 6])).total
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert loss.isfinite()
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
