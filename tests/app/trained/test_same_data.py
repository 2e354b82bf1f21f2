"""Data that changed under a run, in six ways, before each command that uses the run."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from conftest import Compose
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import CategoricalDistribution
from optuna.pruners import NopPruner

from changed_data import BY_TIME, CHANGES, prepare_again, splitter_after
from missrec.app.build import build_experiment
from missrec.app.compare import compare
from missrec.app.evaluate import evaluate, read_settings
from missrec.app.settings import RunSettings
from missrec.app.sweep import run_job
from missrec.app.train import train
from missrec.app.trained.same_data import (
    check_finished,
    check_run,
    check_stage,
    check_study,
    identity_at_hand,
)
from missrec.runs.folder import RunFolder
from missrec.runs.identity import ChangedDataError, identity_of_folders, provenance_facts
from missrec.runs.settings import UNMARKED
from missrec.search.space import Grid
from missrec.search.study import SharedStudy
from missrec.training.checkpoints import write_checkpoint
from run_folders import record_run, run_config, write_ranks
from run_settings import as_run, evaluation

DOMAIN = "demo_office"
FLOOR = ("experiment=demo", "model=nearest_neighbor")
"""A model that reads texts and trains nothing."""

REFUSED = f" was made on other data: {DOMAIN}: "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return prepare_again(tmp_path / "data" / DOMAIN)


def at_hand(folder: Path, change: str = "") -> Any:
    """The data of a folder as the change has left it."""
    return identity_of_folders([folder], splitter_after(change), modalities=["text"])


def made_on(run_dir: Path, found: Any) -> Path:
    """Has a run record what it was made on."""
    run_dir.mkdir(exist_ok=True)
    run = RunFolder(run_dir)
    run.write_provenance({**run.read_provenance(), **provenance_facts(found, accepted=[])})
    return run_dir


def one_line(error: pytest.ExceptionInfo[ChangedDataError], change: str, remedy: str) -> bool:
    said = str(error.value)
    return f"{REFUSED}{CHANGES[change][1]}; " in said and remedy in said and "\n" not in said


def test_evaluate_refuses_changed_data_or_says_what_came_of_it(
    compose_tiny: Compose, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cfg = compose_tiny(base=FLOOR)
    metrics = train(cfg)
    run_dir = made_on(Path(cfg.run_dir), at_hand(folder))
    config = run_dir / "config.yaml"
    before = config.read_text()
    for change in CHANGES:
        prepare_again(folder, change)
        if change == "split":
            saved = OmegaConf.load(config)
            by_time = {"_target_": "missrec.data.splits.GlobalTime", **BY_TIME}
            OmegaConf.update(saved, "datamodule.split", by_time, merge=False)
            OmegaConf.save(saved, config)
        with pytest.raises(ChangedDataError) as refused:
            evaluate(evaluation(run_dir, folder.parent))
        assert one_line(refused, change, "or go on with changed_data=accept"), refused.value
        config.write_text(before)
    assert not (run_dir / "evaluation").exists()

    prepare_again(folder)
    report = evaluate(evaluation(run_dir, folder.parent))
    assert report["metrics"].items() <= metrics.items()
    assert report["accepted_changes"] == []
    assert "figures are not those of" not in caplog.text

    prepare_again(folder, "interaction")
    report = evaluate(evaluation(run_dir, folder.parent, "changed_data=accept"))
    assert report["accepted_changes"] == [f"{DOMAIN}: interactions"]
    (run_dir / "metrics.json").write_text(json.dumps({**metrics, "test/recall@5": 0.123}))
    evaluate(evaluation(run_dir, folder.parent, "changed_data=accept"))
    assert "such as test/recall@5: " in caplog.text
    assert "not 0.123" in caplog.text


def test_a_resume_on_changed_data_touches_nothing_or_is_recorded(
    compose_tiny: Compose, folder: Path
) -> None:
    cfg = compose_tiny(base=FLOOR)
    train(cfg)
    run_dir = Path(cfg.run_dir)

    def content() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in run_dir.iterdir() if path.is_file()}

    before = content()
    prepare_again(folder, "interaction")
    resume = f"resume={run_dir}"
    with pytest.raises(ChangedDataError) as refused:  # though it has finished
        train(compose_tiny(resume, base=FLOOR))
    assert one_line(refused, "interaction", "or go on with changed_data=accept")
    assert content() == before
    (run_dir / "metrics.json").unlink()
    del before["metrics.json"]
    with pytest.raises(ChangedDataError) as refused:
        train(compose_tiny(resume, base=FLOOR))
    assert one_line(refused, "interaction", "or go on with changed_data=accept")
    assert content() == before
    train(compose_tiny(resume, "changed_data=accept", base=FLOOR))
    recorded = json.loads((run_dir / "provenance.json").read_text())
    assert recorded["accepted_changes"] == [f"{DOMAIN}: interactions"]
    assert recorded["data"] == at_hand(folder)


def test_what_a_run_has_open_is_what_is_at_hand(compose_tiny: Compose, folder: Path) -> None:
    run = as_run(compose_tiny(base=FLOOR))
    assert build_experiment(run).identity == identity_at_hand(run) == at_hand(folder)


@pytest.mark.parametrize("change", CHANGES)
def test_a_resumed_run_is_refused_or_knows_all_that_has_changed_under_it(
    tmp_path: Path, folder: Path, change: str
) -> None:
    run = RunFolder(made_on(tmp_path / "run", at_hand(folder)))
    found = at_hand(prepare_again(folder, change), change)
    with pytest.raises(ChangedDataError) as refused:
        check_run(run, found, accept=False)
    assert one_line(refused, change, "prepare the data as it was")
    accepted = check_run(run, found, accept=True)
    assert accepted == [f"{DOMAIN}: {CHANGES[change][1]}"]
    # Recorded, the changed data is the run's, and what was accepted stays known.
    facts = provenance_facts(found, accepted=accepted)
    run.write_provenance(facts)
    assert check_run(run, found, accept=False) == accepted


def test_a_stage_on_other_data_is_not_on_the_run_s_own(tmp_path: Path, folder: Path) -> None:
    checkpoint = tmp_path / "epoch_001.ckpt"
    write_checkpoint(checkpoint, {"state_dict": {}, "data": at_hand(folder)})
    for change in CHANGES:
        found = at_hand(prepare_again(folder, change), change)
        with pytest.raises(ChangedDataError) as refused:
            check_stage(checkpoint, found, accept=False)
        assert one_line(refused, change, "train it again on this data")
    assert check_stage(checkpoint, at_hand(prepare_again(folder)), accept=False) == []
    write_checkpoint(checkpoint, {"state_dict": {}})
    assert check_stage(checkpoint, found, accept=False) == []


@pytest.mark.parametrize("change", CHANGES)
def test_sides_that_were_made_before_and_after_a_change_are_not_compared(
    tmp_path: Path, folder: Path, change: str
) -> None:
    before = at_hand(folder)
    after = at_hand(prepare_again(folder, change), change)
    for side, data in (("a", before), ("b", after)):
        run_dir = record_run(tmp_path / side, run_config("logger=csv"), [1.0, 2.0], data=data)
        write_ranks(run_dir / f"test_ranks_{DOMAIN}.parquet", [1.0, 2.0])
    sides = (f"run={tmp_path / 'b'}", f"against={tmp_path / 'a'}", "num_resamples=19")
    settings = read_settings(evaluation(tmp_path / "b", folder.parent, *sides))
    settings = settings._replace(output_dir=tmp_path)
    with pytest.raises(ChangedDataError) as refused:
        compare(settings)
    assert one_line(refused, change, "train both on the same")
    assert not (tmp_path / "comparison.json").exists()


def trained_again(run: RunSettings) -> None:
    pytest.fail("it had finished before")


def test_a_repeated_sweep_does_not_take_a_job_on_other_data_for_its_own(
    compose_tiny: Compose,
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg = compose_tiny("hydra.mode=MULTIRUN", base=FLOOR)
    train(cfg)
    run_dir = made_on(Path(cfg.run_dir), at_hand(folder))
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("missrec.app.train.train_run", trained_again)

    def repeat(job: DictConfig = cfg, **changes: str) -> str:
        caplog.clear()
        again = OmegaConf.merge(job, changes)
        run_job(partial(as_run, again), run_dir=run_dir, claims_gpu=False, debug=False)
        return caplog.text

    for change in CHANGES:
        prepare_again(folder, change)
        if change == "split":
            by_time = compose_tiny("split=global_time", "hydra.mode=MULTIRUN", base=FLOOR)
            assert "settings differ in datamodule.split._target_" in repeat(by_time)
        else:
            said = repeat()
            assert f"{run_dir}{REFUSED}{CHANGES[change][1]}; " in said
            assert "had finished before" not in said
        assert (run_dir / "error.txt").is_file()
    assert "had finished before" in repeat(changed_data="accept")
    prepare_again(folder)
    assert "had finished before" in repeat()
    assert not (run_dir / "error.txt").exists()
    folder.rename(folder.with_name("elsewhere"))  # the runs were copied without their data
    assert "had finished before" in repeat()


def test_a_study_does_not_mix_trials_on_other_data(
    tmp_path: Path, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    study = SharedStudy(
        tmp_path / "study",
        space={"a": CategoricalDistribution([1, 2])},
        sampler=Grid,
        pruner=NopPruner(),
        seed=1,
        max_trials=2,
        settings={},
        marks=UNMARKED,
    )
    with closing(study):
        check_study(study, {}, accept=False)  # without a trial yet, any data may be next
        check_study(study, at_hand(folder), accept=False)
        trial = study.take()
        assert trial is not None
        study.tell(trial, value=1.0)
        for change in CHANGES:
            found = at_hand(prepare_again(folder, change), change)
            with pytest.raises(ChangedDataError) as refused:
                check_study(study, found, accept=False)
            assert one_line(refused, change, "name a new study")
        check_study(study, at_hand(prepare_again(folder)), accept=False)
        check_study(study, found, accept=True)
        check_study(study, found, accept=False)  # the study's from now on
    assert caplog.text.count("which is accepted: ") == 1


def test_a_run_from_before_is_read_with_a_warning_and_its_data_is_not(
    compose_tiny: Compose, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "items.parquet").unlink()  # reading would say so
    check_finished(as_run(compose_tiny(base=FLOOR)), accept=False)
    assert "does not know what data it was made on" in caplog.text
