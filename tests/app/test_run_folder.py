"""One owner of a run folder: copies, moves, second runs, resumes with other settings, kills."""

from __future__ import annotations

import json
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Compose
from pytorch_lightning import LightningModule

from kills import Resume, places
from missrec.app.evaluate import evaluate
from missrec.app.resume import FIXED, FIXED_INSIDE_AN_EPOCH, RunExistsError
from missrec.app.settings import RunSettings, read_run
from missrec.app.train import train, train_run
from missrec.runs.folder import RunFolder
from missrec.training.module import RecommenderModule
from run_settings import evaluation

pytestmark = pytest.mark.slow

SASREC = (
    "experiment=demo",
    "model=sasrec",
    "data.sources.demo_office.num_users=60",
    "data.sources.demo_office.num_items=40",
    "model.embed_dim=8",
    "model.encoder.block.feedforward_dim=16",
)


def files(folder: Path) -> dict[str, str]:
    """Each file below a folder -> its digest."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".writer.lock"
    }


def resumed(folder: Path, **changes: Any) -> RunSettings:
    """The settings of `resume=<folder>` with others; dotted keys have `__`."""
    config = RunFolder(folder).read_config()
    for key, value in changes.items():
        *path, last = key.split("__")
        section: Any = config
        for name in path:
            section = section[name]
        section[last] = value
    return read_run({**config, "resume": str(folder)})


@pytest.fixture(scope="module")
def trained(compose_shared: Compose) -> Path:
    cfg = compose_shared("trainer.max_epochs=2", base=SASREC)
    train(cfg)
    return Path(cfg.run_dir)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A run of two epochs, the most it may have: more could follow."""
    shutil.copytree(trained.parents[1] / "data", tmp_path / "data")
    return shutil.copytree(trained, tmp_path / "logs" / "run")


@pytest.mark.parametrize("moved", [False, True], ids=["copied", "moved"])
def test_a_copied_or_moved_run_goes_on_in_itself(run: Path, tmp_path: Path, *, moved: bool) -> None:
    straight = train_run(
        resumed(shutil.copytree(run, tmp_path / "straight"), trainer__max_epochs=4)
    )
    before, place = files(run), tmp_path / "elsewhere" / "b"
    place.parent.mkdir()
    (shutil.move if moved else shutil.copytree)(run, place)
    assert train_run(resumed(place, trainer__max_epochs=4)) == straight
    if moved:
        assert not run.exists()
    else:
        assert files(run) == before
    report = evaluate(evaluation(place, tmp_path / "data"))
    assert report["metrics"].items() <= straight.items()
    assert str(run) not in (place / "config.yaml").read_text()


def test_a_run_that_is_copied_while_it_trains_goes_on_in_the_copy(
    compose_tiny: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "logs" / "copy"

    def copied(self: LightningModule) -> None:
        if self.current_epoch == 1 and not copy.exists():
            shutil.copytree(tmp_path / "logs" / "run", copy)

    monkeypatch.setattr(RecommenderModule, "on_train_epoch_end", copied)
    metrics = train(compose_tiny("trainer.max_epochs=3", base=SASREC))
    before = files(tmp_path / "logs" / "run")
    assert not (copy / "metrics.json").exists()
    assert train_run(resumed(copy)) == metrics
    assert files(tmp_path / "logs" / "run") == before


def test_a_second_run_in_a_folder_is_refused_before_anything_is_touched(
    compose_tiny: Compose, run: Path
) -> None:
    before = files(run)
    with pytest.raises(RunExistsError, match=r"holds a run; resume=.* overwrite=true replaces it"):
        train(compose_tiny("seed=2", base=SASREC))
    assert files(run) == before


def test_a_run_that_replaces_another_leaves_nothing_of_it(
    compose_tiny: Compose, run: Path, tmp_path: Path
) -> None:
    (run / "checkpoints" / "epoch_007.ckpt").write_bytes(b"of the first run")
    short = ("trainer.max_epochs=1", "seed=2", "overwrite=true")
    metrics = train(compose_tiny(*short, base=SASREC))
    fresh = train(compose_tiny("trainer.max_epochs=1", "seed=2", base=SASREC, run="fresh"))
    assert metrics == fresh
    names = {path.name for path in (run / "checkpoints").iterdir()}
    assert names == {"epoch_000.ckpt", "last.ckpt"}
    report = evaluate(evaluation(run, tmp_path / "data"))
    assert report["metrics"].items() <= metrics.items()


def test_a_finished_run_keeps_the_model_alone_and_what_more_epochs_need(
    compose_tiny: Compose, run: Path
) -> None:
    best, last = (
        torch.load(next((run / "checkpoints").glob(name)), weights_only=True)
        for name in ("epoch_*.ckpt", "last.ckpt")
    )
    assert "optimizer_states" in last
    assert not {"optimizer_states", "loops", "callbacks"} & best.keys()
    few = ("trainer.max_epochs=9", "callbacks.early_stopping.patience=1", "optimizer.lr=1e-30")
    stopped = train(compose_tiny(*few, base=SASREC, run="stopped"))
    assert stopped["stopped_early"]
    (only,) = (run.parent / "stopped" / "checkpoints").iterdir()
    provenance = RunFolder(run.parent / "stopped").read_provenance()
    assert provenance["tested"] == only.name
    assert train_run(resumed(run.parent / "stopped")) == stopped
    with pytest.raises(ValueError, match=r"holds the model of a run that has ended"):
        train_run(resumed(run.parent / "stopped", trainer__max_epochs=20))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("seed", 2),
        ("datamodule.seed", 2),
        ("model._target_", "missrec.models.bert4rec.BERT4Rec"),
        ("optimizer._target_", "torch.optim.SGD"),
        ("freeze.trainable", ["items"]),
        ("split._target_", "missrec.data.splits.GlobalTime"),
        ("callbacks.early_stopping.monitor", "val/recall@10"),
        ("callbacks.checkpoint.mode", "min"),
        ("pretrained", "<itself>"),
    ],
)
def test_what_a_checkpoint_holds_and_nobody_can_change_is_refused_by_name(
    run: Path, key: str, value: Any
) -> None:
    assert key in FIXED or key.partition(".")[0] in FIXED
    before = files(run)
    value = str(run) if value == "<itself>" else value
    changes = {key.replace(".", "__"): value, "trainer__max_epochs": 3}
    with pytest.raises(ValueError, match=rf"{key.rpartition('.')[0] or key}.*") as refused:
        train_run(resumed(run, **changes))
    assert "\n" not in str(refused.value)
    assert files(run) == before


def test_inside_an_epoch_the_batches_cannot_be_changed_either(tmp_path: Path) -> None:
    resume = Resume.prepare(tmp_path)
    assert "datamodule.batch_size" in FIXED_INSIDE_AN_EPOCH
    before = files(resume.whole)
    settings = resume.settings(resume.whole, datamodule={"batch_size": 32})
    with pytest.raises(ValueError, match=r"datamodule\.batch_size .*the epoch has begun"):
        train_run(settings)
    assert files(resume.whole) == before


def test_a_model_of_another_shape_is_refused_by_its_tensor(run: Path) -> None:
    before = files(run)
    with pytest.raises(ValueError, match=r"does not fit the model .*is \(8,\) there, \(4,\)"):
        train_run(resumed(run, model__embed_dim=4, trainer__max_epochs=3))
    assert files(run) == before


def test_settings_that_a_checkpoint_holds_too_are_those_of_the_resume_and_kept(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, Any] = {}

    def note(self: LightningModule) -> None:
        (group,) = self.trainer.optimizers[0].param_groups
        found.update(lr=group["lr"], weight_decay=group["weight_decay"], betas=group["betas"])
        stopping = self.trainer.early_stopping_callback
        found["patience"] = stopping.patience if stopping else None

    monkeypatch.setattr(RecommenderModule, "on_train_epoch_start", note, raising=False)
    train_run(
        resumed(
            run,
            trainer__max_epochs=3,
            optimizer__lr=1e-9,
            optimizer__weight_decay=0.5,
            callbacks__early_stopping__patience=77,
        )
    )
    assert found == {"lr": 1e-9, "weight_decay": 0.5, "betas": (0.9, 0.999), "patience": 77}
    (entry,) = RunFolder(run).read_provenance()["resumed"]
    assert entry["changed"] == {
        "callbacks.early_stopping.patience": [5, 77],
        "optimizer.lr": [0.003, 1e-9],
        "optimizer.weight_decay": [0, 0.5],
        "trainer.max_epochs": [2, 3],
    }
    assert entry["from"] == "last.ckpt"


@pytest.mark.parametrize("damaged", [["last.ckpt"], ["last.ckpt", "latest.ckpt"]])
def test_any_whole_checkpoint_of_the_folder_is_gone_on_from(
    tmp_path: Path, damaged: list[str]
) -> None:
    resume = Resume.prepare(tmp_path)
    _, expected = resume.operations()
    for name in damaged:
        (resume.whole / "checkpoints" / name).write_bytes(b"")
    resume.start()
    assert json.loads(expected) == train_run(resume.settings(resume.folder))


def test_a_resume_that_is_killed_and_repeated_ends_as_one_that_was_not(tmp_path: Path) -> None:
    """A few places; `python bench/kills.py` has more."""
    resume = Resume.prepare(tmp_path)
    kinds, expected = resume.operations()
    for operation, torn in places(kinds, 6):
        assert resume.killed_at(operation, torn=torn) == expected, (kinds[operation], torn)
