"""What is found in a folder of runs, whatever lies there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from missrec.runs.finding import FoundRuns, find_runs, run_folders
from missrec.runs.groups import group_runs
from missrec.runs.settings import UNMARKED
from run_folders import SETUP, an_identity, record_run, run_config

OURS = ("data=scientific", "transfer=transductive", "logger=csv")


def find(logs: Path, *, ignored: tuple[str, ...] = ("seed", "datamodule.seed")) -> FoundRuns:
    return find_runs([logs], marks=UNMARKED.ignoring(ignored), shown_from=logs)


def test_runs_are_found_at_any_depth_and_known_by_their_config(tmp_path: Path) -> None:
    record_run(tmp_path / "scratch" / "sasrec", run_config(*OURS), [1.0, 30.0])
    record_run(tmp_path / "sweeps" / "t" / "0_x", run_config(*OURS, seed=2), [1.0], dirty=True)
    (tmp_path / "prepare" / "x" / ".hydra").mkdir(parents=True)
    found = find(tmp_path)
    runs = {run.name: run for run in found.finished}
    assert set(runs) == {"scratch/sasrec", "sweeps/t/0_x"}
    run = runs["scratch/sasrec"]
    assert run.setup == SETUP._replace(data="scientific")
    assert (run.seed, run.commit, run.dirty, run.data_choice) == (1, "a" * 40, False, "scientific")
    assert run.metrics["test/recall@10"] == 0.5
    assert list(run.ranks) == ["scientific"]
    assert runs["sweeps/t/0_x"].dirty
    assert (found.unfinished, found.broken) == ({}, {})
    assert len(group_runs(found.finished)) == 1  # different seeds of one system


def test_a_run_named_twice_is_found_once(tmp_path: Path) -> None:
    record_run(tmp_path / "a", run_config(*OURS), [1.0])
    folders = [tmp_path, tmp_path / "a", *run_folders(f"{tmp_path}/a*")]
    assert len(find_runs(folders, marks=UNMARKED, shown_from=tmp_path).finished) == 1


def test_runs_without_metrics_or_without_a_test_are_listed_apart(tmp_path: Path) -> None:
    run = record_run(tmp_path / "a b", run_config(*OURS), [1.0])
    (run / "metrics.json").unlink()
    tuned = record_run(tmp_path / "trial", run_config(*OURS), [1.0])
    (tuned / "metrics.json").write_text('{"val/ndcg@10": 0.5}')
    found = find(tmp_path)
    assert found.finished == []
    assert found.unfinished["a b"].endswith(f"python src/train.py 'resume={run}'")
    assert found.unfinished["trial"] == "metrics.json holds no test metrics"


def write(name: str, content: str | bytes) -> Callable[[Path], object]:
    data = content.encode() if isinstance(content, str) else content
    return lambda folder: (folder / name).write_bytes(data)


def without(group: str, key: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        config = run_config(*OURS)
        del config[group][key]
        (folder / "config.yaml").write_text(json.dumps(config))

    return damage


def changed(**changes: Any) -> Callable[[Path], object]:
    """A config that somebody edited."""
    return write("config.yaml", json.dumps(run_config(*OURS, **changes)))


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (write("metrics.json", '{"test/recall@10": 0.'), "metrics.json cannot be read"),
        (write("metrics.json", "[1]"), "metrics.json cannot be read"),
        (write("metrics.json", '{"test/recall@10": null}'), "metrics.json cannot be read"),
        (write("metrics.json", b"\xff\xfe"), "metrics.json cannot be read"),
        (write("metrics.json", '{"test/ndcg@10": NaN}'), "test/ndcg@10 is nan; the run has"),
        (write("metrics.json", '{"val/ndcg@10": Infinity}'), "val/ndcg@10 is inf"),
        (write("config.yaml", "a: [1"), "while parsing"),
        (write("config.yaml", "- 1"), "no mapping"),
        (write("config.yaml", ""), "config.yaml has no names.model"),
        (write("config.yaml", "names: {model: '${'}"), "no viable alternative"),
        (write("config.yaml", b"\x00\xff"), ""),
        (changed(optimizer__lr="${nothing}"), 'optimizer.lr ("${nothing}") is no value'),
        (changed(seed=True), "seed (True) must be a whole number"),
        (changed(data=5), "has no data.name"),
        (without("names", "model"), "has no names.model: it is of another version"),
        (without("inputs", "name"), "has no inputs.name: it is of another version"),
        (lambda folder: (folder / "config.yaml").unlink(), "config.yaml is missing"),
    ],
)
def test_a_broken_run_says_why_and_the_others_are_found(
    tmp_path: Path, damage: Callable[[Path], object], said: str
) -> None:
    damage(record_run(tmp_path / "bad", run_config(*OURS), [1.0]))
    record_run(tmp_path / "good", run_config(*OURS), [1.0])
    found = find(tmp_path)
    assert [run.name for run in found.finished] == ["good"]
    assert said in found.broken["bad"]
    assert "\n" not in found.broken["bad"]


@pytest.mark.parametrize("content", [None, "{", "[]", '{"git": null}'])
def test_without_provenance_the_commit_is_unknown(tmp_path: Path, content: str | None) -> None:
    run = record_run(tmp_path / "a", run_config(*OURS), [1.0])
    (run / "provenance.json").unlink()
    if content is not None:
        (run / "provenance.json").write_text(content)
    (found,) = find(tmp_path).finished
    assert (found.commit, found.dirty) == (None, None)


def pretrained_run(folder: Path, source: Path, **changes: Any) -> Path:
    named = str(source / "checkpoints" / "epoch_003.ckpt")
    return record_run(folder, run_config(*OURS, pretrained=named, **changes), [1.0])


def test_seeds_pre_trained_alike_are_one_system_and_otherwise_two(tmp_path: Path) -> None:
    for seed in (1, 2):
        source = record_run(tmp_path / f"p{seed}", run_config(*OURS, seed=seed), [1.0])
        pretrained_run(tmp_path / f"a{seed}", source, seed=seed)
    longer = record_run(tmp_path / "p3", run_config(*OURS, trainer__max_epochs=9), [1.0])
    pretrained_run(tmp_path / "a3", longer, seed=3)
    runs = {run.name: run for run in find(tmp_path, ignored=("seed", "datamodule.seed",
        "pretrained", "run_dir")).finished}  # fmt: skip
    assert runs["a1"].setup.pretrained
    groups = group_runs([runs["a1"], runs["a2"], runs["a3"]])
    assert [[run.name for run in group.runs] for group in groups] == [["a1", "a2"], ["a3"]]


def test_runs_know_their_data_and_pre_trainings_on_other_data_make_two_systems(
    tmp_path: Path,
) -> None:
    for seed, items in ((1, "1"), (2, "1"), (3, "3")):
        data, config = an_identity("music", items=items), run_config(*OURS, seed=seed)
        source = record_run(tmp_path / f"p{seed}", config, [1.0], data=data, accepted=["x: items"])
        pretrained_run(tmp_path / f"a{seed}", source, seed=seed)
    runs = {run.name: run for run in find(tmp_path, ignored=("seed", "datamodule.seed",
        "pretrained", "run_dir")).finished}  # fmt: skip
    assert runs["p3"].data == an_identity("music", items="3")
    assert runs["p3"].accepted == ("x: items",)
    assert (runs["a1"].data, runs["a1"].accepted) == (None, ())
    groups = group_runs([runs["a1"], runs["a2"], runs["a3"]])
    assert [[run.name for run in group.runs] for group in groups] == [["a1", "a2"], ["a3"]]


def test_a_first_stage_on_the_run_s_own_data_is_no_pre_training(tmp_path: Path) -> None:
    source = record_run(tmp_path / "p", run_config(*OURS), [1.0])
    pretrained_run(tmp_path / "a", source, pretraining_same_data=True)
    runs = {run.name: run for run in find(tmp_path).finished}
    assert not runs["a"].setup.pretrained


def test_a_first_stage_that_starts_from_a_pre_training_makes_the_run_pre_trained(
    tmp_path: Path,
) -> None:
    for name, epochs in (("x", 5), ("y", 9)):
        long = run_config(*OURS, trainer__max_epochs=epochs)
        source = record_run(tmp_path / name / "p", long, [1.0])
        stage = pretrained_run(tmp_path / name / "stage", source)
        pretrained_run(tmp_path / name / "a", stage, pretraining_same_data=True)
    found = find(tmp_path, ignored=("pretrained", "run_dir"))
    runs = {run.name: run for run in found.finished}
    assert runs["x/a"].setup.pretrained
    groups = group_runs([runs["x/a"], runs["y/a"]])
    assert len(groups) == 2  # their pre-trainings differ, though their first stages do not


def test_a_run_whose_first_stage_is_gone_or_itself_says_so(tmp_path: Path) -> None:
    pretrained_run(tmp_path / "a", tmp_path / "gone", pretraining_same_data=True)
    pretrained_run(tmp_path / "b", tmp_path / "b", pretraining_same_data=True)
    one = pretrained_run(tmp_path / "c", tmp_path / "d", pretraining_same_data=True)
    pretrained_run(tmp_path / "d", one, pretraining_same_data=True)
    broken = find(tmp_path).broken
    assert set(broken) == {"a", "b", "c", "d"}
    assert "its first stage is gone" in broken["a"]


def test_a_pre_training_is_found_beside_its_run_when_logs_were_moved(tmp_path: Path) -> None:
    source = record_run(tmp_path / "old" / "p", run_config(*OURS), [1.0])
    pretrained_run(tmp_path / "old" / "a", source)
    pretrained_run(tmp_path / "b", source)
    shutil.move(tmp_path / "old", tmp_path / "new")
    runs = {run.name: run for run in find(tmp_path).finished}
    assert "unknown" not in runs["new/a"].settings["pretraining_run"]
    assert "unknown" in runs["b"].settings["pretraining_run"]


def test_a_pre_training_that_is_gone_is_known_by_its_checkpoint(tmp_path: Path) -> None:
    for name, digest in (("a", "1" * 64), ("b", "1" * 64), ("c", "2" * 64)):
        run = pretrained_run(tmp_path / name, tmp_path / "gone", seed=ord(name))
        provenance = {"git": {"commit": "x", "dirty": False}, "pretrained": {"sha256": digest}}
        (run / "provenance.json").write_text(json.dumps(provenance))
    groups = group_runs(find(tmp_path, ignored=("seed", "datamodule.seed", "run_dir")).finished)
    assert [len(group.runs) for group in groups] == [2, 1]


def test_a_pattern_that_matches_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="matches no run folder"):
        run_folders([f"{tmp_path}/none*"])
