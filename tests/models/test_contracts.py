"""What every model and every choice of `conf/model` must keep.

A new YAML file is tested without a change here, unless its model reads sequences in both
directions. A run is named `<model>`, `<model> <group>=<x>` for a choice on top of a model, or
`<model> <stage>`.
"""

from __future__ import annotations

import itertools
from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from missrec.app.model import build
from missrec.objectives.ranking import FullSoftmax
from missrec.retrieval.table import ItemTable
from missrec.types import DiscoversInterests, LearnsItems, SequenceBatch, has_item_vectors
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

CONF = Path(__file__).parents[2] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
DEFAULTS = OmegaConf.load(CONF / "model" / "missrec.yaml").defaults
GROUPS = sorted(group for default in DEFAULTS if default != "_self_" for group in default)
OPTIONS = {
    group: sorted(path.stem for path in (CONF / "model" / group).glob("[!_]*.yaml"))
    for group in GROUPS
}
CHOICES = [
    f"missrec {group}={option}"
    for group, options in OPTIONS.items()
    for option in options
    if {group: option} not in DEFAULTS
]
PRETRAINED = [
    f"{path.stem} pretraining@model={path.stem}"
    for path in sorted((CONF / "model" / "pretraining").glob("*.yaml"))
]
STAGES = {
    "s3rec self_supervision": "model.self_supervised=true",
    "vqrec alignment": "+model/permutation@model.items.permutation=learned",
}
"""What a model learns in a stage of its own before the next item."""
TRANSFERS = ["inductive", "transductive"]
FURTHER_OVERRIDES = {
    "adapter=none": ["model.embed_dim=null"],
    "contrast=as_printed": ["model.contrast_weight=1.0", "model.feature_dropout_prob=0.2"],
    "contrast=views": ["model.contrast_weight=1.0", "model.feature_dropout_prob=0.2"],
}
STEPS_TO_GRADIENT = {"missrec adapter=bottleneck": 2, "missrec interests=collapsed": 2}
"""Behind what starts at zero there is a gradient from the second step on."""
WITHOUT_GRADIENT = {
    # One interest has nothing to attend to, and a zero vector stays one under LayerNorm.
    "missrec interests=collapsed": {
        "network.decoder.0.self_attention.query.weight",
        "network.decoder.0.self_attention.query.bias",
        "network.decoder.0.self_attention.key.weight",
        "network.query_norm.weight",
    },
}
"""What trains in general but not here."""
OVERFITTING = {"bert4rec": (0.001, 40)}
"""Learning rate and steps where 0.003 and 20 do not do: each step hides other items."""

SCORED_WITHOUT_IMAGES = {"vqrec", "s3rec"}
"""Codes are made once, and the second stage of S³-Rec reads no feature."""

IN_BOTH_DIRECTIONS = {"bert4rec", "missrec", "missrec_released", "missrec_small"}

NUM_ITEMS, FEATURE_DIM = 24, 6
WITHOUT_IMAGE = [2, 5, 6, 9, 17, 20]
WITHOUT_ANYTHING = 6
ALL_ITEMS = torch.arange(1, NUM_ITEMS + 1)


@cache
def config(name: str, *, transfer: str, inputs: str | None = None) -> DictConfig:
    """The composed config, with the model's own inputs unless given; composing is slow."""
    model, *choices = name.split()
    overrides = [f"model={model}", f"transfer={transfer}"]
    if inputs is not None:
        overrides.append(f"inputs={inputs}")
    for choice in choices:
        overrides += [STAGES.get(name, f"model/{choice}"), *FURTHER_OVERRIDES.get(choice, [])]
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose("train", overrides=overrides)


def all_inputs(name: str) -> list[str]:
    """What the model can read."""
    by_default: str = config(name, transfer="inductive").inputs.name
    return {
        "id": ["ids"],
        "v": ["image"],
        "t": ["text", "image"],
        "t2": ["text_with_view"],
        "tv": ["text", "image", "text_image"],
    }[by_default]


def build_model(name: str, *, transfer: str, inputs: str | None = None) -> nn.Module:
    """The model of a config file, its interests fresh, in evaluation mode; each call's own."""
    model = deepcopy(built(name, transfer=transfer, inputs=inputs))
    torch.manual_seed(0)  # for what the test draws
    return model


@cache
def built(name: str, *, transfer: str, inputs: str | None) -> nn.Module:
    """Shared by the tests, because building takes longer than most of them."""
    cfg = config(name, transfer=transfer, inputs=inputs)
    missing = {"image": WITHOUT_IMAGE}
    features = {
        modality: raw_features(
            num_items=NUM_ITEMS,
            width=FEATURE_DIM,
            missing=missing.get(modality, [WITHOUT_ANYTHING]),
            seed=seed,
        )
        for seed, modality in enumerate(cfg.inputs.modalities)
    }
    torch.manual_seed(0)
    model: nn.Module = build(
        cfg, "model", catalogue=catalogue(histories(), features=features, num_items=NUM_ITEMS)
    )
    refresh(model)
    return model.eval()


def refresh(model: nn.Module) -> None:
    if isinstance(model, DiscoversInterests):
        model.refresh_interests()


def histories() -> list[list[int]]:
    return random_sequences(num_users=8, num_items=NUM_ITEMS, shortest=3, longest=9, seed=1)


def without_parameters() -> list[str]:
    """Models that do not train, known while tests are collected, when no fixture is there yet."""
    with TemporaryDirectory() as root, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PROJECT_ROOT", root)  # where item codes are kept
        return [
            name
            for name in MODELS
            if not list(build_model(name, transfer="inductive").parameters())
        ]


FLOORS = without_parameters()
TRAINED = [name for name in MODELS if name not in FLOORS]
CAUSAL = [name for name in TRAINED if name not in IN_BOTH_DIRECTIONS]

EVERY_TRAINED = [
    *(
        (name, transfer, inputs)
        for name in TRAINED
        for transfer in TRANSFERS
        for inputs in all_inputs(name)
    ),
    *((name, "transductive", "text_image") for name in CHOICES),
]
"""Model, transfer and inputs: all that a model reads, and each choice of its parts."""

TRAINED_RUNS = [
    *itertools.product(TRAINED, TRANSFERS),
    *((name, "transductive") for name in CHOICES),
    *((name, "inductive") for name in [*PRETRAINED, *STAGES]),
]
every_model_and_choice = pytest.mark.parametrize(
    ("name", "transfer"), [*itertools.product(FLOORS, TRANSFERS), *TRAINED_RUNS]
)


def batch_of_eight(*, width: int | None = None) -> SequenceBatch:
    return sequence_batch(histories(), [4, 11, 4, 17, 1, 24, 6, 13], width=width)


def encode_and_score(model: nn.Module, batch: SequenceBatch) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        encoded = model.encode(batch)
        return encoded, model.score(encoded, model.candidates(ALL_ITEMS))


@pytest.fixture(params=TRANSFERS)
def transfer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_models_are_found() -> None:
    assert set(TRAINED) >= {"missrec", "missrec_released", "sasrec"}
    assert {name.split()[0] for name in PRETRAINED} <= set(TRAINED)


def test_the_choices_of_every_group_are_found() -> None:
    assert GROUPS == ["adapter", "contrast", "fusion", "interests", "network", "orthogonality"]
    assert len(CHOICES) == sum(map(len, OPTIONS.values())) - len(GROUPS)  # but for the defaults
    assert {*STEPS_TO_GRADIENT, *WITHOUT_GRADIENT} <= set(CHOICES)
    assert all(f"missrec {choice}" in CHOICES for choice in FURTHER_OVERRIDES)


def test_every_choice_differs_from_the_default_and_from_the_others_of_its_group() -> None:
    for group in OPTIONS:
        names = [name for name in CHOICES if name.startswith(f"missrec {group}=")]
        parts = {
            name: config(name, transfer="transductive").model[group] for name in ["missrec", *names]
        }
        for one, other in itertools.combinations(parts, 2):
            assert parts[one] != parts[other], (one, other)


def test_the_floors_are_the_models_without_parameters() -> None:
    assert FLOORS == ["item_knn", "last_item_transition", "most_popular", "nearest_neighbor"]


class Waits(TorchDispatchMode):
    """Counts the operations for which a program waits for its GPU: shapes depend on values."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(index, Tensor) and index.dtype == torch.bool
            for index in itertools.chain.from_iterable(arg for arg in args if type(arg) is list)
        )
        of_values = name in {"_local_scalar_dense", "nonzero", "masked_select", "bincount"}
        self.count += by_mask or of_values or "unique" in name
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(("name", "transfer"), TRAINED_RUNS)
def test_a_training_step_seldom_waits_for_the_device(
    monkeypatch: pytest.MonkeyPatch, name: str, transfer: str
) -> None:
    for module in ("rows", "fusion"):  # as on a GPU
        monkeypatch.setattr(f"missrec.nn.{module}.eagerly_on_cpu", lambda _: False)
    model = build_model(name, transfer=transfer).train()
    counts = []
    for num_users in (2, 8):
        batch = SequenceBatch(*(part[:num_users] for part in batch_of_eight()))
        with Waits() as waits:
            model.training_loss(batch).total.backward()
        counts.append(waits.count)
    reads_features_twice = "contrast=" in name or "pretraining@" in name or name in STAGES
    assert counts[0] == counts[1] <= (9 if reads_features_twice else 4)


@pytest.mark.parametrize(("name", "transfer"), TRAINED_RUNS)
def test_the_loss_has_the_terms_that_the_model_names(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer).train()
    assert tuple(model.training_loss(batch_of_eight()).terms) == model.loss_terms


@pytest.mark.parametrize(("name", "transfer"), TRAINED_RUNS)
def test_a_full_softmax_in_blocks_is_the_plain_one(name: str, transfer: str) -> None:
    found = []
    for score_bytes in (None, 4 * 8 * 5):  # all items at once, or five
        model = build_model(name, transfer=transfer).train()
        model.objective = FullSoftmax(padding_candidate=False, score_bytes=score_bytes)
        torch.manual_seed(0)
        loss = model.training_loss(batch_of_eight()).total
        loss.backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=5e-6)


@pytest.mark.parametrize("objective", sorted(p.stem for p in (CONF / "objective").glob("*.yaml")))
@pytest.mark.parametrize("name", TRAINED)
def test_every_objective_teaches_every_model(name: str, objective: str) -> None:
    model = build_model(name, transfer="transductive").train()
    model.objective = instantiate(OmegaConf.load(CONF / "objective" / f"{objective}.yaml"))
    if isinstance(model.objective, LearnsItems):
        model.objective.learn_items(catalogue(histories(), features={}, num_items=NUM_ITEMS))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        torch.manual_seed(0)  # the same dropout and draws, so that the loss alone changes
        loss = model.training_loss(batch_of_eight()).total
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0], losses


WITHOUT_VECTORS = {"item_knn", "last_item_transition", "missrec_plus"}
"""Their scores are no inner products."""


@every_model_and_choice
def test_scores_do_not_depend_on_the_order_of_candidates(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer)
    encoded, scores = encode_and_score(model, batch_of_eight())
    orders = [
        ALL_ITEMS[torch.randperm(NUM_ITEMS, generator=torch.Generator().manual_seed(3))],
        ALL_ITEMS.flip(0),
        torch.tensor([7, 2, 7, 7, 24, 1, 2]),
        torch.tensor([WITHOUT_ANYTHING]),
    ]
    for items in orders:
        with torch.no_grad():
            shuffled = model.score(encoded, model.candidates(items))
        torch.testing.assert_close(shuffled, scores[:, items - 1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "transfer", "inputs"),
    [
        *itertools.product(FLOORS, TRANSFERS, [None]),
        *EVERY_TRAINED,
    ],
)
def test_scores_follow_from_the_vectors_of_the_items(
    name: str, transfer: str, inputs: str | None
) -> None:
    model = build_model(name, transfer=transfer, inputs=inputs)
    assert has_item_vectors(model) == (name not in WITHOUT_VECTORS)
    if not has_item_vectors(model):
        return
    for parameter in model.parameters():  # ids and biases that start at zero would say nothing
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    encoded, scores = encode_and_score(model, batch_of_eight())
    table = ItemTable.of(model, ALL_ITEMS, key_ranks=ALL_ITEMS - 1, items_per_block=7)
    users, items = torch.ones_like(scores).nonzero(as_tuple=True)
    exact = table.pair_scores(encoded, users, items)
    torch.testing.assert_close(
        exact.total, scores.double().flatten(), rtol=1e-5, atol=1e-5, check_dtype=False
    )
    assert exact.parts.sum(dim=0).allclose(exact.total)


@every_model_and_choice
def test_more_padding_changes_nothing(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    expected = encode_and_score(model, batch)
    for width in (batch.item_ids.shape[1] + 1, 50):
        padded = encode_and_score(model, batch_of_eight(width=width))
        torch.testing.assert_close(padded, expected, rtol=1e-4, atol=1e-5)


@every_model_and_choice
def test_a_sequence_does_not_depend_on_the_rest_of_its_batch(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    together = encode_and_score(model, batch)
    for user, history in enumerate(histories()):
        alone = encode_and_score(model, sequence_batch([history], [1]))
        expected = tuple(value[user : user + 1] for value in together)
        torch.testing.assert_close(alone, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_history_as_long_as_the_model_reads_does_not_depend_on_its_batch(
    name: str, transfer: str
) -> None:
    model = build_model(name, transfer=transfer)
    longest = random_sequences(num_users=1, num_items=NUM_ITEMS, shortest=50, longest=50)
    together = encode_and_score(model, sequence_batch([[3, 8, 1], *longest], [2, 5]))
    alone = encode_and_score(model, sequence_batch(longest, [5]))
    torch.testing.assert_close(alone, tuple(value[1:] for value in together), rtol=1e-4, atol=1e-5)
    if name in TRAINED:
        loss = model.training_loss(sequence_batch([[3, 8, 1], *longest], [2, 5])).total
        assert loss.isfinite()


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


@pytest.mark.parametrize(
    "name", ["sasrec", "bert4rec", "fdsa", "s3rec self_supervision", "unisrec", "vqrec"]
)
def test_linear_maps_start_as_in_recbole_and_unisrec(name: str) -> None:
    model = build_model(name, transfer="transductive")
    linear_maps = [module for module in model.modules() if isinstance(module, nn.Linear)]
    assert linear_maps
    for linear in linear_maps:
        assert not linear.bias.any()
        assert linear.weight.std().item() == pytest.approx(0.02, rel=0.1)


@pytest.mark.parametrize("name", CAUSAL)
def test_what_is_said_at_an_item_does_not_depend_on_later_ones(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer)
    batches = [sequence_batch([[7, 3, 12, 9, last], [5, 3, 8, 1, 2]], [1, 1]) for last in (4, 11)]
    said: list[list[Tensor]] = []

    def keep(_module: nn.Module, _inputs: Any, output: Any) -> None:
        output = output[0] if isinstance(output, tuple) else output  # of an nn.GRU
        if not isinstance(output, Tensor) or output.ndim != 3:
            return
        if output.shape[:2] == batches[0].item_ids.shape:
            said[-1].append(output.detach())

    for module in model.modules():
        module.register_forward_hook(keep)
    for batch in batches:
        said.append([])
        if getattr(model, "each_prefix_alone", "unsaid") is None:  # speaks where a target follows
            model.training_loss(batch._replace(target_ids=torch.ones_like(batch.item_ids)))
        else:
            model.encode(batch)
    changes = [(one - other).abs().amax(dim=(0, 2)) for one, other in zip(*said, strict=True)]
    assert len(changes) > 1
    assert changes[-1][-1] > 1e-3
    assert max(change[:-1].max() for change in changes) < 1e-5


@pytest.mark.parametrize("name", [*CAUSAL, *PRETRAINED, *STAGES])
def test_one_pass_for_all_prefixes_learns_what_a_pass_for_each_does(name: str) -> None:
    model = build_model(name, transfer="transductive")  # without dropout
    if getattr(model, "each_prefix_alone", "unsaid") is not None:
        assert name not in {"sasrec", "sasrec_text", "fdsa", "s3rec", "unisrec", "vqrec", "zesrec"}
        return
    sequences = [[*history, 1 + row] for row, history in enumerate(histories())]
    ends = [(s, end) for s in sequences for end in range(1, len(s))]
    apart = sequence_batch([s[:end] for s, end in ends], [s[end] for s, end in ends])
    together = sequence_batch([s[:-1] for s in sequences], [1] * len(sequences))
    following = [[*s[1:], *[0] * (together.item_ids.shape[1] - len(s) + 1)] for s in sequences]
    found = []
    for batch in (together._replace(target_ids=torch.tensor(following)), apart):
        model.zero_grad()
        torch.manual_seed(0)  # for negatives and permutations that are drawn
        loss = model.training_loss(batch).total
        loss.backward()
        gradients = {key: p.grad for key, p in model.named_parameters() if p.grad is not None}
        found.append((loss.detach(), gradients))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=5e-6)


@pytest.mark.parametrize("name", sorted(IN_BOTH_DIRECTIONS))
def test_a_model_that_reads_in_both_directions_says_why_prefixes_stay_apart(name: str) -> None:
    assert "in both directions" in build_model(name, transfer="transductive").each_prefix_alone


@pytest.mark.parametrize("name", TRAINED)
def test_the_history_decides_the_scores(name: str, transfer: str) -> None:
    _, scores = encode_and_score(build_model(name, transfer=transfer), batch_of_eight())
    assert torch.pdist(scores).min() > 1e-3


@pytest.mark.parametrize(
    ("name", "transfer", "inputs"),
    [
        *EVERY_TRAINED,
        *((name, "inductive", None) for name in [*PRETRAINED, *STAGES]),
    ],
)
def test_every_parameter_that_trains_gets_a_gradient(
    name: str, transfer: str, inputs: str | None
) -> None:
    model = build_model(name, transfer=transfer, inputs=inputs).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(STEPS_TO_GRADIENT.get(name, 1)):
        optimizer.step()
        optimizer.zero_grad()
        model.training_loss(batch_of_eight()).total.backward()
    gradients = {
        parameter_name: parameter.grad
        for parameter_name, parameter in model.named_parameters()
        if parameter.requires_grad
        # A bias of all keys alike leaves the attention weights as they are.
        and not parameter_name.endswith("attention.key.bias")
    }
    without = {name for name, grad in gradients.items() if grad is None or not grad.any()}
    assert without == WITHOUT_GRADIENT.get(name, set())
    assert all(grad.isfinite().all() for grad in gradients.values() if grad is not None)


@pytest.mark.parametrize("name", TRAINED)
def test_a_popular_item_learns_from_each_of_its_histories_in_bfloat16(name: str) -> None:
    # One by one, sums in bfloat16 end at 256 of the 700 equal gradients.
    batch = sequence_batch([[3]] * 700, [4] * 700)
    model = build_model(name, transfer="inductive")
    lengths = []
    for narrow in (False, True):
        model.zero_grad()
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            model.training_loss(batch).total.backward()
        gradients = [p.grad.norm() for p in model.parameters() if p.grad is not None]
        lengths.append(torch.stack(gradients))
    expected, found = lengths
    counts = expected > expected.max() / 100
    torch.testing.assert_close(found[counts], expected[counts], rtol=0.3, atol=0)


@pytest.mark.parametrize("name", TRAINED)
def test_eight_sequences_can_be_overfitted(name: str, transfer: str) -> None:
    model, batch = build_model(name, transfer=transfer), batch_of_eight()
    learning_rate, num_steps = OVERFITTING.get(name, (0.003, 20))
    optimizer = torch.optim.Adam(model.parameters(), lr=learning_rate)
    before = model.training_loss(batch).total
    for step in range(num_steps):
        if step % 10 == 0:
            refresh(model)
        optimizer.zero_grad()
        model.train().training_loss(batch).total.backward()
        optimizer.step()
    after = model.eval().training_loss(batch).total
    assert after < before / 2, (before, after)
    refresh(model)
    _, scores = encode_and_score(model, batch)
    learnt = (scores.topk(3).indices + 1 == batch.target_ids[:, None]).any(dim=1)
    assert learnt.sum() >= 6, learnt


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        (name, inputs)
        for name in MODELS
        for inputs in all_inputs(name)
        if "image" in inputs and name not in SCORED_WITHOUT_IMAGES
    ],
)
def test_images_of_other_items_do_not_touch_items_without_image(
    name: str, inputs: str, transfer: str
) -> None:
    model = build_model(name, transfer=transfer, inputs=inputs)
    batch = sequence_batch([[2, 5, 9], [17], [20, 2, 6]], [1, 1, 1])
    users, scores = encode_and_score(model, batch)
    _, scores_of_others = encode_and_score(model, batch_of_eight())
    (images,) = (buffer for name, buffer in model.named_buffers() if name.endswith("values_image"))
    images.normal_(generator=torch.Generator().manual_seed(9))
    changed_users, changed_scores = encode_and_score(model, batch)
    columns = torch.tensor(WITHOUT_IMAGE) - 1
    assert changed_users.equal(users)
    assert changed_scores[:, columns].equal(scores[:, columns])
    assert not encode_and_score(model, batch_of_eight())[1].equal(scores_of_others)


@every_model_and_choice
@pytest.mark.parametrize("history", [[6], [6, 6, 6]])
def test_items_without_any_modality_give_finite_scores(
    name: str, transfer: str, history: list[int]
) -> None:
    model = build_model(name, transfer=transfer)
    _, scores = encode_and_score(model, sequence_batch([history, [1, 2, 3]], [6, 4]))
    assert scores.isfinite().all()


@pytest.mark.parametrize(("name", "transfer"), TRAINED_RUNS)
def test_items_without_any_modality_give_finite_gradients(name: str, transfer: str) -> None:
    model = build_model(name, transfer=transfer).train()
    loss = model.training_loss(sequence_batch([[6], [6, 6, 6], [1, 2, 3]], [6, 4, 6])).total
    loss.backward()
    gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
    assert loss.isfinite()
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)
