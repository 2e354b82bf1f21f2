"""`python src/recommend.py`: right items for the right keys, in any format, resumed anywhere."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from pytorch_lightning import Trainer

from doors import Ended, call
from faults import Killed, file_operations
from missrec.app import recommend as app
from missrec.app.build import build_experiment
from missrec.app.trained.loading import load_recommender
from missrec.app.trained.saved_run import read_saved_run
from missrec.data.domain import read_items
from missrec.runs.checkpoints import chosen_checkpoint
from missrec.runs.folder import RunFolder
from missrec.training.checkpoints import model_state
from missrec.types import SequenceBatch

KEPT = Path(__file__).resolve().parents[1] / "kept_runs/format_0"
RUN = KEPT / "logs/demo/missrec_s1"
DOMAIN = KEPT / "data/demo_office"
NUM_USERS, NUM_ITEMS = 60, 40

Recommend = Callable[..., Ended]


@pytest.fixture(autouse=True)
def _one_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    """The run is loaded once for all tests."""
    monkeypatch.setattr(app, "load_recommender", _loaded)


@cache
def _loaded(*arguments: Any, **settings: Any) -> Any:
    return load_recommender(*arguments, **settings)


@pytest.fixture
def recommend(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Recommend:
    """`recommend("k=3", out="recs.csv")`, in the test's own folder."""
    logs = tmp_path_factory.mktemp("logs")

    def called(*arguments: str, out: str | None = "recs.parquet", ends: int = 0) -> Ended:
        named = [f"out={tmp_path / out}"] if out else []
        places = [f"run={RUN}", f"paths.data_dir={KEPT / 'data'}", f"paths.log_dir={logs}"]
        ended = call("recommend", *places, *named, "accelerator=cpu", *arguments)
        assert ended.code == ends, ended.stderr
        return ended

    return called


def histories() -> dict[str, list[str]]:
    keys = dict(read_items(DOMAIN).select("item_id", "item_key").iter_rows())
    users = pl.read_parquet(DOMAIN / "users.parquet").sort("user_id")["user_key"]
    rows = pl.read_parquet(DOMAIN / "interactions.parquet")
    found: dict[str, list[str]] = {key: [] for key in users}
    for user, item in rows.select("user_id", "item_id").iter_rows():
        found[users[user]].append(keys[item])
    return found


@cache
def _module() -> Any:
    settings = read_saved_run(RunFolder(RUN), data_dir=KEPT / "data", trust=False)
    model = build_experiment(settings).module.model.eval()
    model.load_state_dict(model_state(chosen_checkpoint(RUN)))
    return model


@torch.inference_mode()
def scores_of(history: list[str]) -> dict[str, float]:
    """The score of every item, by the model alone."""
    model, keys = _module(), read_items(DOMAIN)["item_key"].to_list()
    ids = torch.tensor([[keys.index(item) + 1 for item in history[-50:]]])
    batch = SequenceBatch(torch.zeros(1).long(), ids, torch.ones(1).long())
    candidates = model.candidates(torch.arange(1, len(keys) + 1))
    scores = model.score(model.encode(batch), candidates)[0]
    return dict(zip(keys, scores.tolist(), strict=True))


def best(history: list[str], k: int, *, among: set[str] | None = None, seen: bool = False) -> Any:
    scores = scores_of(history)
    left = [
        item
        for item in scores
        if (seen or item not in history) and (among is None or item in among)
    ]
    return sorted(left, key=lambda item: (-scores[item], item))[:k]


def found(path: Path, what: str = "user", item: str = "item") -> dict[str, list[str]]:
    rows = pl.read_parquet(path)
    lists: dict[str, list[str]] = {}
    for key, one in rows.select(what, item).iter_rows():
        lists.setdefault(key, []).append(one)
    return lists


def test_all_users_get_the_best_items_that_they_have_not(
    recommend: Recommend, tmp_path: Path
) -> None:
    ended = recommend("k=5")
    rows = pl.read_parquet(tmp_path / "recs.parquet")
    assert rows.columns[:4] == ["user", "rank", "item", "score"]
    assert all(name.startswith("share_") for name in rows.columns[4:])
    assert found(tmp_path / "recs.parquet") == {
        key: best(history, 5) for key, history in histories().items()
    }
    assert rows["rank"].to_list() == [1, 2, 3, 4, 5] * NUM_USERS
    for user, item, score in rows.select("user", "item", "score").head(40).iter_rows():
        assert score == pytest.approx(scores_of(histories()[user])[item], abs=1e-5)
    assert (
        f"recs.parquet: {5 * NUM_USERS} rows for {NUM_USERS} of {NUM_USERS} users" in ended.stdout
    )
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["recs.parquet"]
    assert not (tmp_path / "recs.parquet.parts").exists()


def test_some_are_shown_by_title(recommend: Recommend, tmp_path: Path) -> None:
    shown = recommend("k=2", out=None).stdout
    titles = dict(read_items(DOMAIN).select("item_key", "text").iter_rows())
    first, history = next(iter(histories().items()))
    assert "3 users" in shown
    for part in (first, titles[history[-1]], titles[best(history, 1)[0]]):
        assert part in shown
    assert not list(tmp_path.glob("*.parquet*"))


def test_a_file_of_users_chooses_them_and_unknown_ones_are_listed(
    recommend: Recommend, tmp_path: Path
) -> None:
    (tmp_path / "users.csv").write_text("user,city\nuser_7,x\nnobody,y\nuser_3,z\nuser_7,x\n")
    ended = recommend("k=2", f"users={tmp_path / 'users.csv'}")
    own = histories()
    assert list(found(tmp_path / "recs.parquet").items()) == [
        (user, best(own[user], 2)) for user in ("user_7", "user_3")
    ]
    assert "unknown user: 1, such as 'nobody'" in ended.stdout
    assert (tmp_path / "recs.unknown.csv").read_text() == "what,key,times\nuser,nobody,1\n"


SESSIONS = {'s,"1"': ["item_3", "item_9"], "s2": ["item_1", "gone"], "s3": [], "s4": ["lost"]}


@pytest.mark.parametrize("name", ["h.parquet", "h.jsonl", "h.csv"])
def test_histories_of_new_users_keep_their_own_keys(
    recommend: Recommend, tmp_path: Path, name: str
) -> None:
    table = pl.DataFrame({"history": list(SESSIONS), "items": list(SESSIONS.values())})
    if name.endswith("parquet"):
        table.write_parquet(tmp_path / name)
    elif name.endswith("jsonl"):
        table.write_ndjson(tmp_path / name)
    else:
        rows = table.explode("items").drop_nulls().rename({"items": "item"})
        rows.write_csv(tmp_path / name)
    ended = recommend("k=3", f"histories={tmp_path / name}")
    assert found(tmp_path / "recs.parquet", "history") == {
        's,"1"': best(["item_3", "item_9"], 3),
        "s2": best(["item_1"], 3),
    }
    listed = pl.read_csv(tmp_path / "recs.unknown.csv").rows()
    assert [row for row in listed if row[0] == "item"] == [("item", "gone", 1), ("item", "lost", 1)]
    assert ("history with no known item", "s4", 1) in listed
    assert "history with no known item: " in ended.stdout


def test_nothing_but_unknown_keys_makes_a_file_without_rows(
    recommend: Recommend, tmp_path: Path
) -> None:
    (tmp_path / "h.jsonl").write_text('{"history":"a","items":["x"]}\n')
    ended = recommend(f"histories={tmp_path / 'h.jsonl'}")
    rows = pl.read_parquet(tmp_path / "recs.parquet")
    assert rows.is_empty()
    assert rows.columns[:4] == ["history", "rank", "item", "score"]
    assert "0 rows for 0 of 1 histories" in ended.stdout


def test_allowed_blocked_and_seen_items(recommend: Recommend, tmp_path: Path) -> None:
    (tmp_path / "allow.txt").write_text("item_1\nitem_2\nitem_3\nitem_4\nsoldout\n")
    (tmp_path / "block.csv").write_text("item\nitem_2\n")
    files = [f"allow={tmp_path / 'allow.txt'}", f"block={tmp_path / 'block.csv'}"]
    recommend("k=50", *files)
    among = {"item_1", "item_3", "item_4"}
    own = {key: best(one, 50, among=among) for key, one in histories().items()}
    assert found(tmp_path / "recs.parquet") == {key: items for key, items in own.items() if items}
    recommend("k=50", *files, "exclude_seen=false")
    assert found(tmp_path / "recs.parquet") == {
        key: best(one, 50, among=among, seen=True) for key, one in histories().items()
    }
    assert "allow,soldout,1" in (tmp_path / "recs.unknown.csv").read_text()


def test_lists_have_k_items_each(recommend: Recommend, tmp_path: Path) -> None:
    named = {"new": ["item_1", "item_5", "item_6"], "sale": ["item_7"]}
    for name, items in named.items():
        (tmp_path / f"{name}.txt").write_text("\n".join(items))
    recommend("k=2", *(f"lists.{name}={tmp_path / name}.txt" for name in named))
    rows = pl.read_parquet(tmp_path / "recs.parquet")
    for name, items in named.items():
        of_list = rows.filter(list=name)
        for user, own in histories().items():
            expected = best(own, 2, among=set(items))
            assert of_list.filter(user=user)["item"].to_list() == expected


def test_more_than_there_are_items_is_all_that_are_left(
    recommend: Recommend, tmp_path: Path
) -> None:
    recommend("k=1000")
    for user, items in found(tmp_path / "recs.parquet").items():
        assert len(items) == NUM_ITEMS - len(set(histories()[user]))


def test_every_format_holds_the_same_rows(recommend: Recommend, tmp_path: Path) -> None:
    names = ["recs.parquet", "recs.csv", "recs.jsonl", "recs.csv.gz"]
    for name in names:
        recommend("k=2", out=name)
    expected = pl.read_parquet(tmp_path / "recs.parquet")
    assert pl.read_csv(tmp_path / "recs.csv").rows() == expected.rows()
    assert (
        gzip.decompress((tmp_path / "recs.csv.gz").read_bytes())
        == (tmp_path / "recs.csv").read_bytes()
    )
    lines = (tmp_path / "recs.jsonl").read_text().splitlines()
    assert [tuple(json.loads(line).values()) for line in lines] == expected.rows()


@pytest.mark.parametrize("asked", ["all", "file"])
def test_similar_items(recommend: Recommend, tmp_path: Path, asked: str) -> None:
    (tmp_path / "items.txt").write_text("item_9\nitem_4\ngone\n")
    recommend("k=3", f"items={'all' if asked == 'all' else tmp_path / 'items.txt'}")
    rows = pl.read_parquet(tmp_path / "recs.parquet")
    assert rows.columns == ["item", "rank", "similar", "score"]
    keys = rows["item"].unique(maintain_order=True).to_list()
    expected = read_items(DOMAIN)["item_key"].to_list() if asked == "all" else ["item_9", "item_4"]
    assert keys == expected
    assert rows.filter(pl.col("item") == pl.col("similar")).is_empty()
    assert rows.equals(_loaded_kept().similar(expected, k=3))


def _loaded_kept() -> Any:
    return load_recommender(RUN, data_dir=KEPT / "data")


def test_vectors_of_users_and_items_lie_beside(recommend: Recommend, tmp_path: Path) -> None:
    recommend("k=2", "vectors=true", "shard_size=25", out="recs.csv")
    users = pl.read_parquet(tmp_path / "recs.user_vectors.parquet")
    items = pl.read_parquet(tmp_path / "recs.item_vectors.parquet")
    assert users.columns == ["user", "vector"]
    assert users["user"].to_list() == list(histories())
    assert items["item"].to_list() == read_items(DOMAIN)["item_key"].to_list()
    own = _loaded_kept().encode(list(histories().values())[:25])["vector"].to_numpy()
    assert users["vector"].to_numpy()[:25] == pytest.approx(own, abs=1e-6)


def outputs(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("recs*") if path.is_file()}


SMALL = ("k=3", "shard_size=16", "show=0")


def test_killed_at_any_of_its_file_operations_it_ends_with_the_same_bytes(
    recommend: Recommend, tmp_path: Path
) -> None:
    (tmp_path / "h.jsonl").write_text(
        "".join(
            f"{json.dumps({'history': key, 'items': [*items, 'x']})}\n"
            for key, items in histories().items()
        )
    )
    asked = (*SMALL, "vectors=true", f"histories={tmp_path / 'h.jsonl'}")
    with file_operations(tmp_path) as counted:
        recommend(*asked)
    expected = outputs(tmp_path)
    assert set(expected) == {
        "recs.parquet",
        "recs.unknown.csv",
        "recs.user_vectors.parquet",
        "recs.item_vectors.parquet",
    }
    for place in range(3, counted.count, counted.count // 4):
        for name in expected:
            (tmp_path / name).unlink()
        with pytest.raises(Killed), file_operations(tmp_path, kill_at=place, torn=place % 2 == 0):
            recommend(*asked)
        recommend(*asked)
        assert outputs(tmp_path) == expected, place


class StoppedError(RuntimeError):
    """Stands for whatever ends the work between two shards."""


@pytest.fixture
def stop_after(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int | None], None]]:
    """`stop_after(2)`: the third shard from now on is not answered."""
    plain = app.ShardModule.predict_step

    def stop(number: int | None) -> None:
        left = [number]

        def step(module: Any, shard: int) -> None:
            if left[0] == 0:
                raise StoppedError
            if left[0] is not None:
                left[0] -= 1
            plain(module, shard)

        monkeypatch.setattr(app.ShardModule, "predict_step", step)

    return stop


def test_a_command_goes_on_at_the_shard_where_it_was_stopped(
    recommend: Recommend, tmp_path: Path, stop_after: Callable[[int | None], None]
) -> None:
    recommend(*SMALL)
    expected = outputs(tmp_path)
    for number in (1, 2, 3):
        stop_after(number)
        with pytest.raises(StoppedError):
            recommend(*SMALL)
        assert len(list((tmp_path / "recs.parquet.parts").glob("shard-*"))) == number
        stop_after(4 - number)  # no more than what is missing
        assert f"{number} of 4 shards are done already" in recommend(*SMALL).stdout
        assert outputs(tmp_path) == expected


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("k=4", "k is 3 there, 4 here"),
        ("exclude_seen=false", "exclude_seen is True there, False here"),
        ("shard_size=17", "shard_size is 16 there, 17 here"),
        ("users={tmp}/users.txt", "users is None there"),
        ("allow={tmp}/users.txt", "allow is None there"),
        ("lists.a={tmp}/users.txt", "lists.a is None there"),
    ],
)
def test_what_was_stopped_does_not_go_on_with_other_settings(
    recommend: Recommend,
    tmp_path: Path,
    stop_after: Callable[[int | None], None],
    change: str,
    said: str,
) -> None:
    (tmp_path / "users.txt").write_text("user_1\n")
    stop_after(1)
    with pytest.raises(StoppedError):
        recommend(*SMALL)
    stop_after(None)
    other = [*SMALL, change.format(tmp=tmp_path)]
    ended = recommend(*other, ends=2)
    assert said in ended.stderr
    assert "overwrite=true" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    recommend(*other, "overwrite=true")
    once = outputs(tmp_path)
    recommend(*other)
    assert outputs(tmp_path) == once


def test_other_content_of_a_file_is_another_setting(
    recommend: Recommend, tmp_path: Path, stop_after: Callable[[int | None], None]
) -> None:
    file = tmp_path / "allow.txt"
    file.write_text("item_1\n")
    stop_after(1)
    with pytest.raises(StoppedError):
        recommend(*SMALL, f"allow={file}")
    file.write_text("item_2\n")
    assert "allow is ['" in recommend(*SMALL, f"allow={file}", ends=2).stderr


def test_rows_that_cannot_be_used_are_listed_once_and_for_this_output(
    recommend: Recommend, tmp_path: Path, stop_after: Callable[[int | None], None]
) -> None:
    rows = [{"history": key, "items": items} for key, items in histories().items()]
    lines = [json.dumps(row) for row in [*rows, {"history": "bad", "items": 3}]]
    (tmp_path / "h.jsonl").write_text("\n".join(lines))
    (tmp_path / "allow.csv").write_text('item\nitem_1\n""\n')
    bad = ("rejects.max_share=0.5", f"histories={tmp_path / 'h.jsonl'}")
    stop_after(1)
    with pytest.raises(StoppedError):
        recommend(*SMALL, *bad, f"allow={tmp_path / 'allow.csv'}")
    listed = (tmp_path / "recs.rejects.csv").read_text()
    assert "allow.csv,3,item is missing" in listed
    assert 'h.jsonl,61,"items is no list of keys' in listed
    stop_after(None)
    recommend(*SMALL, *bad, ends=2)  # other settings, which change nothing
    recommend(*SMALL, *bad, f"allow={tmp_path / 'allow.csv'}")
    assert (tmp_path / "recs.rejects.csv").read_text() == listed
    recommend(*SMALL)
    assert not (tmp_path / "recs.rejects.csv").exists()


MISTAKES = [
    (("k=0",), "k (0) must be a whole number at least 1"),
    (("k=ten",), "k (ten) must be a whole number"),
    (("out=recs.xlsx",), "cannot write .xlsx, expected .parquet, .csv"),
    (("out=null", "show=0"), "out has no value and show is 0; add out=<file>"),
    (("out={tmp}",), "is a folder|cannot write"),
    (("run={tmp}/none",), "none' is no folder; run must name the folder of a training run"),
    (("run=[a,b]",), "must name one run folder"),
    (("users=a.csv", "items=all"), "users and items are both given: choose one"),
    (("histories=a.csv", "users=b.csv"), "users and histories are both given: choose one"),
    (("users=A10",), "users (A10): there is no such file; to name that key, put it into one"),
    (("items=A10",), "items (A10): there is no such file"),
    (("users={tmp}/none.csv",), "none.csv is missing; name the file that holds the data"),
    (("allow={tmp}/none.csv",), "none.csv is missing"),
    (("lists.a={tmp}/none.csv",), "none.csv is missing"),
    (("users={tmp}/other.csv",), "has no column 'user', it has: customer; name it, such as"),
    (("histories={tmp}/other.csv",), "neither a column 'items' of lists nor"),
    (("histories={tmp}/bad.jsonl",), "1 of 2 rows cannot be used"),
    (("items=all", "allow={tmp}/other.csv"), "similar items, which take no allow"),
    (("items=all", "vectors=true"), "similar items, which take no vectors"),
    (("domain=toys",), "domain (toys) must be one of those of the run: demo_office"),
    (("changed_data=maybe",), "changed_data (maybe) must be one of accept, refuse"),
    (("exclude_seen=no",), "exclude_seen (no) must be true or false"),
    (("trust=1",), "trust"),
    (("devices=0",), "devices (0) must be a number of processes, or auto"),
    (("num_nodes=2",), "several machines need torchrun or srun"),
    (("index=annoy",), "index (annoy) must be exact, faiss"),
    (("batch_size=0",), "batch_size (0) must be a whole number"),
    (("shard_size=-1",), "shard_size (-1) must be a whole number"),
    (("layout.encoding=utf-99", "users={tmp}/other.csv"), "encoding ('utf-99') is none of a text"),
    (("kk=3",), "kk"),
    (("users={tmp}/other.csv", "out={tmp}/other.csv"), "is the file of users too; name another"),
    (("lists.a={tmp}/other.csv", "out={tmp}/a/../other.csv"), "is the file of lists.a too"),
    (
        ("histories={tmp}/items.csv",),
        "has no column 'history', it has: items; name it, such as columns.history=<column>",
    ),
    (("accelerator=tpu",), "accelerator (tpu), devices (1): "),
    (("accelerator=mps",), "accelerator (mps), devices (1): "),
    (("index=null",), "index (None) must be exact, faiss"),
    (("columns=null",), "columns (None) must have names"),
    (("layout=null",), "layout (None) must have names"),
    (("rejects=1",), "rejects (1) must have names"),
    (("out={tmp}/other.csv/recs.csv",), "other.csv is a file, and a folder has to be there"),
    (("out={tmp}/other.csv/a/b/recs.csv",), "other.csv is a file, and a folder has to be there"),
    (("out={tmp}/taken.csv",), "taken.csv.parts is a file, and a folder has to be there"),
]


@pytest.mark.parametrize(("arguments", "said"), MISTAKES, ids=lambda value: str(value)[:30])
def test_a_mistake_is_one_line_and_leaves_nothing(
    recommend: Recommend, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    (tmp_path / "other.csv").write_text("customer\nuser_1\n")
    (tmp_path / "items.csv").write_text("items\n[1]\n")
    (tmp_path / "taken.csv.parts").touch()
    (tmp_path / "bad.jsonl").write_text('{"history":"a","items":["item_1"]}\n{"history":"b"\n')
    ended = recommend(*(one.format(tmp=tmp_path) for one in arguments), ends=2)
    assert any(part in ended.stderr for part in said.split("|")), ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert not list(tmp_path.glob("recs.parquet*"))


@pytest.mark.slow
def test_two_processes_make_the_bytes_of_one(
    recommend: Recommend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "load_recommender", load_recommender)
    recommend(*SMALL)
    expected = outputs(tmp_path)
    for name in expected:
        (tmp_path / name).unlink()
    recommend(*SMALL, "devices=2")
    assert outputs(tmp_path) == expected


def test_the_trainer_of_one_process_starts_no_other() -> None:
    trainer: Trainer = app.build_trainer(accelerator="cpu", devices=1, num_nodes=1, callbacks=[])
    assert trainer.world_size == 1
