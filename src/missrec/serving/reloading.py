"""A new recommender in place of the one that is served, in whole or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus

from fastapi import FastAPI

from missrec.serving.metrics import Metrics
from missrec.serving.refusals import Refused
from missrec.serving.served import Served, Version
from missrec.training.memory import give_back_memory

Load = Callable[[], Served]
"""Makes what is to be served next; takes seconds, and raises ValueError or OSError."""

Reload = Callable[[], Awaitable[Version | None]]
"""Has the service reload; gives the version once it is served, None where that takes longer."""

_GOES_ON = "reloading"
_AGAIN_SEC = 0.5

_log = logging.getLogger(__name__)


class Reloader:
    """Loads beside what is served, and swaps one reference.

    Requests that have begun keep the recommender that they began with.
    """

    def __init__(self, app: FastAPI, load: Load, *, metrics: Metrics) -> None:
        """Takes what to swap in which app."""
        self._app = app
        self._load = load
        self._metrics = metrics
        self._lock = asyncio.Lock()

    async def reload(self) -> Version:
        """Loads and swaps.

        Returns:
            The version that is served from now on.

        Raises:
            Refused: a reload is going on, or nothing could be loaded; what was served still is.
        """
        if self._lock.locked():
            raise Refused(HTTPStatus.CONFLICT, _GOES_ON, "a reload is going on")
        async with self._lock:
            try:
                served = await asyncio.to_thread(self._load)
            except Exception as error:
                self._metrics.reloads.labels("failed").inc()
                _log.exception("nothing was reloaded")
                is_foreseen = isinstance(error, ValueError | OSError)
                reason = " ".join(str(error).split()) if is_foreseen else type(error).__name__
                said = f"what was served still is: {reason}"
                raise Refused(HTTPStatus.CONFLICT, "reload_failed", said) from error
            self._app.state.served = served
            await asyncio.to_thread(give_back_memory)  # that of what was served
            self._metrics.reloads.labels("done").inc()
            _log.info("reloaded", extra={"fields": served.version._asdict()})
            return served.version


async def reload_when_told(told: asyncio.Event, reload: Reload) -> None:
    """Reloads each time that it is told to, for ever; where that fails, the log says so.

    Whoever tells it during a reload, of which nobody knows how much was read already, has one
    more made afterwards; so have all together who tell it meanwhile.
    """
    while True:
        await told.wait()
        told.clear()
        try:
            await reload()
        except Refused as refused:
            if refused.code == _GOES_ON:
                told.set()
                await asyncio.sleep(_AGAIN_SEC)
            else:
                _log.warning("%s", refused.detail)
