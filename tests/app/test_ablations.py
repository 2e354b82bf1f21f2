"""Tables 3 and 5: every row differs from the others, and none leaks into another."""

from __future__ import annotations

from functools import cache
from itertools import combinations, product
from typing import Any

import pytest
import torch
from conftest import ROOT, Compose
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from torch import nn

from missrec.app.build import build_experiment
from missrec.app.model import build
from run_settings import as_run, prepare_data
from synthetic import catalogue, random_sequences, raw_features, sequence_batch

CONF = ROOT / "conf"
ABLATIONS = sorted(path.stem for path in (CONF / "ablation").glob("*.yaml"))
SHORTER = [name for name in ABLATIONS if name != "full"]
NUM_ITEMS, WIDTH = 20, 16


@cache
def config(ablation: str) -> DictConfig:
    """Pre-training, where all ablations matter."""
    with initialize_config_dir(config_dir=str(CONF), version_base="1.3"):
        return compose(
            "train",
            overrides=[
                "experiment=pretrain",
                f"ablation={ablation}",
                "names.experiment=pretrain",
                "names.model=missrec_small",
                "run_dir=.",
            ],
        )


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict):
        return {prefix: value}
    return {
        name: leaf
        for key, part in value.items()
        for name, leaf in flat(part, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def changed(ablation: str) -> set[str]:
    """The keys of the resolved config that are not those of the full model."""
    keys = differing(config("full"), config(ablation))
    return keys - {"names.ablation", "names.run", "logger.wandb.name"}


def differing(*configs: DictConfig) -> set[str]:
    """The keys of two resolved configs whose values differ."""
    one, other = (flat(OmegaConf.to_container(cfg, resolve=True)) for cfg in configs)
    return {key for key in {**one, **other} if one.get(key, "-") != other.get(key, "-")}


def model_of(ablation: str) -> nn.Module:
    features = {
        name: raw_features(num_items=NUM_ITEMS, width=WIDTH, seed=seed)
        for seed, name in enumerate(("text", "image"))
    }
    torch.manual_seed(0)
    model: nn.Module = build(config(ablation), "model", catalogue=catalogue(features=features))
    model.refresh_interests()
    return model.eval()


def loss_of(ablation: str) -> float:
    histories = random_sequences(num_users=6, num_items=NUM_ITEMS, shortest=3, longest=6, seed=1)
    batch = sequence_batch(histories, [3, 9, 1, 14, 20, 7])
    return model_of(ablation).training_loss(batch).total.item()


def test_the_rows_of_table_5_are_found() -> None:
    assert set(ABLATIONS) == {
        "full",
        "no_contrast",
        "no_adapters",
        "context_encoder",
        "interest_encoder",
        "no_orthogonality",
    }


@pytest.mark.parametrize("ablation", SHORTER)
def test_an_ablation_changes_parameters_or_loss(ablation: str) -> None:
    full, other = (
        {name: tuple(p.shape) for name, p in model_of(kind).named_parameters()}
        for kind in ("full", ablation)
    )
    assert full != other or abs(loss_of("full") - loss_of(ablation)) > 1e-3


@pytest.mark.parametrize(
    ("ablation", "keys"),
    [
        ("full", set()),
        ("no_contrast", {"model.contrast_weight"}),
        ("no_orthogonality", {"model.orthogonality_weight"}),
        ("no_adapters", {"model.embed_dim", "model.adapter._target_"}),
    ],
)
def test_an_ablation_changes_its_own_settings_alone(ablation: str, keys: set[str]) -> None:
    assert changed(ablation) == keys


@pytest.mark.parametrize("ablation", ["context_encoder", "interest_encoder"])
def test_the_ablations_of_the_network_change_the_network_alone(ablation: str) -> None:
    assert changed(ablation)
    assert all(key.startswith("model.network.") for key in changed(ablation))


def test_the_rows_of_table_3_read_what_they_name_and_nothing_else(compose_tiny: Compose) -> None:
    prepare_data(compose_tiny())
    configs, losses = {}, {}
    for inputs, transfer in product(("text", "image", "text_image"), ("inductive", "transductive")):
        cfg = compose_tiny(f"inputs={inputs}", f"transfer={transfer}")
        configs[inputs, transfer] = cfg
        torch.manual_seed(0)
        datamodule, module, _, _ = build_experiment(as_run(cfg))
        parameters = dict(module.model.named_parameters())
        adapters = {name.split(".")[1] for name in parameters if name.startswith("adapters.")}
        assert adapters == set(inputs.split("_"))
        assert ("item_embeddings.weight" in parameters) == (transfer == "transductive")
        module.model.refresh_interests()
        batch = next(iter(datamodule.train_dataloader()))
        losses[inputs, transfer] = module.model.eval().training_loss(batch).total.item()
    assert min(abs(one - other) for one, other in combinations(losses.values(), 2)) > 1e-4
    for one, other in combinations(configs.values(), 2):
        groups = {key.split(".")[0] for key in differing(one, other) - {"model.item_ids"}}
        assert groups <= {"inputs", "transfer", "names", "logger", "features", "datamodule"}, groups
