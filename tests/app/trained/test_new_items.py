"""Runs on a catalogue that has changed: evaluated, tuned on, resumed; and a last fit on it all."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from conftest import Compose

import missrec
from changed_data import timed_domain
from missrec.app.evaluate import evaluate
from missrec.app.final_fit import as_trained
from missrec.app.session import plain
from missrec.app.train import train
from missrec.data.domain import PreparedDomain
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.runs.identity import ChangedDataError
from missrec.runs.items import UnknownItemsError, keys_of_folders
from missrec.training.checkpoints import model_state
from run_settings import evaluation
from synthetic import write_domain_folder

DOMAIN = "demo_office"
LEARNS = ("experiment=demo", "model.embed_dim=8", "inputs=text", "transfer=transductive",
          "trainer.max_epochs=2")  # fmt: skip
BY_ID = ("experiment=demo", "model=sasrec", "model.embed_dim=8", "trainer.max_epochs=1")


def with_new(prepared: PreparedDomain, *, encoder: str | None = None) -> PreparedDomain:
    """Numbered backwards, and two items more, the first of which ends every history."""
    num_items = len(prepared.item_keys)
    text = np.vstack([prepared.features["text"][::-1], np.ones((1, 4)), np.zeros((1, 4))])
    items = (num_items + 1 - prepared.items).astype(np.int32)
    items[prepared.offsets[1:] - 1] = num_items + 1
    settings = prepared.settings if encoder is None else prepared.settings | {"weights": encoder}
    return replace(
        prepared,
        items=items,
        item_keys=[*prepared.item_keys[::-1], "new", "blank"],
        item_texts=[*prepared.item_texts[::-1], "a new one", ""],
        features={"text": text.astype(np.float32)},
        settings=settings,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return write_domain_folder(tmp_path / "data" / DOMAIN, timed_domain(DOMAIN))


def trained(compose_tiny: Compose, *overrides: str, base: tuple[str, ...] = LEARNS) -> Path:
    cfg = compose_tiny(*overrides, base=base)
    train(cfg)
    return Path(cfg.run_dir)


def state(run_dir: Path) -> dict[str, Any]:
    return model_state(chosen_checkpoint(run_dir))


def test_a_run_records_its_items_and_is_evaluated_on_those_of_today(
    compose_tiny: Compose, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = trained(compose_tiny)
    before = evaluate(evaluation(run_dir, folder.parent, "new_items=features"))["metrics"]
    recorded = json.loads((run_dir / "metrics.json").read_text())
    assert before == pytest.approx({key: recorded[key] for key in before})

    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    with pytest.raises(ChangedDataError, match="new_items=features") as refused:
        evaluate(evaluation(run_dir, folder.parent))
    assert f"{DOMAIN}: interactions, items, " in str(refused.value)
    assert "\n" not in str(refused.value)
    caplog.set_level(logging.INFO)
    report = evaluate(evaluation(run_dir, folder.parent, "new_items=features"))
    assert "items: 6 known, 2 new, 0 gone; MISSRec knows nothing of 1 new ones" in caplog.text
    assert report["accepted_changes"] == [f"{DOMAIN}: interactions, items, text features"]
    evaluate(evaluation(run_dir, folder.parent, "new_items=features", "new_item_ids=predicted"))


def test_a_model_of_ids_never_recommends_new_items(
    compose_tiny: Compose, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_dir = trained(compose_tiny, base=BY_ID)
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    metrics = evaluate(evaluation(run_dir, folder.parent, "new_items=features"))["metrics"]
    assert "SASRec knows nothing of 2 new ones" in caplog.text
    assert metrics["test/recall@5"] == 0  # each target is one of them
    gone = replace(
        with_new(timed_domain(DOMAIN)), item_keys=[f"other-{number}" for number in range(8)]
    )
    write_domain_folder(folder, gone)
    with pytest.raises(ValueError, match="SASRec knows none of the items of today"):
        evaluate(evaluation(run_dir, folder.parent, "new_items=features"))


def test_features_of_another_encoder_are_refused(compose_tiny: Compose, folder: Path) -> None:
    run_dir = trained(compose_tiny)
    write_domain_folder(folder, with_new(timed_domain(DOMAIN), encoder="another"))
    with pytest.raises(ChangedDataError) as refused:
        evaluate(evaluation(run_dir, folder.parent, "new_items=features"))
    said = str(refused.value)
    assert f"of another encoder than the run's: {DOMAIN}: text (weights); encode them" in said
    assert "\n" not in said
    accepted = ("new_items=features", "changed_data=accept")
    assert evaluate(evaluation(run_dir, folder.parent, *accepted))["metrics"]


def test_a_run_of_before_knows_its_items_while_they_are_at_hand(
    compose_tiny: Compose, folder: Path
) -> None:
    run_dir = trained(compose_tiny)
    run = RunFolder(run_dir)
    run.items.unlink()
    evaluate(evaluation(run_dir, folder.parent, "new_items=features"))
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    with pytest.raises(UnknownItemsError, match="is from before runs recorded") as refused:
        evaluate(evaluation(run_dir, folder.parent, "new_items=features"))
    assert "evaluate.py" in str(refused.value)
    write_domain_folder(folder, timed_domain(DOMAIN))
    evaluate(evaluation(run_dir, folder.parent))  # which records them
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    assert evaluate(evaluation(run_dir, folder.parent, "new_items=features"))


def test_newer_clicks_keep_the_ids_of_known_items(compose_tiny: Compose, folder: Path) -> None:
    cfg = compose_tiny(base=LEARNS, run="first")
    train(cfg)
    first = state(Path(cfg.run_dir))["item_embeddings.weight"]
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    frozen = ("freeze=all", "trainer.max_epochs=1", "new_items=features")
    cfg = compose_tiny(f"pretrained={cfg.run_dir}", *frozen, base=LEARNS, run="second")
    train(cfg)
    second = state(Path(cfg.run_dir))["item_embeddings.weight"]
    torch.testing.assert_close(second[1:7], first[1:].flip(0))
    assert not second[7:].any()


def test_a_run_goes_on_with_other_items(compose_tiny: Compose, folder: Path) -> None:
    run_dir = trained(compose_tiny)
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    more = (f"resume={run_dir}", "trainer.max_epochs=3")
    with pytest.raises(ChangedDataError, match="new_items=features"):
        train(compose_tiny(*more, base=LEARNS))
    metrics = train(compose_tiny(*more, "new_items=features", base=LEARNS))
    assert metrics["epochs"] == 3
    assert state(run_dir)["item_embeddings.weight"].shape == (9, 8)
    provenance = json.loads((run_dir / "provenance.json").read_text())
    assert provenance["accepted_changes"]
    assert keys_of_folders([DOMAIN], [folder])[DOMAIN].to_list()[-2:] == ["new", "blank"]
    assert evaluate(evaluation(run_dir, folder.parent))["metrics"]


def final(compose_tiny: Compose, *overrides: str, run: str = "final") -> Any:
    return compose_tiny("split=none", *overrides, base=LEARNS, run=run)


def test_a_last_fit_trains_on_everything_for_the_epochs_that_validation_chose(
    compose_tiny: Compose, folder: Path
) -> None:
    cfg = compose_tiny(base=LEARNS, run="validated")
    train(cfg)
    chosen = int(chosen_checkpoint(Path(cfg.run_dir)).stem.removeprefix("epoch_")) + 1
    last = final(compose_tiny, f"epochs_from={cfg.run_dir}")
    metrics = train(last)
    assert metrics == {"final_fit": 1.0, "epochs": chosen, "stopped_early": 0.0}
    assert json.loads((Path(last.run_dir) / "metrics.json").read_text()) == metrics
    assert chosen_checkpoint(Path(last.run_dir)).name == f"epoch_{chosen - 1:03d}.ckpt"
    assert train(final(compose_tiny, f"epochs_from={cfg.run_dir}", f"resume={last.run_dir}"))
    with pytest.raises(ValueError, match="trained on everything") as refused:
        evaluate(evaluation(Path(last.run_dir), folder.parent))
    assert f"run={cfg.run_dir}" in str(refused.value)
    with pytest.raises(ValueError, match="a final fit itself"):
        train(final(compose_tiny, f"epochs_from={last.run_dir}", run="another"))


def test_a_model_that_only_counts_counts_everything_in_a_last_fit(
    compose_tiny: Compose, folder: Path
) -> None:
    knn = ("experiment=demo", "model=item_knn", "inputs=text", "transfer=transductive")
    cfg = compose_tiny(base=knn, run="validated")
    train(cfg)
    with pytest.raises(ValueError, match="such as epochs_from=1"):
        train(compose_tiny("split=none", f"epochs_from={cfg.run_dir}", base=knn, run="final"))
    last = compose_tiny("split=none", "epochs_from=1", base=knn, run="final")
    assert train(last) == {"final_fit": 1.0}
    with pytest.raises(ValueError, match=r"evaluate the run before$"):  # its epochs are of no run
        evaluate(evaluation(Path(last.run_dir), folder.parent))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["split=none"], "add epochs_from=<the run"),
        (["split=none", "epochs_from=0"], "epochs_from (0) must be at least 1"),
        (["split=none", "epochs_from=nowhere"], "must name the folder of a training run"),
        (["epochs_from=3"], "add split=none"),
        (["split=none", "epochs_from=3", "stages=self_supervised"], "begins with stages"),
    ],
)
def test_what_says_no_end_of_a_last_fit_is_refused_in_one_line(
    compose_tiny: Compose, overrides: list[str], said: str
) -> None:
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        as_trained(plain(compose_tiny(*overrides, base=LEARNS)))
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_number_of_epochs_does_too(compose_tiny: Compose) -> None:
    config = as_trained(plain(compose_tiny("split=none", "epochs_from=7", base=LEARNS)))
    assert config["trainer"]["max_epochs"] == 7
    assert config["callbacks"]["early_stopping"] is None
    assert config["callbacks"]["checkpoint"]["monitor"] is None
    assert as_trained({**config, "resume": "x", "trainer": {"max_epochs": 9}})["trainer"] == {
        "max_epochs": 9
    }


def test_a_loaded_run_recommends_the_items_of_today(compose_tiny: Compose, folder: Path) -> None:
    run_dir = trained(compose_tiny)
    before = missrec.load(run_dir)
    keys = before.items["item"].to_list()
    history = [keys[:3]]
    whole = before.recommend(history, k=99)
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    with pytest.raises(ChangedDataError, match="new_items=features"):
        missrec.load(run_dir)
    with pytest.raises(ValueError, match=r"new_items \(yes\) must be refuse or features"):
        missrec.load(run_dir, new_items="yes")
    today = missrec.load(run_dir, new_items="features")
    assert today.items["item"].to_list() == [*keys[::-1], "new"]
    found = today.recommend(history, k=99)
    assert set(found["item"]) - set(whole["item"]) == {"new"}  # nothing is known of the blank one
    same = found.filter(pl.col("item") != "new")
    assert same["item"].to_list() == whole["item"].to_list()
    assert same["score"].to_list() == pytest.approx(whole["score"].to_list(), abs=1e-6)


def test_items_that_a_loaded_model_knows_nothing_of_are_not_there(
    compose_tiny: Compose, folder: Path
) -> None:
    run_dir = trained(compose_tiny, base=BY_ID)
    keys = missrec.load(run_dir).items["item"].to_list()
    write_domain_folder(folder, with_new(timed_domain(DOMAIN)))
    today = missrec.load(run_dir, new_items="features")
    assert today.items["item"].to_list() == keys[::-1]
    assert today.unknown([["new"], keys[:1]]).rows() == [(0, "new")]
    assert "new" not in today.recommend_users(k=99)["item"]
