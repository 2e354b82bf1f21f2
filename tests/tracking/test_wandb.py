"""What an offline W&B run holds, read back from its file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from ast import literal_eval
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Compose
from fake_wandb import FakeWandb
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from wandb import Artifact
from wandb.proto.wandb_internal_pb2 import Record
from wandb_workspaces.expr import FE_METRIC_NAME_MAP

from missrec.app.train import train
from missrec.tracking.wandb import WandbTracker, _plain

_BLOCK, _FILE_HEADER, _HEADER = 32768, 7, 7


def records(path: Path) -> Iterator[Record]:
    """The records of a `.wandb` file: LevelDB's log format behind a header of its own."""
    content = path.read_bytes()
    at, parts = _FILE_HEADER, b""
    while at + _HEADER <= len(content):
        if _BLOCK - at % _BLOCK < _HEADER:  # too little room for a header: filled up with zeros
            at += _BLOCK - at % _BLOCK
        length = int.from_bytes(content[at + 4 : at + 6], "little")
        kind = content[at + 6]  # 1 whole, 2 first, 3 middle, 4 last part of a record
        at += _HEADER + length
        parts += content[at - length : at]
        if kind in {1, 4}:
            yield Record.FromString(parts)
            parts = b""


def run_of(recorded: list[Record]) -> Any:
    return next(record.run for record in recorded if record.HasField("run"))


def logged_keys(recorded: list[Record]) -> set[str]:
    """Of all values of a history, such as `val/ndcg@10` or `test/buckets/nrows`."""
    items = chain.from_iterable(
        record.history.item for record in recorded if record.HasField("history")
    )
    return {item.key or "/".join(item.nested_key) for item in items}


def table(folder: Path, key: str) -> list[dict[str, Any]]:
    """The rows of the newest table of a W&B folder."""
    name, _, column = key.partition("/")
    files = folder.glob(f"*/files/media/table/{name}/{column}_*.table.json")
    content = json.loads(max(files, key=lambda path: path.stat().st_mtime_ns).read_text())
    return [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]


def dashboard() -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("dashboard")


def panels_of(views: Sequence[DictConfig]) -> list[DictConfig]:
    return list(chain.from_iterable(chain(*view.sections.values()) for view in views))


def shown_keys() -> set[str]:
    """What the panels of the dashboard show."""
    keys: set[str] = set()
    for panel in panels_of(list(dashboard().views.values())):
        keys |= {panel[name] for name in ("table_name", "with_respect_to") if name in panel}
        keys |= {key for name in ("y", "metrics", "media_keys") for key in panel.get(name, [])}
    return keys


def config_keys() -> set[str]:
    """The keys of a run's config by which the dashboard groups, or that its columns show."""
    views = list(dashboard().views.values())
    grouping = [panel.groupby for panel in panels_of(views) if "groupby" in panel]
    grouping += chain.from_iterable(view.group_by for view in views)
    columns = chain.from_iterable(view.columns for view in views)
    # W&B keeps each first key as {value: ...}; in columns that shows.
    shown = [key.replace(".value.", ".") for key in columns if ".value." in key]
    return {key[len("config.") :] for key in (*grouping, *shown) if key.startswith("config")}


def test_the_runs_that_the_dashboard_tells_apart_are_experiments() -> None:
    for name in literal_eval(dashboard().pretraining_types):
        assert (ROOT / "conf" / "experiment" / f"{name}.yaml").is_file()


def test_a_record_that_fails_costs_no_run(
    compose_tiny: Compose, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setattr("missrec.tracking.records.popularity_buckets", None)
    assert train(compose_tiny("logger=wandb", "trainer.max_epochs=1"))["test/recall@10"] >= 0
    assert "the records of the test are incomplete" in caplog.text


def test_of_a_limited_test_the_ranked_users_are_shown(
    compose_tiny: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    limited = ("+trainer.limit_test_batches=1", "datamodule.eval_batch_size=8")
    train(compose_tiny("logger=wandb", "trainer.max_epochs=1", *limited))
    assert len(table(tmp_path / "logs" / "run" / "wandb", "test/examples")) == 8
    assert "anonymous" not in capsys.readouterr().err  # a setting that W&B warns of


def test_a_run_that_cannot_go_online_is_kept_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr("missrec.tracking.wandb._START_SEC", 2)
    settings = dict.fromkeys(("project", "group", "name", "job_type"), "a")
    tracker = WandbTracker(save_dir=str(tmp_path), mode="online", **settings)
    tracker.log_metrics({"val/ndcg@10": 0.5}, step=1)
    tracker.end(failed=False)
    assert "the run is kept offline" in caplog.text
    assert len(list(tmp_path.glob("wandb/offline-run-*/*.wandb"))) == 1


def test_filters_of_the_views_ask_for_attributes_of_runs_and_for_no_order() -> None:
    """In W&B's words `Metric` is an attribute of the run, and `>` is saved as `>=`."""
    attributes = set(FE_METRIC_NAME_MAP)
    views = dashboard().views.values()
    for view in views:
        asked = re.findall(r"Metric\('(\w+)'\)", view.runs)
        asked += [key for key in view.group_by if not key.startswith("config.")]
        assert set(asked) <= attributes - {"Step"}
        assert not re.search(r"[<>]", view.runs)
    assert len(views) == 3


@pytest.mark.parametrize("name", ["büro 1", "x" * 300])
def test_any_domain_has_a_name_that_an_artifact_may_have(name: str) -> None:
    Artifact(_plain(f"domain-{name}", "-1a2b3c4d"), type="domain")


@pytest.fixture(scope="module")
def wandb_dir(compose_shared: Compose, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a run of one epoch, resumed for a second, without a login."""
    folder = tmp_path_factory.mktemp("wandb")
    with pytest.MonkeyPatch.context() as patch:
        for name in ("WANDB_API_KEY", "WANDB_MODE"):
            patch.setenv(name, "")  # so that what a run sets is undone
            patch.delenv(name)
        patch.setenv("NETRC", str(folder / "no-netrc"))
        patch.setenv("WANDB_DATA_DIR", str(folder / "staging"))
        settings = ("logger=wandb", "names.group=a sweep", "model.contrast_weight=1")
        train(compose_shared(*settings, "trainer.max_epochs=1"))
        cfg = compose_shared(*settings, "trainer.max_epochs=2", "resume=run")
        train(cfg)
        yield Path(cfg.run_dir) / "wandb"


def test_an_offline_run_holds_all_that_the_dashboard_shows(wandb_dir: Path) -> None:
    files = sorted(wandb_dir.glob("offline-run-*/*.wandb"))
    first, second = (list(records(path)) for path in files)

    run, again = run_of(first), run_of(second)
    assert run.run_group == "a sweep"
    assert again.run_id == run.run_id
    assert again.resume
    config = {
        update.key: json.loads(update.value_json)
        for record in first
        if record.HasField("config")
        for update in record.config.update
    }
    assert config["model"]["embed_dim"] == 8
    keys = config_keys()
    assert keys > {"names.ablation", "inputs.name", "names.model"}
    for key in keys:
        group, name = key.split(".")
        assert name in config[group]
    assert any(record.HasField("stats") for record in second)  # of the system

    logged = {key.removesuffix("/nrows").removesuffix("/filenames") for key in logged_keys(second)}
    shown = shown_keys()
    assert shown > {"val/ndcg@10", "test/examples", "interests/epochs"}
    assert shown | {"test/popularity/demo_office"} <= logged

    artifacts = {r.artifact.name: r.artifact for r in second if r.HasField("artifact")}
    domain, checkpoint = (
        artifacts[f"{kind}-{name}"]
        for kind, name in (("domain", "demo_office"), ("checkpoint", run.run_id))
    )
    manifests = {entry.path for entry in domain.manifest.contents}
    assert manifests == {"manifest.json", "features/manifest.json"}
    assert set(checkpoint.aliases) >= {"best", "epoch-001"}
    (entry,) = checkpoint.manifest.contents
    assert Path(entry.local_path) == wandb_dir.parent / "checkpoints" / "epoch_001.ckpt"

    buckets = table(wandb_dir, "test/buckets")
    assert sum(row["test_users"] for row in buckets) == 60
    examples = table(wandb_dir, "test/examples")
    assert len(examples) == 20
    for row in examples:
        recommended = row["recommended"].split("; ")
        assert len(recommended) == 10
        assert (row["target"] in recommended) == (row["rank"] <= 10)


@pytest.mark.slow
def test_both_parts_of_an_offline_run_are_uploaded_as_one_run(wandb_dir: Path) -> None:
    server = FakeWandb()
    with server.running():
        subprocess.run(
            [sys.executable, "-m", "wandb", "sync", *wandb_dir.glob("offline-run-*")],
            capture_output=True,
            check=True,
            timeout=240,
            env={**os.environ, **server.login},
        )
    ((run_id, run),) = server.runs.items()
    assert run["groupName"] == "a sweep"
    rows = server.history[run_id]
    assert {row["epoch"] for row in rows if "val/ndcg@10" in row} >= {0, 1}
    assert any("test/examples" in row for row in rows)
    best = wandb_dir.parent / "checkpoints" / "epoch_001.ckpt"
    assert server.uploads[f"checkpoint-{run_id}/best.ckpt"] == best.read_bytes()
    assert {f"checkpoint-{run_id}", "domain-demo_office"} <= server.committed
    assert any(name.startswith("run/media/images/interests/sizes") for name in server.uploads)
