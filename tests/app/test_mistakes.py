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
    ("train", ["inputs=[text,image]"], "inputs=[text,image] names a list; inputs takes one of"),
    ("train", ["model=null"], "model=null chooses nothing; model takes"),
    ("train", ["logger=false"], "logger=false chooses nothing; logger takes csv, mlflow"),
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
    # runs that could not end, and parts that do not fit
    ("train", ["model.embed_dimm=3"], "embed_dimm"),
    ("train", ["experiment=nowhere"], "nowhere"),
    ("train", ["model.network.block.num_heads=7"], "num_heads (7) must divide"),
    ("train", ["+model.depth=3"], "unexpected keyword argument 'depth'"),
    ("train", ["data=scientific", "paths.data_dir={tmp}/data"], "prepare.py data=scientific"),
    ("train", ["experiment=finetune"], "pretrained=logs/pretrain/<run>"),
    ("train", ["experiment=finetune", "pretrained={tmp}/none"], "neither a run folder nor"),
    ("train", ["trainer.devices=2", "trainer.accelerator=cpu"], "use trainer=ddp"),
    ("prepare", ["data=scientific", "paths.shared_dir={tmp}/none"], "paths.shared_dir="),
    (
        "prepare",
        ["data=amazon"],
        "error: data.category has no value; add data.category=<value>",
    ),
    ("train", ["data=amazon"], "error: data.category has no value; add data.category=<value>"),
    (
        "prepare",
        [
            "data=amazon",
            "data.category=arts",
            "data.base_url=http://127.0.0.1:9/a",
            "data.sources.amazon.downloader.max_tries=1",
        ],
        "Arts_Crafts_and_Sewing.csv: ",
    ),
    ("prepare", ["data=own"], "data.interactions.path=<file>"),
    (
        "prepare",
        ["data=own", "data.interactions.path={tmp}/x=1 (2).csv"],
        "x=1 (2).csv is missing",
    ),
    (
        "prepare",
        ["data=own", "data.items.texts=title,brand"],
        "data.items.texts has several values: title,brand; type 'data.items.texts=[",
    ),
    ("prepare", ["data=own", "data.name=nan"], "data.name (nan) is read as a number"),
    ("prepare", ["data=own", "data.name=a/b"], "data.name ('a/b') has a slash"),
    ("prepare", ["data=amazon", "data.category=../x"], "('amazon2018_../x') has a slash"),
    ("extract", ["data=own", "data.name=../x"], "data.name ('../x') has a slash"),
    ("train", ["data=own", "data.name=.."], "data.name ('..') begins with a dot"),
    ("train", ["+trainer.fast_dev_run=true"], "for one quick batch of everything: debug=fast"),
    ("train", ["+trainer.limit_val_batches=0"], "trainer.limit_val_batches (0) must be"),
    ("train", ["metrics.cutoffs=[5]"], "val/ndcg@10 is not measured; did you mean val/ndcg@5"),
    ("train", ["split=files"], "name it: split=files split.val=<file> split.test=<file>"),
    ("train", ["split=users", "split.val=0.5", "split.test=0.5"], "whose sum is below 1"),
    ("train", ["split=global_time", "split.val_from=2018-13-01"], "or two dates such as"),
    ("tune", ["trainer.max_epochs=0"], "trainer.max_epochs (0) must be a whole number"),
    ("evaluate", ["run={tmp}/lr=0.1 (2)"], "lr=0.1 (2)"),
    ("prepare", ["verify={tmp}"], "manifest.json is missing"),
    ("prepare", ["export={tmp}", "to={tmp}"], "must name a new folder"),
    ("evaluate", ["run={tmp}"], "must name the folder of a training run"),
    ("evaluate", ["run=[a,b]"], "add against="),
    ("evaluate", ["run={tmp}/a*", "against={tmp}"], "matches no run folder"),
    ("evaluate", ["run={tmp}", "against={tmp}"], "names no folder of a run"),
    ("report", ["runs={tmp}"], "no finished run"),
    ("report", ["runs={tmp}/none"], "matches no run folder"),
    ("train", ["optimizer.lr=.inf"], "optimizer.lr (.inf) must be a number above 0"),
    ("train", ["model=MISSRec"], "model=MISSRec is no choice; model takes bert4rec"),
    ("train", ["data=office"], "data of your own is data=own data.name=office"),
    ("train", ["data=own", "data.name=office"], "make it with `python src/prepare.py data=own"),
    ("train", ["experiment=demo,demo_text"], "or add -m to try one after the other"),
    ("train", ["seed="], "seed () must be a whole number"),
    ("train", ["pretrained=none"], "none is neither a run folder nor a checkpoint"),
    ("train", ["pretrained="], "pretrained is empty; leave it out, or name it"),
    ("train", ["split=none"], "nothing says when to stop: add epochs_from="),
    ("train", ["split=none", "epochs_from=0"], "epochs_from (0) must be at least 1"),
    (
        "train",
        ["split=none", "epochs_from={tmp}"],
        "epochs_from must name the folder of a training run, such as epochs_from=logs/scratch",
    ),
    ("train", ["split.val=0.1"], "there is no split.val"),
    ("train", ["hydra.run.dir="], "hydra.run.dir is empty; leave it out, or name it"),
    ("train", ["paths.log_dir="], "paths.log_dir is empty"),
    ("train", ["resume={tmp}/a.csv"], "so there is nothing to resume"),
    ("train", ["debug=slow"], "debug (slow) must be true or false"),
    ("train", ["matmul_precision=low"], "must be one of high, highest, medium"),
    ("train", ["stages=none_such"], "stages=none_such is no choice"),
    ("train", ["stage_overrides=x"], "type 'stage_overrides=[x]'"),
    ("train", ["names.experiment="], "names.experiment is empty"),
    ("train", ["names.run="], "names.run is empty"),
    ("train", ["sweep=table9"], "sweep=table9 is no choice"),
    ("train", ["metrics.cutoffs=[]"], "metrics.cutoffs ([]) must be a list of whole numbers"),
    ("train", ["model.embed_dim=7"], "must divide embed_dim (7)"),
    ("train", ["+trainer.logger=false"], "the run's own: logger=<choice> sets it"),
    ("train", ["+trainer.enable_checkpointing=false"], "(False) keeps no checkpoint to test"),
    (
        "train",
        ["callbacks.checkpoint=null"],
        "callbacks.checkpoint chooses the epoch to test; leave it",
    ),
    ("train", ["callbacks.interests=null"], "callbacks.interests finds the interests of the model"),
    ("train", ["~callbacks"], "callbacks (None) must be a group of settings"),
    ("train", ["callbacks.early_stopping.monitor=ndcg"], "ndcg is not measured; did you mean"),
    # files and choices that there are not
    ("prepare", ["data=own", "data.interactions.path={tmp}/x.csv"], "x.csv is missing; name the"),
    ("prepare", ["data=amazon", "data.year=1999", "data.category=arts"], "year (1999) must be one"),
    ("evaluate", ["run={tmp}", "against="], "against is empty; leave it out, or name it"),
    ("prepare", ["verify="], "verify () is no folder"),
    ("prepare", ["features.files=x.npy"], "must say modality: file, as in {text: vectors.npy}"),
    ("prepare", ["features.files={text:x.npy}"], "x.npy is missing; name the file that holds"),
    ("extract", ["data=own", "data.name=none"], "make it with `python src/prepare.py data=own"),
    ("extract", ["encoder=bert"], "encoder=bert is no choice; encoder takes clip, lsa, sentence"),
    ("extract", ["images=url"], "images=url is no choice; images takes folder, none, urls"),
    ("extract", ["batch_size=0"], "batch_size (0) must be a whole number at least 1"),
    # of a sweep, none of whose jobs can begin
    ("train", ["-m", "seed=range(0)"], "the sweep has no job: a glob(...) or range(...)"),
    (
        "train",
        ["-m", "seed=1,2", "data=own", "data.name=office"],
        "office is missing; make it with",
    ),
    ("train", ["-m", "+model.depth=1,2"], "unexpected keyword argument 'depth'"),
    ("train", ["-m", "model.embed_dim=7,9"], "none of 2 jobs can begin; the first: model.network"),
]


@pytest.mark.parametrize(("name", "arguments", "said"), TABLE)
def test_a_mistake_is_one_line_and_leaves_nothing(
    tmp_path: Path, name: str, arguments: list[str], said: str
) -> None:
    places = [f"paths.{place}_dir={tmp_path}/{place}" for place in ("log", "data")]
    places = [one for one in places if not any(one.startswith(a[:14]) for a in arguments)]
    ended = call(
        name, *(argument.replace("{tmp}", str(tmp_path)) for argument in arguments), *places
    )
    assert ended.code == 2, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    # What a command downloads, or makes of the demo on first use, is whole and stays.
    assert {one.name for one in tmp_path.iterdir()} <= {"data"}


def test_a_name_that_leads_out_of_the_folder_of_runs_is_refused(tmp_path: Path) -> None:
    ended = call("train", "names.experiment=..", f"paths.log_dir={tmp_path / 'log'}")
    assert ended.code == 2
    assert "names.experiment (..) leads out of the folder of runs" in ended.stderr
