"""What a user mistypes: one line that says what to do, exit code 2, and nothing left behind."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from doors import call
from kept_runs.kept_project import copy_project
from missrec.features import encoders

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
    ("train", ["model.temperature=null"], "model.temperature (None) must be a number above 0"),
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
    ("train", ["split=fewer_users", "split.train_share=1.5"], "above 0 up to 1"),
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
    ("train", ["~callbacks"], "~callbacks leaves out what train needs; callbacks takes default"),
    ("train", ["~trainer"], "~trainer leaves out what train needs; trainer takes ddp"),
    ("train", ["callbacks=null"], "callbacks=null chooses nothing"),
    (
        "train",
        ["model.adapter=linear"],
        "type model/adapter=linear, which takes bottleneck, linear",
    ),
    ("tune", ["search.sampler=none"], "type search/sampler=none, which takes grid, random, tpe"),
    ("train", ["experiment=conf/experiment/demo.yaml"], "did you mean experiment=demo?"),
    ("train", ["hydra/launcher=no"], "error: Could not find 'hydra/launcher/no' Available options"),
    ("train", ["--config-name=no"], "error: Cannot find primary config 'no'."),
    ("train", ["--cfg", "jobb"], "--cfg jobb must be one of all, hydra, job"),
    ("train", ["--config-dir"], "--config-dir has no value; type --config-dir <value>"),
    # of the trainer
    ("train", ["trainer.accelerator=gpu"], "this machine shows none; take trainer.accelerator=cpu"),
    ("tune", ["trainer.accelerator=cuda"], "this machine shows none; take trainer.accelerator=cpu"),
    ("train", ["-m", "seed=1,2", "trainer=gpu"], "this machine shows none; take trainer.accelera"),
    (
        "train",
        ["trainer.devices=-1", "trainer.accelerator=cpu"],
        "(-1) must be a number of devices",
    ),
    ("train", ["trainer.devices=a"], "trainer.devices (a) must be a number of devices, at least 1"),
    ("train", ["trainer.gradient_clip_val=-1"], "trainer.gradient_clip_val (-1) must be a number"),
    (
        "train",
        ["callbacks.early_stopping.mode=up"],
        "callbacks.early_stopping.mode (up) must be min",
    ),
    ("train", ["datamodule.max_seq_len=1e9"], "must be a whole number at least 1"),
    ("train", ["optimizer.lr=1e400"], "optimizer.lr (inf) must be a number above 0"),
    ("train", ["data=folders"], "data.folders is empty; name prepared folders, as in data=folders"),
    (
        "train",
        ["data=folders", "data.folders=[{tmp}/no]"],
        "no is missing; prepare it, see docs/prep",
    ),
    (
        "prepare",
        ["data=amazon", "data.category=arts", "data.base_url=ftp://x"],
        "must start with http",
    ),
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
    ("extract", ["images=folder"], "images.folder has no value; add images.folder=<value>: where"),
    ("extract", ["images=folder", "images.folder={tmp}/none"], "none) is not a folder"),
    ("extract", ["batch_size=0"], "batch_size (0) must be a whole number at least 1"),
    # of a sweep, none of whose jobs can begin
    ("train", ["-m", "seed=range(0)"], "the sweep has no job: a glob(...) or range(...)"),
    (
        "train",
        ["-m", "seed=1,2", "data=own", "data.name=office"],
        "office is missing; make it with",
    ),
    ("train", ["-m", "+model.depth=1,2"], "unexpected keyword argument 'depth'"),
    ("train", ["-m", "seed=1,2", "data=amazon"], "data.category has no value; add data.category"),
    ("prepare", ["-m", "seed=1,2"], "-m and sweep= are of train and tune"),
    ("train", ["-m", "model.embed_dim=7,9"], "none of 2 jobs can begin; the first: model.network"),
]


OF_RUNS = [
    # a run that is none, or has not ended
    ("evaluate", ["run={runs}/demo"], "config.yaml is missing; run must name the folder of a"),
    ("evaluate", ["run={tmp}/file.txt"], "run must name the folder of a training run"),
    (
        "evaluate",
        ["{a}", "against={runs}/demo/killed"],
        "cannot be compared: no metrics.json; python",
    ),
    ("evaluate", ["{a}", "against={runs}/demo/missrec_s1"], "name the runs of two systems"),
    ("evaluate", ["-m", "run=a,b"], "-m and sweep= are of train and tune"),
    ("report", ["run={runs}/demo/killed"], "killed: no metrics.json; python src/train.py resume="),
    ("report", ["run={runs}"], "runs; name one of them"),
    ("report", ["run="], "'' is no folder; run must name the folder of a training run"),
    ("train", ["split=none", "epochs_from={runs}/demo/killed"], "has not ended; resume="),
    ("train", ["resume={runs}/demo"], "so there is nothing to resume"),
    ("train", ["pretrained={tmp}/file.txt"], "file.txt"),
    # what is shown and measured
    (
        "evaluate",
        ["{a}", "shown=[ndgc@10]"],
        "shown: ndgc@10 is not measured; did you mean ndcg@10?",
    ),
    ("evaluate", ["{a}", "bucket_edges=[5,1]"], "bucket_edges ([5, 1]) must be whole numbers that"),
    (
        "evaluate",
        ["{a}", "bucket_edges=[a]"],
        "bucket_edges (['a']) must be whole numbers that rise",
    ),
    (
        "evaluate",
        ["{a}", "lists.cutoffs=[0]"],
        "lists.cutoffs ([0]) must be a list of whole numbers",
    ),
    ("evaluate", ["{a}", "new_items=yes"], "new_items (yes) must be one of features, refuse"),
    (
        "evaluate",
        ["{a}", "{b}", "metrics=[ndgc@10]"],
        "metrics: ndgc@10 is not recall@k, ndcg@k or",
    ),
    ("evaluate", ["{a}", "{b}", "num_resamples=0"], "num_resamples (0) must be a whole number at"),
    ("report", ["metrics=[ndgc@10]"], "metrics: ndgc@10 is not measured; did you mean ndcg@10?"),
    ("report", ["chosen_by=ndgc@10"], "chosen_by: ndgc@10 is not measured; did you mean ndcg@10?"),
    ("report", ["popularity.edges=[5,1]"], "popularity.edges ([5, 1]) must be whole numbers that"),
    ("report", ["reference=nobody"], "reference: nobody is no row; name one of"),
    # devices that there are not
    ("evaluate", ["{a}", "accelerator=tpu"], "accelerator (tpu): "),
    ("serve", ["{a}", "device=gpu"], "device (gpu) must be cpu, cuda, cuda:<number> or mps"),
    ("recommend", ["{a}", "devices=0"], "devices (0) must be a number of processes, or auto"),
    # files and folders
    ("recommend", ["{a}", "users={tmp}/none.csv"], "none.csv is missing; name the file that holds"),
    ("recommend", ["{a}", "users={tmp}/who.csv"], "name it, such as columns.user=<column>"),
    ("recommend", ["{a}", "users={tmp}/file.txt", "items=all"], "users and items are both given"),
    (
        "recommend",
        ["{a}", "out={tmp}/x.xlsx"],
        "cannot write .xlsx, expected .parquet, .csv, .jsonl",
    ),
    (
        "recommend",
        ["{a}", "out={tmp}/file.txt/x.csv"],
        "file.txt is a file, and a folder has to be",
    ),
    ("recommend", ["{a}", "out="], "out is empty; leave it out, or name it"),
    (
        "recommend",
        ["{a}", "domain=none"],
        "domain (none) must be one of those of the run: demo_office",
    ),
    (
        "recommend",
        ["{a}", "index=fais"],
        "index (fais) must be exact, faiss, faiss:<an index in its",
    ),
    ("recommend", ["{a}", "show=-1"], "show (-1) must be a whole number of at least 0"),
    ("export", ["{a}"], "name a new folder, such as to=exported, or push=<owner>/<name>"),
    ("export", ["{a}", "to="], "to is empty; leave it out, or name it"),
    ("export", ["{a}", "to={tmp}/file.txt"], "is not empty; name a new folder"),
    (
        "export",
        ["{a}", "to={tmp}/x", "format=tflite"],
        "format (tflite) must be one of onnx, safetensors",
    ),
    ("export", ["{a}", "push=noslash"], "push (noslash) must be <owner>/<name>"),
    ("report", ["paper={tmp}/none.yaml"], "none.yaml is missing; name one that is there"),
    ("report", ["output_dir={tmp}/file.txt"], "file.txt is a file; name a folder"),
    ("serve", ["{a}", "keys={tmp}/none"], "none is missing; name one that is there"),
    ("serve", ["{a}", "keys={tmp}"], "is a folder, and a file has to be there"),
    (
        "train",
        ["paths.log_dir={tmp}/file.txt"],
        "leads through a file, and a folder has to be there",
    ),
    # of a service
    ("serve", ["{a}", "host=0.0.0.0"], "anyone there could ask; add keys=<file>, or no_keys=true"),
    ("serve", ["{a}", "workers=0"], "workers (0) must be a whole number of at least 1"),
    ("serve", ["{a}", "threads=0"], "threads (0) must be a whole number of at least 1"),
    ("serve", ["{a}", "batch_ms=-1"], "batch_ms (-1) must be a number of 0 to 1000"),
    ("serve", ["{a}", "max_batch=0"], "max_batch (0) must be a whole number of at least 1"),
    (
        "serve",
        ["{a}", "log_level=loud"],
        "log_level (loud) must be one of debug, info, warning, error",
    ),
    ("serve", ["{a}", "limits.k=0"], "limits.k (0) must be a whole number at least 1"),
]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with runs, beside a file."""
    root = tmp_path_factory.mktemp("place") / "project"
    copy_project(root)
    (root.parent / "file.txt").write_text("x\n")
    (root.parent / "who.csv").write_text("who\nuser_1\n")
    return root


@pytest.mark.parametrize(("name", "arguments", "said"), OF_RUNS)
def test_a_mistake_about_runs_is_one_line_and_leaves_nothing(
    project: Path, name: str, arguments: list[str], said: str
) -> None:
    runs = project / "logs"
    words = {
        "a": f"run={runs}/demo/missrec_s1",
        "b": f"against={runs}/demo/missrec_s2",
        "runs": runs,
        "tmp": project.parent,
    }
    before = set(project.parent.rglob("*"))
    ended = call(name, *(one.format(**words) for one in arguments), PROJECT_ROOT=str(project))
    assert ended.code == 2, ended.stderr
    assert ended.stderr.startswith("error: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert set(project.parent.rglob("*")) == before


CLICKS = "user,item,time\n" + "".join(
    f"u{u},i{i},{u * 10 + i}\n" for u in range(8) for i in range(6)
)


@pytest.mark.parametrize(
    ("arguments", "clicks", "said"),
    [
        ([], "", "has no column 'user', it has: none; there is not a line in it"),
        ([], "user,item,time\n", "no interaction is left (rows read: 0, readable: 0"),
        ([], "a,b\n1,2\n", "where it has no header; such as 'data.interactions.user=<column>'"),
        (["data.interactions.time=when"], CLICKS, "such as 'data.interactions.time=<column>'"),
        (["data.interactions.delimiter=|"], CLICKS, "it has: user,item,time; name its columns"),
        (["data.interactions.delimiter="], CLICKS, "delimiter ('') must be one or more characters"),
        (["data.interactions.min_rating=4"], CLICKS, "min_rating (4) needs rating, the column"),
        (
            ["data.interactions.keep_events=[buy]"],
            CLICKS,
            "keep_events (buy) needs event, the column",
        ),
        (["data.interactions.encoding=klingon"], CLICKS, "encoding ('klingon') is none of a text"),
        (["data.items.path={tmp}/none.csv"], CLICKS, "none.csv is missing; name the file"),
        (["data.items.path={tmp}/items.csv"], CLICKS, "such as 'data.items.texts=[<column>]'"),
        (
            ["data.items.path={tmp}/items.csv", "data.items.texts=[name]"],
            CLICKS,
            "no item taken is among the items: do the two columns hold the same keys?",
        ),
        (
            ["data.sources.own.interaction_filter.min_user_interactions=99"],
            CLICKS,
            "ask for fewer of a user and of an item in interaction_filter",
        ),
        (["data.interactions.path={tmp}/clicks.parquet"], CLICKS, "is no whole Parquet file"),
        (["data.interactions.path={tmp}/clicks.csv.gz"], CLICKS, "is damaged after line 0"),
        (["data.interactions.path={tmp}/folder"], CLICKS, "holds no file that can be read"),
    ],
)
def test_a_mistake_about_files_of_one_s_own_is_one_line_and_leaves_nothing(
    tmp_path: Path, arguments: list[str], clicks: str, said: str
) -> None:
    files = {"clicks.csv": clicks, "items.csv": "item,name\nz,chair\n"}
    files |= {"clicks.parquet": "x", "clicks.csv.gz": "x"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    (tmp_path / "folder").mkdir()
    places = [f"paths.{place}_dir={tmp_path / place}" for place in ("log", "data")]
    own = ["data=own", "data.name=shop", f"data.interactions.path={tmp_path}/clicks.csv"]
    told = [one.replace("{tmp}", str(tmp_path)) for one in arguments]
    ended = call("prepare", *own, *told, *places)
    assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert said in ended.stderr
    assert {one.name for one in tmp_path.iterdir()} == {*files, "folder"}


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


def test_a_disk_that_is_full_while_pictures_are_written_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, written = Path.write_bytes, []

    def fill(path: Path, content: bytes) -> int:
        if path.suffix == ".png" and len(written) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(path)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", fill)
    places = [f"paths.{place}_dir={tmp_path / place}" for place in ("log", "data")]
    ended = call("prepare", "data=demo", *places)
    assert (ended.code, len(written)) == (2, 3)
    assert "finds no space left on its disk; free some" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_a_demo_of_nobody_is_refused(tmp_path: Path) -> None:
    places = [f"paths.{place}_dir={tmp_path / place}" for place in ("log", "data")]
    for setting in ("num_users", "num_items"):
        told = f"data.sources.demo_office.{setting}=-3"
        ended = call("prepare", "data=demo", told, *places)
        assert (ended.code, ended.stderr.count("\n")) == (2, 1)
        assert f"{setting} (-3) must be at least 1" in ended.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "lacking",
    [
        ("pymilvus", "recommend", ["index=milvus:{tmp}/a.db"], "uv pip install -e '.[milvus]'"),
        ("onnx", "export", ["to={tmp}/x", "format=onnx"], "format=onnx needs onnx"),
        ("mlflow", "train", ["experiment=demo", "logger=mlflow"], "logger=mlflow needs mlflow"),
        ("wandb", "train", ["experiment=demo", "logger=wandb"], "or choose logger=csv"),
        (
            "open_clip",
            "extract",
            ["images=none"],
            "open_clip is not installed; uv pip install -e .",
        ),
        ("uvicorn", "serve", [], "serving needs uvicorn; install it with"),
    ],
)
def test_what_needs_a_package_that_is_not_here_says_how_to_get_it(
    project: Path,
    monkeypatch: pytest.MonkeyPatch,
    lacking: tuple[str, str, list[str], str],
) -> None:
    package, name, arguments, said = lacking
    for module in [one for one in sys.modules if one.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "missrec.features.encoders.clip", raising=False)
    monkeypatch.delattr(encoders, "clip", raising=False)  # where Hydra looks first
    before = set(project.parent.rglob("*"))
    told = [one.format(tmp=project.parent) for one in arguments]
    if name in ("recommend", "export", "serve"):
        told.append(f"run={project}/logs/demo/missrec_s1")
    ended = call(name, *told, PROJECT_ROOT=str(project))
    assert (ended.code, ended.stderr.count("\n")) == (2, 1), ended.stderr
    assert said in ended.stderr
    assert set(project.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("train", "names.experiment=.."),
        ("train", "names.run=../../x"),
        ("tune", "search.study=../x"),
        ("train", f"names.run={'x' * 300}"),
    ],
)
def test_a_name_that_can_be_no_folder_is_refused_before_one_is_made(
    tmp_path: Path, name: str, argument: str
) -> None:
    ended = call(name, argument, f"paths.log_dir={tmp_path / 'log'}")
    assert ended.code == 2
    key, _, value = argument.partition("=")
    assert ended.stderr.startswith(f"error: {key} ({value[:40]}")
    assert ended.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_server_that_refuses_leaves_no_folder_for_its_files(tmp_path: Path) -> None:
    nowhere = ["data.base_url=http://127.0.0.1:9/a", "data.sources.amazon.downloader.max_tries=1"]
    places = [f"paths.{place}_dir={tmp_path / place}" for place in ("log", "data")]
    ended = call("prepare", "data=amazon", "data.category=arts", *nowhere, *places)
    assert (ended.code, ended.stderr.count("\n")) == (2, 1)
    assert not list(tmp_path.iterdir())


def test_the_traceback_of_a_mistake_in_a_sweep_is_shown_where_it_is_asked_for(
    tmp_path: Path,
) -> None:
    places = [f"paths.{place}_dir={tmp_path / place}" for place in ("log", "data")]
    sweep = ["-m", "seed=1,2", "model.embed_dim=7", *places]
    shown = call("train", *sweep, "debug=true")
    assert shown.stdout.count("Traceback (most recent call last)") >= 2
    assert "Traceback" not in call("train", *sweep).stdout
