from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from missrec.serving import asking
from missrec.serving.batching import Batcher, BusyError
from missrec.serving.requests import RecommendRequest
from toy_recommender import KEYS, toy_recommender
from toy_service import service


def doubled(questions: Sequence[int]) -> list[int]:
    return [2 * question for question in questions]


class Gate:
    """Holds the recommender's thread until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def answers(self, questions: Sequence[int]) -> list[int]:
        self.entered.set()
        assert self.opened.wait(10)
        return list(questions)


def batcher(**changes: Any) -> Batcher:
    return Batcher(**{"wait_sec": 0.0, "max_batch": 64, "max_waiting": 64, **changes})


async def held(asks: Batcher, gate: Gate) -> asyncio.Task[int]:
    """A question that the thread is busy with."""
    asks.start()
    task = asyncio.create_task(asks.ask("gate", gate.answers, 0))
    assert await asyncio.to_thread(gate.entered.wait, 10)
    return task


def test_questions_that_wait_are_answered_together_by_kind() -> None:
    sizes, calls = [], []

    def noted(questions: Sequence[int]) -> list[int]:
        calls.append(list(questions))
        return doubled(questions)

    async def run() -> list[int]:
        gate, asks = Gate(), batcher(observe=lambda size, waiting: sizes.append((size, waiting)))
        first = await held(asks, gate)
        asked = [asyncio.create_task(asks.ask(n % 2, noted, n)) for n in range(6)]
        await asyncio.sleep(0)
        gate.opened.set()
        await first
        found = await asyncio.gather(*asked)
        asks.stop()
        return found

    assert asyncio.run(run()) == [0, 2, 4, 6, 8, 10]
    assert calls == [[0, 2, 4], [1, 3, 5]]
    assert sizes == [(1, 0), (6, 0)]


def test_a_batch_waits_no_longer_and_grows_no_larger_than_it_may() -> None:
    sizes: list[int] = []

    async def run() -> None:
        asks = batcher(wait_sec=0.2, max_batch=3, observe=lambda size, waiting: sizes.append(size))
        asks.start()
        assert await asyncio.gather(*(asks.ask("k", doubled, n) for n in range(4))) == [0, 2, 4, 6]
        asks.stop()

    asyncio.run(run())
    assert sizes == [3, 1]


def test_one_more_than_may_wait_is_refused() -> None:
    async def run() -> None:
        gate, asks = Gate(), batcher(max_waiting=2)
        first = await held(asks, gate)
        waiting = [asyncio.create_task(asks.ask("k", doubled, n)) for n in (1, 2)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match="2 requests wait already"):
            await asks.ask("k", doubled, 3)
        gate.opened.set()
        assert await first == 0
        assert await asyncio.gather(*waiting) == [2, 4]
        assert await asks.ask("k", doubled, 3) == 6
        asks.stop()

    asyncio.run(run())


@pytest.mark.parametrize("raises", [True, False])
def test_what_is_wrong_with_one_question_is_not_wrong_with_the_others(raises: bool) -> None:
    def answers(questions: Sequence[int]) -> list[int | Exception]:
        if raises and 2 in questions:
            raise ValueError("2 is wrong")
        return [ValueError("2 is wrong") if q == 2 else q for q in questions]

    async def run() -> None:
        asks = batcher(wait_sec=0.2, max_batch=3)
        asks.start()
        asked = [asks.ask("k", answers, n) for n in (1, 2, 3)]
        one, two, three = await asyncio.gather(*asked, return_exceptions=True)
        assert (one, three) == (1, 3)
        assert isinstance(two, ValueError)
        asks.stop()

    asyncio.run(run())


def test_a_question_that_nobody_waits_for_any_more_is_left_out() -> None:
    asked: list[int] = []

    def noted(questions: Sequence[int]) -> list[int]:
        asked.extend(questions)
        return list(questions)

    async def run() -> None:
        gate, asks = Gate(), batcher()
        first = await held(asks, gate)
        gone, stays = (asyncio.create_task(asks.ask("k", noted, n)) for n in (1, 2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        gate.opened.set()
        assert (await first, await stays) == (0, 2)
        asks.stop()

    asyncio.run(run())
    assert asked == [2]


def test_what_waits_is_answered_before_the_end() -> None:
    async def run() -> None:
        gate, asks = Gate(), batcher()
        first = await held(asks, gate)
        last = asyncio.create_task(asks.ask("k", doubled, 4))
        await asyncio.sleep(0)
        stop = asyncio.create_task(asyncio.to_thread(asks.stop))
        gate.opened.set()
        assert (await first, await last) == (0, 8)
        await stop
        assert not asks.is_alive

    asyncio.run(run())


ASKED = [
    {"history": ["b"], "k": 1},
    {"history": ["a", "zz"], "k": 3},
    {"user": "ann", "k": 2},
    {"user": "eve", "k": 2},
    {"history": [], "k": 5},
    {"history": ["zz"], "k": 10**9},
]


def test_requests_of_one_batch_get_what_each_gets_alone() -> None:
    recommender = toy_recommender()
    requests = [RecommendRequest(**asked) for asked in ASKED]
    selection = asking.Selection.of(requests[0])
    together = asking.recommend(recommender, selection, requests)
    alone = [asking.recommend(recommender, selection, [request])[0] for request in requests]
    assert list(map(repr, together)) == list(map(repr, alone))
    sizes = [1, 3, 2, None, 0, 0]
    for found, size in zip(together, sizes, strict=True):
        is_found = isinstance(found, asking.Recommendations)
        assert (len(found.lists[asking.ONLY_LIST]) if is_found else None) == size


def test_many_at_once_through_http_get_what_each_gets_alone() -> None:
    bodies = [
        {"history": [key], "k": k, **more}
        for key in KEYS
        for k in (1, 4)
        for more in ({}, {"exclude_seen": False}, {"allow": ["a", "b"]}, {"lists": {"x": ["d"]}})
    ]
    with service(batch_sec=0.02) as client:
        alone = [client.post("/v1/recommend", json=body).json() for body in bodies]
        found: dict[int, Any] = {}

        def ask(number: int) -> None:
            found[number] = client.post("/v1/recommend", json=bodies[number]).json()

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(bodies))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [found[number] for number in range(len(bodies))] == alone
        metrics = client.get("/metrics").text
    assert float(metrics.partition('missrec_batch_size_bucket{le="1.0"} ')[2].split()[0]) < 80


def test_a_service_that_is_busy_says_when_to_ask_again() -> None:
    gate = Gate()
    recommender = toy_recommender()
    with service(recommender, max_waiting=1) as client:
        batcher: Batcher = client.app.state.questions.batcher  # type: ignore[attr-defined]

        def hold(kind: str) -> None:
            assert client.portal is not None
            client.portal.start_task_soon(batcher.ask, kind, gate.answers, 0)

        hold("first")
        assert gate.entered.wait(10)
        hold("second")
        while not batcher._waiting.full():
            pass
        answer = client.post("/v1/recommend", json={"history": ["b"]})
        assert answer.status_code == 429
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["error"]["code"] == "busy"
        assert client.get("/healthz").status_code == 200
        gate.opened.set()
        assert client.post("/v1/recommend", json={"history": ["b"]}).status_code in {200, 429}
