"""What a user mistypes: one line that says what to do, exit code 2, and nothing left behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from doors import call

TABLE = [
    # keys that there are not
    ("train", ["optimzer.lr=0.1"], "there is no optimzer.lr; did you mean optimizer.lr?"),
    ("train", ["+optimzer.lr=0.1"], "did you mean optimizer.lr?"),
    ("train", ["++optimzer.lr=0.1"], "did you mean optimizer.lr?"),
    ("train", ["lr=0.1"], "did you mean optimizer.lr?"),
    ("train", ["trainer.epochs=3"], "did you mean trainer.max_epochs?"),
    ("train", ["+metrics.cutofs=[5]"], "did you mean metrics.cutoffs?"),
    ("train", ["modle=sasrec"], "did you mean model?"),
    ("train", ["model/adpater=linear"], "did you mean model/adapter?"),
    ("train", ["~optimizer.lrr"], "did you mean optimizer.lr?"),
    ("train", ["+foo=1"], "there is no foo; `train --help=all` lists what is"),
    ("train", ["-m", "modl=sasrec,unisrec"], "there is no modl"),
    ("evaluate", ["rnu=x"], "did you mean run?"),
    ("prepare", ["data.nmae=x"], "did you mean data.name?"),
    ("report", ["run=x"], "did you mean runs?"),
    # what is no setting
    ("train", ["--experiment", "demo"], "no option --experiment; settings are typed as experiment"),
    ("train", ["experiment"], "type experiment=<value>, without blanks around ="),
    ("train", ["experiment", "=", "demo"], "'experiment' is no setting"),
    ("train", ["optimizer.lr =0.1"], "type optimizer.lr=0.1, without blanks"),
    ("train", ["metrics.cutoffs=[1,2"], "a [ has no ]"),
    ("train", ["names.run='a"], "a quote (') is not closed"),
    # values of another kind
    ("train", ["optimizer.lr=fast"], "optimizer.lr (fast) must be a number above 0"),
    ("train", ["optimizer.lr="], "optimizer.lr () must be a number above 0"),
    ("train", ["optimizer.lr=[1]"], "optimizer.lr ([1]) must be a number"),
    ("train", ["-m", "optimizer.lr=0.1,fast"], "optimizer.lr (fast) must be a number"),
    ("train", ["trainer.max_epochs=ten"], "trainer.max_epochs (ten) must be a whole number"),
    ("train", ["datamodule.batch_size=1.5"], "(1.5) must be a whole number at least 1"),
    ("train", ["model.embed_dim=true"], "(True) must be a whole number"),
    ("train", ["metrics.cutoffs=10"], "must be a list; type 'metrics.cutoffs=[10]'"),
    ("train", ["metrics.filter_seen=no"], "metrics.filter_seen (no) must be true or false"),
    ("prepare", ["data=own", "data.items.texts=title"], "type 'data.items.texts=[title]'"),
    ("serve", ["run=x", "port=http"], "port (http) must be a whole number from 0 to 65535"),
    # and out of their range
    ("train", ["seed=-1"], "seed (-1) must be a whole number from 0 to 4294967295"),
    ("train", ["seed=99999999999999999999"], "must be a whole number from 0 to 4294967295"),
    ("train", ["seed=1.5"], "seed (1.5) must be a whole number"),
    ("train", ["-m", "seed=1,-2"], "seed (-2) must be a whole number from 0"),
    ("train", ["datamodule.batch_size=0"], "datamodule.batch_size (0) must be a whole number at"),
    ("train", ["model.temperature=nan"], "model.temperature (nan) must be a number above 0"),
    ("train", ["model.temperature=-1"], "model.temperature (-1) must be a number above 0"),
    ("train", ["model.network.block.dropout_prob=1.5"], "(1.5) must be a number from 0 below 1"),
    ("train", ["model.interests.ratio=0"], "must be a number above 0 up to 1"),
    ("train", ["callbacks.early_stopping.patience=-1"], "must be a whole number at least 0"),
    ("train", ["trainer.devices=0"], "trainer.devices (0) must be a number of devices"),
    ("train", ["trainer.accelerator=gup"], "must be one of auto, cpu, cuda, gpu, mps, tpu"),
    ("train", ["trainer.precision=33"], "trainer.precision (33) must be one of"),
    ("extract", ["dtype=float8"], "dtype (float8) must be one of float16, float32"),
    ("recommend", ["run=x", "k=0"], "k (0) must be a whole number at least 1"),
    ("tune", ["search.num_trials=0"], "search.num_trials (0) must be a whole number at least 1"),
    # choices that there are not
    ("train", ["experiment=dmo"], "experiment=dmo is no choice"),
    ("train", ["experiment=[]"], "experiment=[] chooses nothing; experiment takes"),
    ("train", ["model=null"], "model=null chooses nothing; model takes"),
    ("train", ["metrics.shown=[ndgc@10]"], "ndgc@10 is not measured; did you mean ndcg@10?"),
    ("tune", ["search.metric=val/ndgc@10"], "search.metric (val/ndgc@10) must be one of"),
    # places
    ("train", ["resume={tmp}"], "so there is nothing to resume"),
    ("train", ["run_dir="], "run_dir is empty; leave it out, or name it"),
    ("evaluate", [], "run has no value; add run=<value>: folder of a training run"),
    ("evaluate", ["run="], "run must name the folder of a training run"),
    ("recommend", ["run={tmp}/none"], "run must name the folder of a training run"),
    ("prepare", ["data=own", "data.name="], "data.name ('') is empty"),
    ("prepare", ["verify=x", "export=y", "to=z"], "verify= and export= are two commands"),
    ("prepare", ["to=x"], "to (x) is where export= writes; add export="),
    ("prepare", ["verify=x"], "verify (x) is no folder; name one that prepare.py made"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), TABLE)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, arguments: list[str], said: str
) -> None:
    places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
    ended = call(name, *(argument.format(tmp=tmp_path) for argument in arguments), *places)
    assert ended.code == 2, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert not any(tmp_path.iterdir())
