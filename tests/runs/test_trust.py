"""A saved config names this project's parts, or nothing of it is built or even imported."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from missrec.app.command_line.arguments import resume_arguments
from missrec.app.trained.saved_run import read_saved_run
from missrec.runs.folder import RunFolder
from missrec.runs.trust import UntrustedError, refuse_strangers
from run_folders import ROOT, run_config

NOT_IN_A_RUN = {"dashboard", "encoder", "hydra", "images", "search", "text_view"}
"""Groups of conf/ that only other commands have."""


def saved(target: object) -> dict[str, Any]:
    return {"model": {"_target_": target}}


def targets(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for part in value for name in targets(part)]
    if not isinstance(value, dict):
        return []
    own = [value["_target_"]] if "_target_" in value else []
    return own + targets([part for key, part in value.items() if key != "hydra"])


def test_all_that_a_choice_of_conf_puts_into_a_run_is_allowed() -> None:
    files = [
        path
        for path in (ROOT / "conf").glob("*/**/*.yaml")
        if path.relative_to(ROOT / "conf").parts[0] not in NOT_IN_A_RUN
    ]
    named = {name for path in files for name in targets(yaml.safe_load(path.read_text()))}
    assert len(named) > 50
    for name in sorted(named):
        refuse_strangers(saved(name), where="conf")


def test_kept_runs_are_allowed() -> None:
    configs = list((ROOT / "tests" / "kept_runs").rglob("logs/**/config.yaml"))
    folders = [path.parent for path in configs if path.parent.name != ".hydra"]
    assert len(folders) > 8
    for folder in folders:
        refuse_strangers(RunFolder(folder).read_config(), where=str(folder))


@pytest.mark.parametrize(
    "target",
    [
        "test_trust.mark",
        "os.system",
        "builtins.eval",
        "missrec",
        "missrec.data",
        "missrec.x.os.system",
        "missrec.data.domain.pl.read_parquet",
        "missrec.runs.folder.subprocess.run",
        "missrec.app.train.train",
        "missrec.training.strategies.launcher.subprocess.Popen",
        "missrec.training.strategies.launcher.SavedConfigLauncher.launch",
        "missrec.training.callbacks.ModelCheckpoint.__init__",
        "missrec.data.domain.write_domain",
        "missrec.tracking.tracker.Path",
        "missrec.tracking.tracker.trackers",
        "missrec.objectives.ranking.gather",
        "missrec.objectives.ranking.torch.load",
        "missrec.features.encoders.clip.ClipEncoder",
        "missrec.models.sasrec.SASRecc",
        "missrec.models..sasrec.SASRec",
        "missrec.datax.Y",
        "torch.load",
        "torch.optim.os.system",
        "torch.optim.lr_scheduler.partial",
        "torch.optim.swa_utils.AveragedModel",
        "pytorch_lightning.Trainer.save_checkpoint",
        "pytorch_lightning.callbacks.os.system",
        "pytorch_lightning.callbacks.model_checkpoint.Path",
        "pytorch_lightning.callbacks.callback.Trainer",
        "pytorch_lightning.loggers.WandbLogger",
        "pytorch_lightning.cli.LightningCLI",
        "datetime.timedelta.__new__",
        "hydra.utils.get_method",
        "functools.partial",
        "${names.model}",
        "",
        None,
        7,
        ["os.system"],
        {"a": 1},
    ],
)
def test_what_is_defined_elsewhere_is_refused_whatever_path_leads_to_it(target: object) -> None:
    with pytest.raises(UntrustedError, match=r"^logs/a: model\._target_ \(.*\) "):
        refuse_strangers(saved(target), where="logs/a")


STRANGE = {"_target_": "test_trust.mark", "_partial_": True}


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"a": [{"b": [STRANGE]}]}, r"a\.0\.b\.0\._target_"),
        ({"model": {"_target_": "datetime.timedelta", "_args_": [STRANGE]}}, r"model\._args_\.0\."),
        ({"_target_": "test_trust.mark"}, "_target_"),
        ({"defaults": ["x"]}, "defaults"),
        ({"hydra": {"callbacks": {}}}, "hydra"),
        ({"lr": "${oc.env:HOME}"}, "lr"),
        ({"lr": "${ oc.decode : '{a: 1}' }"}, "lr"),
        ({"lr": "${oc.create:{_target_:test_trust.mark}}"}, "lr"),
        ({"lr": "${a.${b}}"}, "lr"),
        ({"lr": "x/${hydra:job.num}"}, "lr"),
        ({"data": "${x}"}, "data"),
    ],
)
def test_no_other_way_into_code_is_open(config: dict[str, Any], key: str) -> None:
    with pytest.raises(UntrustedError, match=f"^logs/a: {key}"):
        refuse_strangers(config, where="logs/a")


def test_other_settings_may_be_referred_to() -> None:
    refuse_strangers({"a": "${run_dir}/x/${.b}", "b": [{"c": "$x {y}"}, None, 1]}, where="")


@pytest.mark.parametrize("refers", [False, True])
def test_data_that_a_run_makes_unasked_is_the_demo_s(refers: bool) -> None:
    source: object = {"_target_": "missrec.data.sources.download.Downloader"}
    config = {"data": {"sources": {"x": "${y}" if refers else source}}, "y": source}
    refuse_strangers(config, where="")
    config["data"]["made_on_first_use"] = True
    with pytest.raises(UntrustedError, match=r"data\.sources\.x.* would be read unasked"):
        refuse_strangers(config, where="")


@pytest.fixture
def run_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run whose config has, beside ours, a module that leaves a mark when it is imported."""
    (tmp_path / "stranger.py").write_text(
        f"open({str(tmp_path / 'mark')!r}, 'w').close()\n\ndef Act(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "run"
    folder.mkdir()
    config = run_config("data=scientific")
    config["trust"] = True  # a run's own word for it does not count
    config["callbacks"]["theirs"] = {"_target_": "stranger.Act"}
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_an_evaluation_refuses_a_stranger_s_code_without_importing_it(run_dir: Path) -> None:
    with pytest.raises(UntrustedError, match=r"callbacks\.theirs\._target_ \(stranger\.Act\)"):
        read_saved_run(RunFolder(run_dir), data_dir=run_dir, trust=False)
    assert read_saved_run(RunFolder(run_dir), data_dir=run_dir, trust=True).config["callbacks"][
        "theirs"
    ]
    assert "stranger" not in sys.modules
    assert not (run_dir.parent / "mark").exists()


def test_a_resume_refuses_a_stranger_s_code_unless_it_is_trusted_or_removed(run_dir: Path) -> None:
    resume = f"resume={run_dir}"
    for arguments in ([resume], [resume, "trust=false"], [resume, "~callbacks.latest"]):
        with pytest.raises(UntrustedError, match=r"callbacks\.theirs\._target_ \(stranger\.Act\)"):
            resume_arguments(arguments)
    for arguments in (
        [resume, "trust=true"],
        [resume, "~callbacks.theirs"],
        [resume, "~callbacks"],
    ):
        assert not any(one.startswith("trust=") for one in resume_arguments(arguments))
    assert resume_arguments([f"other_process_of={run_dir}"])
    assert not (run_dir.parent / "mark").exists()


SAFE = {"np.load": "allow_pickle=False", "torch.load": "weights_only=True"}


def test_no_file_that_is_read_can_execute_code() -> None:
    """Features, codes, saved encoders and checkpoints; and nothing else is unpickled anywhere."""
    loads = []
    for path in sorted((ROOT / "src").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and (call := ast.unparse(node.func)) in SAFE:
                loads.append(path.name)
                assert SAFE[call] in map(ast.unparse, node.keywords), f"{path}: {call}"
            if isinstance(node, ast.Import):
                assert not {"pickle", "joblib", "shelve"} & {name.name for name in node.names}
            if isinstance(node, ast.ImportFrom) and node.module in {"pickle", "joblib"}:
                assert [name.name for name in node.names] == ["UnpicklingError"]
    assert {"store.py", "codes.py", "lsa.py", "shards.py", "checkpoints.py"} <= set(loads)
