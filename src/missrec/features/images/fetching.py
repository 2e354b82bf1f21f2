"""Files fetched over HTTP from strangers: concurrent, polite, and with a limit on everything."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)

from missrec.data.sources.answers import TRY_LATER, retry_after_sec
from missrec.features.checks import check_truths
from missrec.features.images.addresses import AddressRefusedError, PublicTransport
from missrec.features.images.answers import Body, final_answer, outcome_of_no_image
from missrec.features.images.decoding import (
    MEDIA_TYPES,
    NOT_AN_IMAGE,
    SUFFIX_OF_FORMAT,
    ImageRefusedError,
    decode_image,
)
from missrec.features.inputs import OK

NOT_FOUND, HTTP_ERROR, TIMEOUT = "not_found", "http_error", "timeout"
CONNECTION_ERROR, TOO_LARGE, ADDRESS_REFUSED = "connection_error", "too_large", "address_refused"
HOST_GIVEN_UP = "host_given_up"
_GONE = {404, 410}


class Fetched(NamedTuple):
    """What became of one URL.

    Attributes:
        url: the URL.
        outcome: `ok`, or why there is no image.
        file: name of the stored file, where it is `ok`; likewise the rest.
        sha256: of its content.
        bytes: its size.
        width: in pixels.
        height: in pixels.
    """

    url: str
    outcome: str
    file: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    width: int | None = None
    height: int | None = None


class _FetchError(Exception):
    """An attempt that gave nothing.

    Attributes:
        outcome: why.
        retry: whether another attempt may give more.
        wait_sec: how long the server asks to wait before.
    """

    def __init__(self, outcome: str, *, retry: bool = False, wait_sec: float = 0.0) -> None:
        super().__init__(outcome)
        self.outcome = outcome
        self.retry = retry
        self.wait_sec = wait_sec


class ImageFetcher:
    """Fetches images into a folder, each under a name made of its URL alone."""

    def __init__(
        self,
        *,
        max_connections: int,
        max_connections_per_host: int,
        read_timeout_sec: float,
        total_timeout_sec: float,
        attempts: int,
        first_wait_sec: float,
        max_wait_sec: float,
        max_failures_of_host: int,
        max_bytes: int,
        max_pixels: int,
        allow_private_addresses: bool,
        user_agent: str,
    ) -> None:
        """Keeps the settings.

        Args:
            max_connections: at a time, in all.
            max_connections_per_host: at a time, to the host of a URL.
            read_timeout_sec: longest silence of a server.
            total_timeout_sec: longest an attempt may take, redirects included.
            attempts: at most, where another one may help.
            first_wait_sec: mean pause before the second attempt; it grows exponentially.
            max_wait_sec: longest pause. A server that asks for a longer one (Retry-After) is not
                asked again.
            max_failures_of_host: URLs in a row that time out or get no connection, after which a
                host is asked for no other.
            max_bytes: of an image.
            max_pixels: of an image.
            allow_private_addresses: also fetch from private, loopback and such addresses.
            user_agent: what the servers are told.

        Raises:
            ValueError: a number is below 1, a duration not positive, or
                allow_private_addresses neither True nor False.
        """
        check_truths(allow_private_addresses=allow_private_addresses)
        counts = {
            "max_connections": max_connections,
            "max_connections_per_host": max_connections_per_host,
            "attempts": attempts,
            "max_failures_of_host": max_failures_of_host,
            "max_bytes": max_bytes,
            "max_pixels": max_pixels,
        }
        for name, count in counts.items():
            if count < 1:
                raise ValueError(f"{name} ({count}) must be at least 1")
        if min(read_timeout_sec, total_timeout_sec, first_wait_sec, max_wait_sec) <= 0:
            raise ValueError(
                f"read_timeout_sec ({read_timeout_sec}), total_timeout_sec ({total_timeout_sec}), "
                f"first_wait_sec ({first_wait_sec}) and max_wait_sec ({max_wait_sec}) must be "
                "positive"
            )
        self._max_connections = max_connections
        self._max_connections_per_host = max_connections_per_host
        self._read_timeout_sec = read_timeout_sec
        self._total_timeout_sec = total_timeout_sec
        self._attempts = attempts
        self._max_wait_sec = max_wait_sec
        self._max_failures_of_host = max_failures_of_host
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._allow_private_addresses = allow_private_addresses
        self._user_agent = user_agent
        self._backoff = wait_random_exponential(multiplier=first_wait_sec, max=max_wait_sec)

    def fetch(self, urls: Sequence[str], folder: Path, *, done: Callable[[Fetched], None]) -> None:
        """Fetches every URL; `done` is told of each as soon as its outcome is certain.

        Raises:
            OSError: a file cannot be written.
        """
        try:
            asyncio.run(self._fetch_all(urls, folder, done))
        except ExceptionGroup as group:  # no fault of one image, such as a full disk
            raise group.exceptions[0] from group

    async def _fetch_all(
        self, urls: Sequence[str], folder: Path, done: Callable[[Fetched], None]
    ) -> None:
        urls_of_host: dict[str, list[str]] = {}
        for url in urls:
            urls_of_host.setdefault(_host(url), []).append(url)
        failures = dict.fromkeys(urls_of_host, 0)
        open_slots = asyncio.Semaphore(self._max_connections)

        async def work(client: httpx.AsyncClient, host: str, queue: Iterator[str]) -> None:
            for url in queue:
                if failures[host] >= self._max_failures_of_host:
                    done(Fetched(url, HOST_GIVEN_UP))
                    continue
                fetched = await self._fetch_one(client, url, folder, open_slots)
                failed = fetched.outcome in {TIMEOUT, CONNECTION_ERROR}
                failures[host] = failures[host] + 1 if failed else 0
                done(fetched)

        async with self._client() as client, asyncio.TaskGroup() as workers:
            for host, queue in urls_of_host.items():
                shared = iter(queue)
                for _ in range(min(self._max_connections_per_host, len(queue))):
                    workers.create_task(work(client, host, shared))

    def _client(self) -> httpx.AsyncClient:
        limits = httpx.Limits(max_connections=self._max_connections)
        transport = (
            httpx.AsyncHTTPTransport(limits=limits, trust_env=False)
            if self._allow_private_addresses
            else PublicTransport(limits=limits)
        )
        return httpx.AsyncClient(
            transport=transport,
            timeout=self._read_timeout_sec,
            headers={
                "User-Agent": self._user_agent,
                "Accept": ",".join(MEDIA_TYPES),
                "Accept-Encoding": "identity",
            },
        )

    async def _fetch_one(
        self, client: httpx.AsyncClient, url: str, folder: Path, open_slots: asyncio.Semaphore
    ) -> Fetched:
        retrying = AsyncRetrying(
            stop=stop_after_attempt(self._attempts),
            wait=self._wait_sec,
            retry=retry_if_exception(lambda error: isinstance(error, _FetchError) and error.retry),
            reraise=True,
        )

        async def attempt() -> Body:
            async with open_slots:  # not held between attempts
                return await self._download(client, url)

        try:
            body: Body = await retrying(attempt)
            return await asyncio.to_thread(self._store, url, body, folder)
        except _FetchError as error:
            return Fetched(url, error.outcome)

    def _wait_sec(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        asked = error.wait_sec if isinstance(error, _FetchError) else 0.0
        return max(asked, self._backoff(state))

    async def _download(self, client: httpx.AsyncClient, url: str) -> Body:
        """The body of one answer, counted while it comes: a server's word on it is not taken."""
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._total_timeout_sec),
                final_answer(client, url) as response,
            ):
                self._check_headers(response)
                # Raw: what is packed could be any size before a byte of it is counted.
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > self._max_bytes:
                        raise _FetchError(TOO_LARGE)
        except (TimeoutError, httpx.TimeoutException) as error:
            raise _FetchError(TIMEOUT, retry=True) from error
        except (
            AddressRefusedError,
            httpx.UnsupportedProtocol,
            httpx.InvalidURL,
            UnicodeError,  # a host name that cannot be one
        ) as error:
            raise _FetchError(ADDRESS_REFUSED) from error
        except httpx.TransportError as error:
            raise _FetchError(CONNECTION_ERROR, retry=True) from error
        except _FetchError:
            raise
        except Exception as error:  # endless redirects, or whatever else an answer leads to
            raise _FetchError(HTTP_ERROR) from error
        return Body(bytes(content), outcome_of_no_image(response, content))

    def _check_headers(self, response: httpx.Response) -> None:
        """Refuses all but an image, and one that is packed though that was not asked for."""
        if response.status_code in _GONE:
            raise _FetchError(NOT_FOUND)
        if response.status_code != httpx.codes.OK:  # nor "accepted", or "no content"
            wait_sec = retry_after_sec(response)
            retry = response.status_code in TRY_LATER and wait_sec <= self._max_wait_sec
            raise _FetchError(HTTP_ERROR, retry=retry, wait_sec=wait_sec)
        if response.headers.get("Content-Encoding", "").strip().lower() not in {"", "identity"}:
            raise _FetchError(HTTP_ERROR)

    def _store(self, url: str, body: Body, folder: Path) -> Fetched:
        content = body.content
        try:
            image = decode_image(content, max_pixels=self._max_pixels)
        except ImageRefusedError as error:
            refused = error.outcome
            return Fetched(url, body.otherwise if refused == NOT_AN_IMAGE else refused)
        # Of the URL's digest: neither an item's key nor a URL may choose a path.
        name = hashlib.sha256(url.encode()).hexdigest() + SUFFIX_OF_FORMAT[str(image.format)]
        draft = folder / f"{name}.part"
        draft.write_bytes(content)
        draft.replace(folder / name)
        digest = hashlib.sha256(content).hexdigest()
        return Fetched(url, OK, name, digest, len(content), image.width, image.height)


def _host(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:  # no URL at all; fetching it will say so
        return ""
