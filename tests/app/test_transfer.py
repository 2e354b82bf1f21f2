"""Pre-training on some tiny domains, then fine-tuning or zero-shot ranking on another."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from trained_weights import moved, state

from missrec.app.evaluate import evaluate
from missrec.app.train import set_up, train
from run_settings import as_run, evaluation
from synthetic import demo_source_sizes

pytestmark = pytest.mark.slow

SIZES = demo_source_sizes(num_users=30, num_items=25)
TARGET = ("data.sources.demo_office.num_users=60", "data.sources.demo_office.num_items=40")
IDS = {"unisrec": "item_embeddings.weight", "zesrec": "item_offsets.weight"}
EMBED = "model.embed_dim=8"


@pytest.fixture(scope="module")
def pretrained(compose_shared: Compose) -> Any:
    """`pretrained("unisrec")`: the run folder of an epoch of pre-training."""

    @cache
    def run(model: str) -> Path:
        base = ("experiment=pretrain", f"model={model}", EMBED, *SIZES)
        cfg = compose_shared("trainer.max_epochs=1", base=base, run=model)
        train(cfg)
        return Path(cfg.run_dir)

    return run


def finetune(compose_tiny: Compose, model: str, source: Path, *overrides: str) -> dict[str, float]:
    base = ("experiment=finetune", f"model={model}", EMBED, *TARGET)
    settings = ("trainer.max_epochs=1", f"pretrained={source}", *overrides)
    return train(compose_tiny(*settings, base=base, run="target"))


@pytest.mark.parametrize("model", IDS)
@pytest.mark.parametrize("transfer", ["inductive", "transductive"])
def test_adapter_and_ids_train_on_the_target_and_the_encoder_stays(
    compose_tiny: Compose, tmp_path: Path, pretrained: Any, model: str, transfer: str
) -> None:
    source = pretrained(model)
    finetune(compose_tiny, model, source, f"transfer={transfer}")
    before, after = state(source), state(tmp_path / "logs" / "target")
    ids = IDS[model]
    shared = {name for name in after if name != ids}
    assert shared <= before.keys()
    assert (ids in after) == (transfer == "transductive")
    adapter = {name for name in shared if name.startswith("items.adapter.")}
    assert moved(before, after) - {ids} == adapter
    assert any(name.startswith("encoder.") for name in shared)
    if transfer == "transductive":
        assert after[ids].shape == (41, 8)  # of the target's own items
        assert after[ids][0].eq(0).all()
        assert after[ids][1:].ne(0).any(dim=1).all()


def test_from_scratch_there_is_nothing_to_freeze(compose_tiny: Compose) -> None:
    """As in Table 4, whose rows without pre-training differ in that alone."""
    base = ("experiment=finetune", EMBED, *TARGET)
    cfg = compose_tiny("pretrained=null", base=base)
    assert cfg.freeze.trainable
    model = set_up(as_run(cfg)).module.model
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("transfer", ["inductive", "transductive"])
def test_of_missrec_adapters_ids_and_what_is_new_train_and_a_table_says_so(
    compose_tiny: Compose,
    tmp_path: Path,
    pretrained: Any,
    transfer: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    source = pretrained("missrec_small")
    capsys.readouterr()
    finetune(compose_tiny, "missrec_small", source, f"transfer={transfer}", "model/fusion=per_item")
    before, after = state(source), state(tmp_path / "logs" / "target")
    changed = {name for name in moved(before, after) if not name.startswith("interests.")}
    changed -= {"fusion.raw_alpha"}  # the pre-training's is one for all items
    assert changed == {name for name in before if name.startswith("adapters.")}
    assert after["fusion.raw_alpha"].unique().numel() > 1  # it started as one value
    said = capsys.readouterr().out
    new = ["fusion.raw_alpha", *(["item_embeddings.weight"] if transfer == "transductive" else [])]
    for name in new:
        assert re.search(rf"fresh +│ {re.escape(name)}", said), said
    assert re.search(r"loaded +│ adapters\.text", said)
    assert re.search(r"fresh +│ interests\.", said)
    num_trained = sum(after[name].numel() for name in (*changed, *new))
    assert f"{num_trained:,} of " in said


@pytest.mark.parametrize(
    ("model", "override"),
    [
        ("unisrec", "freeze=all"),
        ("zesrec", "freeze=all"),
        ("zesrec", "freeze.trainable=[]"),
        ("missrec_small", "freeze=all"),
    ],
)
def test_a_frozen_model_ranks_the_target_as_it_was_pretrained(
    compose_tiny: Compose, tmp_path: Path, pretrained: Any, model: str, override: str
) -> None:
    source = pretrained(model)
    metrics = finetune(compose_tiny, model, source, override)
    run_dir = tmp_path / "logs" / "target"
    assert "epochs" not in metrics
    assert metrics["test/ndcg@10"] > 0
    found = state(run_dir)
    assert not {name for name in moved(state(source), found) if not name.startswith("interests.")}
    report = evaluate(evaluation(run_dir, tmp_path / "data"))
    assert report["metrics"] == {k: v for k, v in metrics.items() if k.startswith("test/")}
