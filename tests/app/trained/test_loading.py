"""`missrec.load`: what a run learnt, on the items that it was trained on."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
import yaml
from conftest import ROOT

import missrec
from changed_data import CHANGES, prepare_again
from missrec.data.splits import LeaveOneOut
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.runs.identity import ChangedDataError, identity_of_folders
from missrec.runs.trust import UntrustedError
from run_folders import record_run, run_config
from synthetic import SEQUENCES, write_domain_folder

KEPT = ROOT / "tests" / "kept_runs" / "format_0"
"""A project that was elsewhere when its runs were made."""

ONE_DOMAIN = [
    "demo/missrec_s1",
    "demo/sasrec_s1",
    "demo/s3rec_s1",
    "finetune/missrec",
    "finetune/vqrec",
]


@pytest.mark.parametrize("run", [*ONE_DOMAIN, "pretrain/missrec"])
def test_a_loaded_run_ranks_its_test_users_as_the_run_did(run: str) -> None:
    folder = KEPT / "logs" / run
    for ranks in sorted(folder.glob("test_ranks_*.parquet")):
        domain = ranks.stem.removeprefix("test_ranks_")
        model = missrec.load(folder, domain=domain)
        keys = model.items["item"].to_list()
        recorded = pl.read_parquet(ranks).sort("user_id")
        histories = [own.to_list() for own in model.histories()]
        assert len(histories) == len(recorded) > 0
        found = model.recommend([h[:-1] for h in histories], k=len(keys), exclude_seen=False)
        assert len(found) == len(keys) * len(histories)
        targets = pl.DataFrame({"item": [h[-1] for h in histories]}).with_row_index("history")
        own = found.join(
            targets.with_columns(pl.col("history").cast(pl.Int64)),
            on=["history", "item"],
            how="inner",
            maintain_order="right",
        )
        single = recorded["num_equal"] == 0
        assert single.sum() > 10 or run == "finetune/vqrec"  # whose codes are often the same
        assert own["rank"].filter(single).to_list() == recorded["rank"].filter(single).to_list()


@pytest.mark.slow
def test_loading_and_recommending_need_no_lightning_and_importing_needs_nothing() -> None:
    script = """
import sys
import missrec
assert not {"torch", "polars", "numpy", "hydra"} & sys.modules.keys()
model = missrec.load(sys.argv[1])
keys = model.items["item"][:3]
model.recommend([keys]); model.similar(keys); model.explain(keys, keys[0]); model.interests()
print([name for name in sys.modules if "lightning" in name and "utilities" not in name])
"""
    command = [sys.executable, "-c", script, str(KEPT / "logs/finetune/missrec")]
    ended = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
    )
    assert (ended.returncode, ended.stdout.strip()) == (0, "[]"), ended


def test_of_several_domains_one_is_chosen() -> None:
    run = KEPT / "logs" / "pretrain" / "missrec"
    for wrong, said in ((None, "domain must"), ("demo_office", r"domain \(demo_office\) must")):
        with pytest.raises(
            ValueError,
            match=f"^{said} be one of those of the run: demo_kitchen, demo_garden, demo_music$",
        ):
            missrec.load(run, domain=wrong)
    members = [missrec.load(run, domain=name).interests() for name in ("demo_garden", "demo_music")]
    assert all(set(one["item"]) <= {f"item_{n}" for n in range(1, 26)} for one in members)
    assert not members[0].equals(members[1])


def test_interests_are_those_that_the_run_recorded() -> None:
    run = KEPT / "logs" / "finetune" / "missrec"
    recorded = pl.read_parquet(run / "interests" / "tokens.parquet")
    recorded = recorded.rename({"item_key": "item"}).drop("domain")
    found = missrec.load(run).interests()
    columns = ["interest", "item", "modality"]
    assert found.select(columns).sort(columns).equals(recorded.select(columns).sort(columns))
    for interest, own in found.group_by("interest"):
        assert own["size"].unique().to_list() == [len(own)], interest
        assert own["share_text"][0] == pytest.approx((own["modality"] == "text").mean())
        assert own["share_text"][0] + own["share_image"][0] == pytest.approx(1)
        assert own["distance"].is_sorted()
    assert found["size"].is_sorted(descending=True)


def test_an_explanation_names_the_interests_of_the_history() -> None:
    model = missrec.load(KEPT / "logs" / "finetune" / "missrec")
    members = model.interests()
    history, item = ["item_3", "item_9"], "item_3"
    told = model.explain(history, item).filter(pl.col("kind") == "interest")
    own = members.filter(pl.col("item").is_in(history))["interest"].unique().sort()
    assert told["name"].cast(pl.Int64).sort().to_list() == own.to_list()
    assert told["value"].is_sorted(descending=True)
    assert told["value"].is_between(-1, 1).all()
    central = members.unique("interest", keep="first", maintain_order=True)
    titles = dict(central.select(pl.col("interest").cast(pl.String), "title").rows())
    assert told["title"].to_list() == [titles[name] for name in told["name"]]
    # nearest to the item in its own interests
    best = members.filter(pl.col("item") == item)["interest"].to_list()
    assert int(told["name"][0]) in best


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A domain folder, `data/tiny`, of a project."""
    return write_domain_folder(tmp_path / "data" / "tiny")


def floor(root: Path, model: str, *, inputs: str = "text", **facts: Any) -> Path:
    """A run of a model that learns nothing, which was recorded in `root`."""
    config = run_config(
        "data=folders", f"data.folders=[{root}/data/tiny]", f"model={model}", f"inputs={inputs}"
    )
    config["paths"] = {**config["paths"], "data_dir": f"{root}/data"}
    return record_run(root / "logs" / "scratch" / model, config, [1.0], epochs=None, **facts)


@pytest.mark.parametrize("model", ["most_popular", "last_item_transition", "nearest_neighbor"])
def test_floors_have_no_weights_and_recommend(shop: Path, model: str) -> None:
    loaded = missrec.load(floor(shop.parents[1], model))
    assert loaded.users.to_list() == [f"user-{user}" for user in range(4)]
    assert loaded.histories().to_list() == [
        [f"item-{item}" for item in items] for items in SEQUENCES
    ]
    found = loaded.recommend([["item-1"], ["item-3"]], k=6)
    assert len(found) == 2 * 5
    if model == "most_popular":  # training counts 2 2 3 1 2 0, ties by key
        assert found["item"].to_list()[:5] == [f"item-{item}" for item in (3, 2, 5, 4, 6)]
    if model == "last_item_transition":  # 1 -> 2 and 3 -> 1 in training
        assert found.filter(pl.col("rank") == 1)["item"].to_list() == ["item-2", "item-1"]
    assert len(loaded.similar(["item-1"], k=6)) == 5


def test_the_data_is_found_where_it_was_or_beside_the_logs_or_here(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = floor(tmp_path, "most_popular")
    assert len(missrec.load(run).items) == 6
    moved = tmp_path / "moved"
    moved.mkdir()
    (tmp_path / "logs").rename(moved / "logs")
    (tmp_path / "data").rename(moved / "data")
    run = moved / "logs" / "scratch" / "most_popular"
    assert len(missrec.load(str(run)).items) == 6
    (moved / "data").rename(moved / "elsewhere")
    with pytest.raises(FileNotFoundError, match=r"tiny.manifest\.json is missing") as said:
        missrec.load(run)
    assert "python src/prepare.py data=" in said.value.__notes__[0]
    assert len(missrec.load(run, data_dir=moved / "elsewhere").items) == 6
    monkeypatch.chdir(moved)
    assert len(missrec.load("logs/scratch/most_popular", data_dir="elsewhere").items) == 6
    (moved / "away").mkdir()
    (moved / "elsewhere").rename(moved / "away" / "data")
    monkeypatch.chdir(moved / "away")
    assert len(missrec.load(run).items) == 6


def test_changed_data_is_refused_or_accepted(tmp_path: Path) -> None:
    folder = prepare_again(tmp_path / "data" / "tiny")
    known = identity_of_folders([folder], LeaveOneOut(), modalities=["text"])
    run = floor(tmp_path, "nearest_neighbor", data=known)
    missrec.load(run)
    for change in ("interaction", "features"):
        prepare_again(folder, change)
        with pytest.raises(ChangedDataError, match=CHANGES[change][1].split(" (")[0]):
            missrec.load(run)
        assert isinstance(missrec.load(run, changed_data="accept"), CatalogueRecommender)
    with pytest.raises(ValueError, match=r"changed_data \(yes\) must be refuse or accept"):
        missrec.load(run, changed_data="yes")


def test_a_stranger_s_code_is_refused_unless_it_is_trusted(shop: Path, tmp_path: Path) -> None:
    run = floor(tmp_path, "most_popular")
    config = yaml.safe_load((run / "config.yaml").read_text())
    for section, name in (
        ("model", "os.system"),
        ("model", "missrec.models.sasrec.torch.load"),
        ("callbacks", "stranger.Act"),
    ):
        changed = {**config, section: {**config[section], "theirs": {"_target_": name}}}
        (run / "config.yaml").write_text(yaml.safe_dump(changed))
        with pytest.raises(
            UntrustedError, match=rf"{section}\.theirs\._target_ \({name}\)"
        ) as said:
            missrec.load(run)
        assert said.value.__notes__ == ["if you trust whoever made the run: trust=True"]
    missrec.load(run, trust=True)  # a callback is not built, whoever's it is
    assert "stranger" not in sys.modules


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"index": "annoy"}, r"index \(annoy\) must be exact, faiss, .*, or auto$"),
        ({"index": "milvus"}, r"index \(milvus\) must be .*milvus:<a file.db or an address>"),
        ({"index": "exact:1"}, r"index \(exact:1\) must be"),
        ({"index": "faiss:IVF"}, r"FAISS knows no index 'IVF'"),
        ({"device": "cudaa"}, r"device \(cudaa\) must be cpu, cuda, "),
        ({"device": "cuda:99"}, r"device \(cuda:99\) cannot be used: "),
        ({"domain": "toys"}, r"domain \(toys\) must be one of those of the run: tiny"),
    ],
)
def test_a_wrong_setting_is_told_in_one_line(
    shop: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as said:
        missrec.load(floor(tmp_path, "most_popular"), **settings)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize("trust", ["no", "false", 0, None])
def test_no_word_counts_as_trust(trust: Any) -> None:
    with pytest.raises(ValueError, match=r"trust \(.*\) must be true or false"):
        missrec.load(KEPT / "logs/demo/missrec_s1", trust=trust)


def test_a_folder_without_a_run_and_a_run_without_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere.config\.yaml is missing"):
        missrec.load(tmp_path / "nowhere")
    run = tmp_path / "project" / "logs" / "sasrec"
    shutil.copytree(KEPT / "logs" / "demo" / "sasrec_s1", run)
    checkpoint = run / "checkpoints" / "epoch_001.ckpt"
    data = KEPT / "data"
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"epoch_001\.ckpt is no whole checkpoint"):
        missrec.load(run, data_dir=data)
    state = torch.load(KEPT / "logs" / "finetune" / "missrec" / "checkpoints" / "epoch_001.ckpt")
    torch.save(state, checkpoint)
    with pytest.raises(ValueError, match=r"epoch_001\.ckpt cannot be loaded: .*Missing") as said:
        missrec.load(run, data_dir=data)
    assert "\n" not in str(said.value)
    for path in run.joinpath("checkpoints").iterdir():
        path.unlink()
    with pytest.raises(FileNotFoundError, match="no epoch of the run has ended"):
        missrec.load(run, data_dir=data)


def test_what_is_loaded_is_what_the_checkpoint_holds_and_evaluates() -> None:
    model = missrec.load(KEPT / "logs" / "demo" / "sasrec_s1")
    checkpoint = torch.load(KEPT / "logs" / "demo" / "sasrec_s1" / "checkpoints" / "epoch_001.ckpt")
    held = checkpoint["state_dict"]
    state = model._encoder.model.state_dict()
    assert held.keys() == {f"model.{name}" for name in state}
    assert all(held[f"model.{name}"].equal(value) for name, value in state.items())
    assert not model._encoder.model.training
