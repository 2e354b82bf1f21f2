"""A command says first what it does, on what, and where; and at its end what is next."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from doors import call
from missrec.app.next_steps import say_evaluated, say_extracted, say_prepared


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("prepare", ["data=own"], "prepares own; into {tmp}/data"),
        ("extract", ["data=own", "data.name=none"], "encodes the items of none; on accelerator="),
        ("train", ["data=own", "data.name=none"], "trains missrec on none, text and image, for up"),
        ("tune", ["data=own", "data.name=none"], "searches optimizer.lr for the best val/ndcg@10"),
        ("evaluate", ["run={tmp}"], "ranks the test users of {tmp}; on accelerator=auto"),
        ("evaluate", ["run={tmp}", "against={tmp}"], "compares {tmp} with {tmp}"),
        ("recommend", ["run={tmp}"], "recommends by {tmp}; on accelerator="),
        ("export", ["run={tmp}", "to={tmp}/x"], "exports {tmp} into {tmp}/x"),
        ("serve", ["run={tmp}"], "serves {tmp}; on http://127.0.0.1:8000"),
        ("report", [], "collects the runs of {tmp}/log; into {tmp}/log/report"),
    ],
)
def test_the_first_line_comes_before_what_fails(
    tmp_path: Path, name: str, arguments: list[str], said: str
) -> None:
    places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
    ended = call(name, *(one.format(tmp=tmp_path) for one in arguments), *places)
    assert ended.code == 2
    assert said.format(tmp=tmp_path) in ended.stdout.splitlines()[0]
    assert not any(tmp_path.iterdir())


def end_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    lines = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return lines


def test_the_last_lines_name_the_folder_and_what_is_next(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    data = {"choice": "own data.name=office", "folders": [f"{tmp_path}/office"]}
    cfg = OmegaConf.create({"data": data, "paths": {"data_dir": str(tmp_path)}})
    chosen = f"data=own data.name=office paths.data_dir={tmp_path}"
    say_prepared(cfg)
    extract = f"python src/extract.py {chosen}"
    assert end_of(caplog) == [
        f"domain folder: {tmp_path}/office",
        f"next: {extract} encoder=lsa images=none",
        f"or:   {extract}",
    ]
    cfg.data["items"] = {"path": None}  # ids alone
    say_prepared(cfg)
    train = f"next: python src/train.py experiment=scratch {chosen}"
    assert end_of(caplog)[1:] == [f"{train} model=sasrec"]
    (tmp_path / "office" / "features").mkdir(parents=True)
    (tmp_path / "office" / "features" / "text.npy").touch()
    say_prepared(cfg)
    assert end_of(caplog)[1:] == [train]
    say_extracted(cfg, {"text"})
    assert end_of(caplog) == [f"features: {tmp_path}/office/features", f"{train} inputs=text"]
    say_extracted(cfg, {"text", "image"})
    assert end_of(caplog)[1] == train
    say_evaluated(f"{tmp_path}/a")
    assert end_of(caplog) == [
        f"written into: {tmp_path}/a/evaluation",
        f"next: python src/recommend.py run={tmp_path}/a",
    ]
