"""Keys of those who may ask."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path

_SHORTEST = 16


class ApiKeys:
    """A set of secrets that is compared in constant time; it holds no secret, only digests."""

    def __init__(self, keys: Iterable[str]) -> None:
        """Takes the keys."""
        self._digests = [_digest(key) for key in keys]

    @classmethod
    def read(cls, path: Path) -> ApiKeys:
        """The keys of a file: one a line, empty lines and those that begin with # left out.

        Raises:
            OSError: the file cannot be read.
            ValueError: it holds no key, or one that is short or no printable ASCII.
        """
        try:
            lines = path.read_text(encoding="ascii").splitlines()
        except UnicodeDecodeError as error:
            byte = error.object[error.start]
            raise ValueError(f"{path}: keys are ASCII, found byte {byte:#x}") from error
        keys = {
            number: line.strip()
            for number, line in enumerate(lines, 1)
            if line.strip() and not line.strip().startswith("#")
        }
        if not keys:
            raise ValueError(f"{path} holds no key; write one a line")
        for number, key in keys.items():
            if len(key) < _SHORTEST or not key.isprintable() or " " in key:
                raise ValueError(
                    f"{path}, line {number}: a key has at least {_SHORTEST} printable characters "
                    f"and no space; this one has {len(key)}"
                )
        return cls(keys.values())

    def hold(self, key: str) -> bool:
        """Whether a key is one of them; takes as long for any."""
        asked = _digest(key)
        matches = [hmac.compare_digest(asked, own) for own in self._digests]
        return any(matches)


def _digest(key: str) -> bytes:
    return sha256(key.encode("utf-8", errors="surrogatepass")).digest()
