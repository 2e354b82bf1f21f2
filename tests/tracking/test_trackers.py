"""Each tracker shows the same of a run: read back from its files, and from a server of MLflow."""

from __future__ import annotations

import csv
import io
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import polars as pl
import pytest
import torch
from conftest import Compose
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from missrec.app.train import train
from missrec.tracking.mlflow import MLflowTracker
from missrec.tracking.tracker import Artifact, Tracker
from missrec.training.checkpoints import read_checkpoint

TABLES = {"test/buckets", "test/examples", "interests/largest"}
FIGURES = {"test/popularity/demo_office", "interests/sizes", "interests/epochs"}
CURVES = {"val/ndcg@10", "train/loss", "test/ndcg@10", "fusion/alpha"}


def twice(compose: Compose, *settings: str) -> Path:
    """The folder of a run of one epoch that is resumed for a second."""
    train(compose(*settings, "trainer.max_epochs=1"))
    cfg = compose(*settings, "trainer.max_epochs=2", "resume=run")
    train(cfg)
    return Path(cfg.run_dir)


def weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(checkpoint, needed=("state_dict",))["state_dict"])


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


@pytest.mark.slow
def test_tensorboard_and_csv_have_the_tables_the_pictures_and_the_curves_of_a_resumed_run(
    compose_tiny: Compose,
) -> None:
    folder = twice(compose_tiny, "logger=tensorboard")
    events = EventAccumulator(str(folder / "tensorboard"), {"images": 0, "tensors": 0})
    events.Reload()
    tags: dict[str, Any] = events.Tags()
    assert set(tags["scalars"]) >= CURVES
    assert {point.value for point in events.Scalars("epoch")} >= {0, 1}
    assert set(tags["images"]) == FIGURES
    texts = {tag.removesuffix("/text_summary") for tag in tags["tensors"]}
    assert texts >= TABLES | {"artifacts/checkpoint", "artifacts/domain-demo_office"}

    newest = folder / "csv" / "version_1"
    found = {str(path.relative_to(newest)) for path in newest.rglob("*/*") if path.is_file()}
    assert found == {f"{name}.csv" for name in TABLES} | {f"{name}.png" for name in FIGURES}
    buckets = rows_of((newest / "test" / "buckets.csv").read_text())
    assert sum(int(row["test_users"]) for row in buckets) == 60
    text = events.Tensors("test/buckets/text_summary")[-1].tensor_proto.string_val[0].decode()
    head, _, *lines = text.splitlines()
    assert head == f"| {' | '.join(buckets[0])} |"
    assert len(lines) == len(buckets)
    (png,) = newest.glob("test/popularity/*.png")
    assert events.Images("test/popularity/demo_office")[-1].width > 100 < png.stat().st_size


def test_a_run_with_tensorboard_can_be_replaced(compose_tiny: Compose, tmp_path: Path) -> None:
    settings = ("logger=tensorboard", "experiment=demo_most_popular", "callbacks.records=null")
    sizes = [f"data.sources.demo_office.num_{what}" for what in ("users=60", "items=40")]
    written = []
    for overwrite in ("false", "true"):
        train(compose_tiny(f"overwrite={overwrite}", base=(*settings, *sizes)))
        written.append(set((tmp_path / "logs" / "run" / "tensorboard").glob("events*")))
    assert written[0]
    assert written[1]
    assert written[0].isdisjoint(written[1])


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """The address of a server that starts with the first test that asks; its folder."""
    pytest.importorskip("mlflow.server", reason="the package mlflow is not installed")
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--host=127.0.0.1", f"--port={port}"]
    places = [
        f"--backend-store-uri=sqlite:///{folder}/db",
        f"--artifacts-destination={folder}/kept",
    ]
    process = subprocess.Popen(
        [*command, *places, "--workers=1"],
        env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        while not answers(f"{address}/health"):
            assert process.poll() is None
            time.sleep(0.5)
        yield address, folder
    finally:
        os.killpg(process.pid, 9)
        process.wait()


def answers(address: str) -> bool:
    try:
        with urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@pytest.mark.slow
def test_a_server_of_mlflow_has_all_of_a_resumed_run_in_one_run(
    compose_tiny: Compose, mlflow_server: tuple[str, Path], tmp_path: Path
) -> None:
    address, _ = mlflow_server
    folder = twice(compose_tiny, "logger=mlflow", f"logger.mlflow.tracking_uri={address}")
    client = pytest.importorskip("mlflow.tracking").MlflowClient(address)
    experiment = client.get_experiment_by_name("missrec-test")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_id == (folder / "mlflow_id.txt").read_text().strip()
    assert run.info.status == "FINISHED"
    assert run.data.params["trainer.max_epochs"] == "1"  # what it began with
    assert run.data.tags["checkpoint"] == "best, epoch-001"
    assert run.data.metrics.keys() >= {curve.replace("@", "_at_") for curve in CURVES}
    epochs = {point.value for point in client.get_metric_history(run.info.run_id, "epoch")}
    assert epochs >= {0, 1}

    kept = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path)))
    assert "max_epochs: 2" in (kept / "config.yaml").read_text()
    for key in TABLES:
        ours = folder / "csv" / "version_1" / f"{key}.csv"
        assert (kept / f"{key}.csv").read_text() == ours.read_text()
    assert all((kept / f"{key}.png").stat().st_size > 1000 for key in FIGURES)
    best = weights(folder / "checkpoints" / "epoch_001.ckpt")
    sent = weights(kept / "checkpoint" / "best.ckpt")  # before the run's own was tidied
    assert sent.keys() == best.keys()
    assert all(torch.equal(sent[name], best[name]) for name in best)
    assert (kept / "domain-demo_office" / "features" / "manifest.json").is_file()


@pytest.mark.slow
def test_a_run_goes_on_without_a_server_that_does_not_answer(
    compose_tiny: Compose, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    gone = ("logger=mlflow", "logger.mlflow.tracking_uri=http://127.0.0.1:9")
    assert train(compose_tiny(*gone, "trainer.max_epochs=1"))["test/recall@10"] >= 0
    warnings = [one.message for one in caplog.records if "MLflow" in one.message]
    assert len(warnings) == 1
    assert "http://127.0.0.1:9: the run goes on without it" in warnings[0]


def test_mlflow_keeps_a_run_in_a_database_and_its_files_beside(tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("mlflow")

    def tracker(place: str = "db") -> MLflowTracker:
        uri = f"sqlite:///{tmp_path}/{place}/mlflow.db"
        return MLflowTracker(
            save_dir=str(tmp_path), tracking_uri=uri, experiment="e", group="g", run="r"
        )

    first = tracker()
    assert isinstance(first, Tracker)
    first.log_hyperparams({"model": {"width": 8, "long": "x" * 900}})
    first.show_table("a/b", pl.DataFrame({"title": ["x, y"], "rank": [3]}))
    first.end(failed=True)
    again = tracker()
    again.log_hyperparams({"model": {"width": 9}})
    again.keep(Artifact("kept", "domain", {"in/it": tmp_path / "mlflow_id.txt"}))
    assert again.version == first.version != ""
    (files,) = (tmp_path / "db" / "mlruns").glob(f"{first.version}/artifacts")
    assert rows_of((files / "a" / "b.csv").read_text()) == [{"title": "x, y", "rank": "3"}]
    assert (files / "kept" / "in" / "it").read_text().strip() == first.version
    elsewhere = tracker("other")  # where nobody knows the run
    elsewhere.end(failed=False)  # has not started
    elsewhere.log_metrics({"val/ndcg@10": 0.5}, step=1)
    assert elsewhere.version != first.version


@pytest.mark.parametrize("address", ["", "mlruns", "127.0.0.1:5000", "file:logs/mlruns"])
def test_what_is_no_address_of_mlflow_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r"tracking_uri \(.*\) must be the address of a server"):
        MLflowTracker(save_dir="", tracking_uri=address, experiment="e", group="g", run="r")
