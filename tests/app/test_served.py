"""What `python src/serve.py` puts behind its routes, asked in this process."""

from __future__ import annotations

import fcntl
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fastapi import FastAPI
from hydra import compose, initialize_config_dir
from starlette.testclient import TestClient

import missrec
from missrec.app import serve_processes
from missrec.app.export import export
from missrec.app.serve import ServeSettings, read_settings
from missrec.retrieval.milvus import MilvusIndex

KEPT = ROOT / "tests" / "kept_runs" / "format_0"
RUN, OTHER = (KEPT / "logs" / "demo" / name for name in ("missrec_s1", "sasrec_s1"))
KEY = "0123456789abcdef"
KEYED = {"authorization": f"Bearer {KEY}"}
HISTORY = ["item_4", "item_17", "item_2"]


@pytest.fixture
def current(tmp_path: Path) -> Path:
    """A link to a run."""
    turn(tmp_path / "current", RUN)
    return tmp_path / "current"


def turn(link: Path, run: Path) -> None:
    draft = link.with_name("next")
    draft.symlink_to(run)
    draft.replace(link)


def settings(run: Path, *overrides: str) -> ServeSettings:
    keys = run.with_name("keys.txt")
    keys.write_text(f"{KEY}\n")
    places = [f"run={run}", f"paths.data_dir={KEPT / 'data'}", f"keys={keys}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return read_settings(compose("serve", [*places, "batch_ms=0", *overrides]))


def asked(app: FastAPI) -> TestClient:
    return TestClient(app, headers=KEYED, raise_server_exceptions=False)


def recommended(client: TestClient, **body: Any) -> Any:
    answer = client.post("/v1/recommend", json={"history": HISTORY, "k": 5, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def keys_of(answer: Any) -> list[str]:
    return [row["item"] for row in answer["items"]]


def expected(run: Path) -> list[str]:
    found = missrec.load(run, data_dir=KEPT / "data").recommend([HISTORY], k=5)
    return list(found["item"])


def test_an_exported_folder_is_served(tmp_path: Path) -> None:
    to = tmp_path / "exported"
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        words = [f"run={RUN}", f"to={to}", f"paths.data_dir={KEPT / 'data'}"]
        export(compose("export", overrides=words))
    elsewhere = settings(to, f"paths.data_dir={tmp_path / 'nowhere'}")
    with asked(serve_processes.make_alone(elsewhere)) as client:
        answer = recommended(client)
        assert keys_of(answer) == expected(RUN)
        assert answer["version"]["model"].startswith("exported@")
        assert client.post("/v1/recommend", json={"user": "user_1"}).status_code == 404
        about = client.get("/explorer/api/about").json()
        assert (about["items"], about["users"], about["pictures"]) == (40, 0, 0)
        assert client.post("/admin/reload").status_code == 200


def test_a_reload_serves_what_the_link_leads_to_and_keeps_what_it_cannot_replace(
    current: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(RUN, broken)
    (checkpoint,) = (broken / "checkpoints").glob("epoch_*.ckpt")
    content = checkpoint.read_bytes()
    with asked(serve_processes.make_alone(settings(current))) as client:
        first = recommended(client)
        for half in (content[: len(content) // 2], b""):
            checkpoint.write_bytes(half)
            turn(current, broken)
            refused = client.post("/admin/reload")
            assert refused.status_code == 409
            message = refused.json()["error"]["message"]
            assert "what was served still is" in message
            assert checkpoint.name in message
            assert recommended(client) == first
        shutil.rmtree(broken)
        message = client.post("/admin/reload").json()["error"]["message"]
        assert "config.yaml is missing" in message
        assert recommended(client) == first
        turn(current, OTHER)
        assert client.post("/admin/reload").status_code == 200
        answer = recommended(client)
        assert keys_of(answer) == expected(OTHER)
        assert answer["version"] != first["version"]


def test_what_changes_while_it_is_loaded_is_not_served(
    current: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    shutil.copytree(RUN, run)
    with asked(serve_processes.make_alone(settings(run))) as client:
        load = serve_processes.load_recommender

        def changed_meanwhile(*args: Any, **kwargs: Any) -> Any:
            loaded = load(*args, **kwargs)
            with (run / "config.yaml").open("a") as config:
                config.write("# trained again\n")
            return loaded

        with monkeypatch.context() as patch:
            patch.setattr(serve_processes, "load_recommender", changed_meanwhile)
            refused = client.post("/admin/reload")
        assert refused.status_code == 409
        assert "changed while it was loaded" in refused.json()["error"]["message"]
        assert client.post("/admin/reload").status_code == 200


@pytest.fixture
def hang_ups() -> Iterator[None]:
    """What a worker does on SIGHUP is over with the test."""
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("hang_ups")
@pytest.mark.parametrize("index", ["exact", "faiss"])
def test_workers_map_one_table_and_the_next_ones_read_the_run_again(
    current: Path, tmp_path: Path, index: str
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    chosen = settings(current, f"index={index}", "workers=2")
    answers, made = [], []
    for run in (RUN, RUN, OTHER):
        turn(current, run)
        with asked(serve_processes.make_worker(chosen, shared)) as client:
            answers.append(recommended(client))
        assert keys_of(answers[-1]) == expected(run)
        tables = [path for path in shared.rglob("*") if path.suffix in {".pt", ".faiss"}]
        made.append({path: path.stat().st_mtime_ns for path in tables})
    assert answers[0] == answers[1] != answers[2]
    assert made[0] == made[1]  # by the first
    assert len(made[0]) == (1 if index == "exact" else 2)
    assert made[2].items() > made[1].items()


def test_a_worker_that_cannot_load_says_why_in_a_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(SystemExit) as ended:
        serve_processes.make_worker(settings(tmp_path / "nowhere"), tmp_path)
    assert ended.value.code == 2
    assert "nowhere/config.yaml is missing" in caplog.messages[-1]
    assert "\n" not in caplog.messages[-1]


def test_the_file_of_milvus_lite_answers_all_routes_also_while_it_is_reloaded(
    current: Path, tmp_path: Path
) -> None:
    pytest.importorskip("milvus_lite")
    index = f"index='milvus:{tmp_path / 'items.db'}'"
    found: list[Any] = []
    done = threading.Event()
    with asked(serve_processes.make_alone(settings(current, index))) as client:
        assert keys_of(recommended(client)) == expected(RUN)
        similar = client.post("/v1/similar", json={"items": HISTORY, "k": 3}).json()
        best = missrec.load(RUN, data_dir=KEPT / "data").similar(HISTORY, k=3)
        assert [row["item"] for one in similar["items"] for row in one["similar"]] == list(
            best["similar"]
        )
        assert client.get("/v1/items/item_4").status_code == 200
        assert client.get("/v1/interests").json()["total"] > 0
        explained = client.post("/v1/explain", json={"history": HISTORY, "item": "item_4"})
        assert explained.status_code == 200

        def ask() -> None:
            while not done.is_set():
                found.append(recommended(client))

        thread = threading.Thread(target=ask)
        thread.start()
        for run in (OTHER, RUN):
            turn(current, run)
            assert client.post("/admin/reload").status_code == 200
        done.set()
        thread.join()
        assert keys_of(recommended(client)) == expected(RUN)
    by_model = {answer["version"]["model"]: keys_of(answer) for answer in found}
    assert all(keys_of(one) == by_model[one["version"]["model"]] for one in found)
    assert sorted(by_model.values()) == sorted([expected(RUN), expected(OTHER)])


def test_a_file_of_milvus_that_another_service_has_is_said(current: Path, tmp_path: Path) -> None:
    lite = pytest.importorskip("milvus_lite.db")
    file = tmp_path / "items.db"
    file.mkdir()
    with (file / lite.LOCK_FILENAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(ConnectionError, match=r"items.db .*one process at a time opens a file"):
            serve_processes.make_alone(settings(current, f"index='milvus:{file}'"))


def test_a_milvus_that_has_gone_is_a_503(current: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("milvus_lite")

    def gone(*args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("no Milvus answers any more")

    index = f"index='milvus:{current.with_name('items.db')}'"
    with asked(serve_processes.make_alone(settings(current, index))) as client:
        monkeypatch.setattr(MilvusIndex, "nearest", gone)
        answer = client.post("/v1/recommend", json={"history": HISTORY})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "index_unavailable"
        assert client.get("/v1/items/item_4").status_code == 200


def test_several_processes_open_no_file_of_milvus(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a file that one process opens, and workers is 2"):
        settings(tmp_path / "run", f"index='milvus:{tmp_path / 'items.db'}'", "workers=2")
    settings(tmp_path / "run", "index='milvus:http://milvus:19530'", "workers=2")
