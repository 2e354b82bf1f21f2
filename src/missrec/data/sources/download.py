"""Large files over HTTP, resumed where they broke off."""

from __future__ import annotations

import gzip
import logging
import zlib
from pathlib import Path

import httpx
import tenacity
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from missrec.data.sources.answers import TRY_LATER, retry_after_sec, tells_its_end
from missrec.files import sha256, write_text

_log = logging.getLogger(__name__)


class _Broken(Exception):  # noqa: N818  # not a mistake of the user: it is tried again
    """A try that may go better the next time, no sooner than in `wait_sec`."""

    def __init__(self, why: str, *, wait_sec: float = 0) -> None:
        super().__init__(why)
        self.wait_sec = wait_sec


class Downloader:
    """Fetches files below a base URL.

    A file grows as `<name>.part` and takes its name when it is whole. A try that breaks off, or a
    later call, goes on from there if the server still has the same file (`If-Range`); otherwise
    it starts afresh.
    """

    def __init__(
        self,
        *,
        base_url: str,
        setting: str,
        timeout_sec: float,
        max_tries: int,
        first_wait_sec: float,
        longest_wait_sec: float,
    ) -> None:
        """Keeps the settings; nothing is fetched yet.

        Args:
            base_url: what comes before the name of a file, `http://` or `https://`.
            setting: name of the setting that holds it, for messages.
            timeout_sec: longest silence of the server.
            max_tries: tries in a row that bring nothing new; one that does starts the count again.
            first_wait_sec: before the second try, doubled each time, with jitter. A server's
                `Retry-After` is honoured where it asks for more.
            longest_wait_sec: longest wait; a server that asks for more ends the download.

        Raises:
            ValueError: the base URL is no HTTP address, or max_tries is below 1.
        """
        if not base_url.startswith(("http://", "https://")):
            raise ValueError(f"{setting} ({base_url}) must start with http:// or https://")
        if max_tries < 1:
            raise ValueError(f"max_tries ({max_tries}) must be at least 1")
        self._base_url = base_url.rstrip("/")
        self._setting = setting
        self._timeout_sec = timeout_sec
        self._max_tries = max_tries
        self._first_wait_sec = first_wait_sec
        self._longest_wait_sec = longest_wait_sec

    def fetch(self, name: str, path: Path, *, digest: str | None) -> None:
        """Fetches `<base_url>/<name>` as `path`, unless that is there already.

        Args:
            name: below the base URL.
            path: of the file here; its folder is made.
            digest: sha256 of the file; None where it is not known.

        Raises:
            OSError: the file cannot be had; says why and what to do.
            ValueError: the file has another sha256, whether it was there or was fetched; a
                fetched one is removed.
        """
        if not path.exists():
            part = _Part(path, digest)
            url = f"{self._base_url}/{name}"
            console = Console(stderr=True)
            with Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                DownloadColumn(),
                TransferSpeedColumn(),
                TimeRemainingColumn(),
                console=console,
                disable=not console.is_terminal,
                transient=True,
            ) as progress:
                self._fetch(url, part, progress)
            if digest is not None and (found := sha256(part.path)) != digest:
                part.remove()
                raise ValueError(
                    f"{url} has sha256 {found}, expected {digest}: the server has another file; "
                    f"try another {self._setting}, or correct the sha256"
                )
            part.finish(path)
        elif digest is not None and (found := sha256(path)) != digest:
            raise ValueError(
                f"{path} has sha256 {found}, expected {digest}; delete it, so that it is "
                "downloaded again"
            )

    def _fetch(self, url: str, part: _Part, progress: Progress) -> None:
        bar = progress.add_task(part.path.stem, total=None)
        tries = _Tries(part, self._max_tries)
        first = self._first_wait_sec
        growing = tenacity.wait_exponential(first, self._longest_wait_sec)
        backoff = growing + tenacity.wait_random(0, first)

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception() if state.outcome else None
            asked = error.wait_sec if isinstance(error, _Broken) else 0
            return max(asked, backoff(state))

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type((_Broken, httpx.TransportError)),
            stop=tries.exhausted,
            wait=wait,
            before_sleep=lambda state: _log.warning(
                "%s: %s; trying again", url, state.outcome and state.outcome.exception()
            ),
            reraise=True,
        )
        try:
            with httpx.Client(timeout=self._timeout_sec, follow_redirects=True) as client:
                retrying(self._try, client, url, part, progress, bar)
        except (_Broken, httpx.HTTPError) as error:
            raise OSError(
                f"{url}: {error or type(error).__name__}; gave up after {self._max_tries} tries "
                f"without progress. Run the command again to go on from {part.size} bytes, or set "
                f"{self._setting} to another server"
            ) from error
        except httpx.InvalidURL as error:
            raise OSError(f"{url}: {error}; correct {self._setting}") from error

    def _try(
        self, client: httpx.Client, url: str, part: _Part, progress: Progress, bar: TaskID
    ) -> None:
        # identity: a .gz must arrive as it is, and lengths must be those of the file.
        headers = {"Accept-Encoding": "identity", **part.range_headers()}
        with client.stream("GET", url, headers=headers) as response:
            if _is_whole(response, part):
                return
            self._check_status(url, response, part)
            resumed = response.status_code == httpx.codes.PARTIAL_CONTENT
            expected = _expected_size(response, at=part.size if resumed else 0)
            part.start(response, keep=resumed)
            progress.update(bar, total=expected, completed=part.size)
            with part.path.open("ab") as stream:
                # As the pieces come: collecting to a size would lose what a drop interrupts.
                for chunk in response.iter_raw():
                    stream.write(chunk)
                    progress.advance(bar, len(chunk))
        if expected is not None and part.size != expected:
            size = part.size
            if size > expected:
                part.remove()
            raise _Broken(f"{size} bytes came, the server said {expected}")
        if expected is None and not tells_its_end(response) and not part.is_whole():
            raise _Broken(
                "the server does not say how long the file is, and nothing else shows that it is "
                "whole; its sha256 would"
            )

    def _check_status(self, url: str, response: httpx.Response, part: _Part) -> None:
        """Refuses what is not the file or the rest of it."""
        status = response.status_code
        if status in (httpx.codes.OK, httpx.codes.PARTIAL_CONTENT):
            return
        if status == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
            part.remove()
            raise _Broken("the part that is here is not the beginning of the server's file")
        if status not in TRY_LATER:
            raise OSError(
                f"{url} answers {status} {response.reason_phrase}; set {self._setting} to a server "
                f"that has the file, or put the file at {part.path.with_suffix('')} yourself"
            )
        asked = retry_after_sec(response)
        if asked > self._longest_wait_sec:
            raise OSError(
                f"{url} answers {status} and asks to wait {asked:.0f} s, more than "
                f"{self._longest_wait_sec:.0f}; run the command again later"
            )
        raise _Broken(f"the server answers {status} {response.reason_phrase}", wait_sec=asked)


class _Tries:
    """Counts the tries in a row that brought nothing new."""

    def __init__(self, part: _Part, most: int) -> None:
        self._part, self._most = part, most
        self._largest, self._count = part.size, 0

    def exhausted(self, state: tenacity.RetryCallState) -> bool:
        size = self._part.size
        self._count = 1 if size > self._largest else self._count + 1
        self._largest = max(size, self._largest)
        return self._count >= self._most


class _Part:
    """The beginning of a file, and by what the server knows that file again."""

    def __init__(self, path: Path, digest: str | None) -> None:
        self._digest = digest
        self._is_gz = path.suffix == ".gz"
        self.path = path.with_name(f"{path.name}.part")
        self._validator = path.with_name(f"{path.name}.part.validator")

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def range_headers(self) -> dict[str, str]:
        """What asks for the rest; nothing where it cannot be told to be of the same file."""
        if not self.size or not self._validator.exists():
            return {}
        validator = self._validator.read_text(encoding="utf-8")
        return {"Range": f"bytes={self.size}-", "If-Range": validator}

    def start(self, response: httpx.Response, *, keep: bool) -> None:
        """Makes ready to append what the response brings."""
        if keep:
            return
        self.remove()
        self.path.parent.mkdir(parents=True, exist_ok=True)  # no sooner: the server may refuse
        etag = response.headers.get("ETag", "W/")
        # A weak tag says "much the same"; a range needs the very same bytes.
        validator = response.headers.get("Last-Modified") if etag.startswith("W/") else etag
        if validator:
            write_text(self._validator, validator)

    def is_whole(self) -> bool:
        """Whether the bytes themselves show that none is lacking."""
        if self._digest is not None:
            return sha256(self.path) == self._digest
        return self._is_gz and _gz_has_its_end(self.path)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)
        self._validator.unlink(missing_ok=True)

    def finish(self, path: Path) -> None:
        self.path.rename(path)
        self._validator.unlink(missing_ok=True)


def _is_whole(response: httpx.Response, part: _Part) -> bool:
    """Whether the server says that nothing comes after the part."""
    whole = response.headers.get("Content-Range") == f"bytes */{part.size}"
    return whole and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE


def _expected_size(response: httpx.Response, *, at: int) -> int | None:
    """Bytes of the whole file; None where the server does not say."""
    if response.status_code == httpx.codes.PARTIAL_CONTENT:
        unit_range, _, total = response.headers.get("Content-Range", "").partition("/")
        if not unit_range.startswith(f"bytes {at}-"):
            raise _Broken(f"asked for the bytes from {at}, the server sends {unit_range!r}")
        return int(total) if total.isdecimal() else None
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _gz_has_its_end(path: Path) -> bool:
    """Whether the compressed data go on to their checksum, which is right."""
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True
