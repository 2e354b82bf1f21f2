"""Questions that wait together are answered together, by one thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from queue import Empty, Full, Queue
from threading import Thread
from time import monotonic
from typing import Any, NamedTuple, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

Answers = Callable[[Sequence[Q]], Sequence[A | Exception]]
"""Answers questions of one kind, each by an answer or by what is wrong with it."""


class BusyError(Exception):
    """As many questions wait as may wait."""


class _Asked(NamedTuple):
    kind: Hashable
    question: Any
    answers: Answers[Any, Any]
    future: Future[Any]
    since: float


class Batcher:
    """Asks a recommender in one thread: of several at once each would be slower.

    The first of a batch waits for others to come, never longer than it is told; what came while
    the thread was busy does not wait at all. Questions of one kind are answered by one call.
    """

    def __init__(
        self,
        *,
        wait_sec: float,
        max_batch: int,
        max_waiting: int,
        observe: Callable[[int, int], None] = lambda size, waiting: None,
    ) -> None:
        """Takes the limits; `start` starts the thread.

        Args:
            wait_sec: how long the first of a batch waits for others.
            max_batch: questions that are answered at a time.
            max_waiting: questions that may wait.
            observe: is told the size of each batch, and how many questions wait behind it.
        """
        self._wait_sec = wait_sec
        self._max_batch = max_batch
        self._waiting: Queue[_Asked | None] = Queue(max_waiting)
        self._observe = observe
        self._thread: Thread | None = None

    def start(self) -> None:
        """Starts to answer."""
        self._thread = Thread(target=self._work, name="recommender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Answers what waits, then ends; nothing may be asked any more."""
        if self._thread is not None and self._thread.is_alive():
            self._waiting.put(None)
            self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether questions are answered."""
        return self._thread is not None and self._thread.is_alive()

    async def ask(self, kind: Hashable, answers: Answers[Q, A], question: Q) -> A:
        """The answer to a question.

        Args:
            kind: questions of an equal kind go to one call of `answers`, that of the first.
            answers: answers them, in their order.
            question: this one.

        Raises:
            BusyError: too many wait already.
            Exception: what `answers` gives or raises for it.
        """
        future: Future[A] = Future()
        try:
            self._waiting.put_nowait(_Asked(kind, question, answers, future, monotonic()))
        except Full as error:
            raise BusyError(f"{self._waiting.maxsize} requests wait already") from error
        return await asyncio.wrap_future(future)

    def _work(self) -> None:
        while self._answer_batch():
            pass  # nothing is held meanwhile: a recommender that was swapped can go

    def _answer_batch(self) -> bool:
        """Waits for a batch and answers it; False once there is nothing more to come."""
        first = self._waiting.get()
        if first is None:
            return False
        batch = [first]
        goes_on = self._fill(batch, until=first.since + self._wait_sec)
        self._observe(len(batch), self._waiting.qsize())
        kinds: dict[Hashable, list[_Asked]] = {}
        for asked in batch:
            if asked.future.set_running_or_notify_cancel():
                kinds.setdefault(asked.kind, []).append(asked)
        for alike in kinds.values():
            _answer(alike)
        return goes_on

    def _fill(self, batch: list[_Asked], *, until: float) -> bool:
        """Adds what comes in time; False once there is nothing more to come."""
        while len(batch) < self._max_batch:
            left = until - monotonic()
            try:
                asked = self._waiting.get(timeout=left) if left > 0 else self._waiting.get_nowait()
            except Empty:
                return True
            if asked is None:
                return False
            batch.append(asked)
        return True


def _answer(alike: Sequence[_Asked]) -> None:
    """Answers questions of one kind; where that fails as a whole, each alone."""
    try:
        answers = alike[0].answers([asked.question for asked in alike])
        for asked, answer in zip(alike, answers, strict=True):
            if isinstance(answer, Exception):
                asked.future.set_exception(answer)
            else:
                asked.future.set_result(answer)
    except Exception as error:
        if len(alike) == 1:
            alike[0].future.set_exception(error)
            return
        for asked in alike:
            if not asked.future.done():
                _answer([asked])
