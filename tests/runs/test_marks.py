"""What conf/ says of its settings, where they stand, and that nothing of today is left unsaid."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import ROOT

from missrec.app.session import compose_train
from missrec.runs.marks import first_format, read_marks, read_settings
from missrec.runs.settings import is_below, leaves

MARKS = read_marks(ROOT / "conf")


def conf(folder: Path, **files: str) -> Path:
    """A conf folder; `model__a` is `model/a.yaml`."""
    for name, text in {"train": "defaults: [_self_, {model: a}]", **files}.items():
        path = folder / f"{name.replace('__', '/')}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def test_each_setting_is_of_the_first_format_or_says_what_was_before_it() -> None:
    known = first_format()
    unsaid = {
        (setting.file, setting.keys[0])
        for setting in read_settings(ROOT / "conf")
        # Of a file that is new, no run is older than its settings.
        if setting.is_leaf and setting.file in known
        # Of the places of a part, one is enough: another is that of a new model.
        if not any(
            key in known or is_below(key, MARKS.before) or not MARKS.counts(key)
            for key in setting.keys
        )
    }
    assert not unsaid, (
        "runs that are older than a setting do not have it: write what they did beside it, as "
        f"`# @before <value>`, or `# @neutral` where no value changes a result; {sorted(unsaid)}"
    )


@pytest.mark.parametrize(
    "overrides",
    [
        ["model=s3rec"],
        ["experiment=finetune", "model=vqrec", "pretrained=x"],
        ["experiment=pretrain", "trainer=fsdp", "logger=mlflow", "+claim_gpu=true"],
        ["objective=gbce", "split=global_time", "model/interests=dpc_knn_faiss"],
    ],
)
def test_the_settings_are_read_at_the_places_where_hydra_puts_them(overrides: list[str]) -> None:
    named = ["names.experiment=x", "names.model=x", "run_dir=/r"]
    cfg = compose_train(ROOT, [*named, *overrides])
    keys = {key for setting in read_settings(ROOT / "conf") for key in setting.keys}
    unread = [key for key, _ in leaves(cfg) if key not in keys and not is_below(key, MARKS.neutral)]
    assert unread == []


def test_marks_stand_beside_settings_of_any_depth_and_place(tmp_path: Path) -> None:
    marks = read_marks(
        conf(
            tmp_path,
            train="defaults: [_self_]\n"
            "seed: 1 # @seed\n"
            "copy: ${seed}\n"
            "logger: {csv: 1} # @neutral; files hold all\n",
            tune="defaults:\n  - train\n  - model: a # @neutral but name, depth\n  - _self_\n",
            model__a="defaults:\n  - part@head: big\n  - _self_\nname: a\nsize: 2\n",
            model__part__big="width: 3 # @before {a: 1, b: 2}; a paper\n"
            "open: # @neutral\n  deep: 1\n",
            job__x="# @package _global_\ntrainer:\n  strategy: # @neutral\n    timeout_sec: 3\n",
        )
    )
    assert marks.seeds == {"seed", "copy"}
    assert marks.before == {"model.head.width": {"a": 1, "b": 2}}
    counted = {
        "model.name": True,
        "model.depth.x": True,
        "model.size": False,
        "model.head.open.deep": False,
        "trainer.strategy.timeout_sec": False,
        "trainer.max_epochs": True,
        "logger.csv": False,
        "loggers": True,
    }
    assert {key: marks.counts(key) for key in counted} == counted
    assert {"model.name", "model.size"} <= marks.undated
    assert "model.head.width" not in marks.undated


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"model__a": "size: 1 # @neutrall"}, "model/a.yaml, line 1: @neutrall is no mark"),
        ({"model__a": "size: 1\n  # @neutral"}, "line 2: @neutral stands beside no setting"),
        ({"model__a": "size: [\n1, # @seed\n]"}, "line 2: @seed stands beside no setting"),
        ({"model__a": "size: 1 # @neutral as it is"}, "other words than `but <key>, <key>`"),
        ({"other__b": "size: 1 # @seed"}, "other/b.yaml: size: @seed: no defaults list names"),
        ({"report": "size: 1 # @seed"}, "report.yaml: marks belong to the settings of a run"),
        ({"model__a": "# @package x.y\nsize: 1"}, "@package x.y: where its settings go is unknown"),
    ],
)
def test_a_mark_that_would_do_nothing_is_refused(
    tmp_path: Path, files: dict[str, str], said: str
) -> None:
    with pytest.raises(ValueError, match=said.replace("(", "\\(")):
        read_marks(conf(tmp_path, **files))
