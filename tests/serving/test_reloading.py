"""A reload swaps the recommender in whole."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from missrec.serving import reloading
from missrec.serving.exploring import Explorer
from missrec.serving.refusals import Refused
from missrec.serving.reloading import reload_when_told
from missrec.serving.served import Served, Version
from missrec.training.memory import give_back_memory
from toy_recommender import KEYS, HeldFusion, ToyCounts, ToyFusion, toy_recommender
from toy_service import KEY, VERSION, service

KEYED = {"authorization": f"Bearer {KEY}"}
NEXT = Version("toy@2", "toys@2")


def served(model: Any = ToyCounts, version: Version = NEXT) -> Served:
    recommender = toy_recommender(model())
    return Served(recommender, version, Explorer(recommender))


def items(client: Any) -> tuple[str, list[str]]:
    answer = client.post("/v1/recommend", json={"history": ["b"], "k": 9}, headers=KEYED).json()
    return answer["version"]["model"], [row["item"] for row in answer["items"]]


BEST = {
    version.model: toy_recommender(model()).recommend([["b"]], k=9)["item"].to_list()
    for version, model in ((VERSION, ToyFusion), (NEXT, ToyCounts))
}


def test_the_next_answer_is_of_what_was_loaded() -> None:
    with service(with_keys=True, load=served) as client:
        assert items(client) == (VERSION.model, BEST[VERSION.model])
        answer = client.post("/admin/reload", headers=KEYED)
        assert answer.status_code == 200
        assert answer.json() == {"status": "reloaded", "version": NEXT._asdict()}
        assert items(client) == (NEXT.model, BEST[NEXT.model])
        assert client.get("/readyz").json()["version"] == NEXT._asdict()
        assert (
            'missrec_reloads_total{outcome="done"} 1.0'
            in client.get("/metrics", headers=KEYED).text
        )


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("config.yaml was changed\nsince"), "config.yaml was changed since"),
        (FileNotFoundError("config.yaml is missing"), "config.yaml is missing"),
        (RuntimeError("item 'secret'"), "RuntimeError"),
        (MemoryError(), "MemoryError"),
    ],
)
def test_what_cannot_be_loaded_leaves_what_was_served(error: Exception, said: str) -> None:
    def load() -> Served:
        raise error

    with service(with_keys=True, load=load) as client:
        answer = client.post("/admin/reload", headers=KEYED)
        assert answer.status_code == 409
        assert answer.json()["error"] == {
            "code": "reload_failed",
            "message": f"what was served still is: {said}",
        }
        assert items(client) == (VERSION.model, BEST[VERSION.model])


def test_a_second_reload_meanwhile_is_refused() -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load() -> Served:
        loading.set()
        assert go_on.wait(10)
        return served()

    with service(with_keys=True, load=load) as client:
        first: list[int] = []
        thread = threading.Thread(
            target=lambda: first.append(client.post("/admin/reload", headers=KEYED).status_code)
        )
        thread.start()
        assert loading.wait(10)
        second = client.post("/admin/reload", headers=KEYED)
        assert (second.status_code, second.json()["error"]["code"]) == (409, "reloading")
        assert items(client)[0] == VERSION.model  # meanwhile the old one answers
        go_on.set()
        thread.join()
        assert first == [200]


def told_during(first: Exception | None, *, times: int) -> int:
    """How often it reloads when it is told so once, and `times` more during that reload."""
    reloads = 0

    async def run() -> None:
        told = asyncio.Event()
        told.set()

        async def reload() -> Version:
            nonlocal reloads
            reloads += 1
            if reloads == 1:
                await asyncio.sleep(0.01)
                for _ in range(times):
                    told.set()
                if first is not None:
                    raise first
            return NEXT

        task = asyncio.create_task(reload_when_told(told, reload))
        await asyncio.sleep(0.1)
        task.cancel()

    asyncio.run(run())
    return reloads


@pytest.mark.parametrize(("times", "reloads"), [(0, 1), (1, 2), (50, 2)])
def test_who_tells_it_during_a_reload_has_one_more(times: int, reloads: int) -> None:
    assert told_during(None, times=times) == reloads


def test_it_goes_on_listening_after_a_reload_that_failed(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failed = Refused(HTTPStatus.CONFLICT, "reload_failed", "config.yaml is missing")
    assert told_during(failed, times=1) == 2
    assert caplog.messages == ["config.yaml is missing"]


def test_it_comes_back_when_another_reload_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_AGAIN_SEC", 0.0)
    goes_on = Refused(HTTPStatus.CONFLICT, "reloading", "a reload is going on")
    assert told_during(goes_on, times=0) == 2


def test_no_answer_mixes_two_versions() -> None:
    turns = iter(range(1_000))

    def load() -> Served:
        is_odd = next(turns) % 2
        return served(ToyFusion, VERSION) if is_odd else served(ToyCounts, NEXT)

    found: list[tuple[str, list[str]]] = []
    done = threading.Event()
    with service(with_keys=True, load=load, batch_sec=0.002) as client:

        def ask() -> None:
            while not done.is_set():
                found.append(items(client))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(15):
            assert client.post("/admin/reload", headers=KEYED).status_code == 200
        done.set()
        for thread in threads:
            thread.join()
    assert {version for version, _ in found} == set(BEST)
    assert all(BEST[version] == best for version, best in found)


def test_a_request_keeps_the_recommender_that_it_began_with() -> None:
    model = HeldFusion()
    with service(toy_recommender(model), with_keys=True, load=served) as client:
        found: list[tuple[str, Sequence[str]]] = []
        thread = threading.Thread(target=lambda: found.append(items(client)))
        thread.start()
        assert model.entered.wait(10)
        assert client.post("/admin/reload", headers=KEYED).status_code == 200
        model.go_on.set()
        thread.join()
        assert found == [(VERSION.model, BEST[VERSION.model])]
        assert items(client) == (NEXT.model, BEST[NEXT.model])


def test_what_was_served_is_let_go() -> None:
    old = toy_recommender()
    gone = weakref.ref(old)
    with service(old, with_keys=True, load=served) as client:
        del old
        assert items(client)[0] == VERSION.model
        assert client.post("/admin/reload", headers=KEYED).status_code == 200
        gc.collect()
        assert gone() is None


def test_the_memory_of_what_was_served_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    old = toy_recommender()
    gone = weakref.ref(old)
    was_gone = []
    monkeypatch.setattr(reloading, "give_back_memory", lambda: was_gone.append(gone() is None))
    with service(old, with_keys=True, load=served) as client:
        del old
        assert client.post("/admin/reload", headers=KEYED).status_code == 200
    assert was_gone == [True]


def test_freed_memory_is_given_back() -> None:
    kept = [bytearray(100_000) for _ in range(400)]  # beside each other, too small to be mapped
    del kept[::2]
    before = own_megabytes()
    assert give_back_memory()
    assert own_megabytes() < before - 10


def own_megabytes() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


def test_the_versions_of_the_tests_differ() -> None:
    assert BEST[VERSION.model] != BEST[NEXT.model]
    assert all(set(best) < set(KEYS) for best in BEST.values())
