"""What a service is told: how it batches, what it refuses, who may ask."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from missrec.serving.keys import ApiKeys


@dataclass(frozen=True, kw_only=True)
class ServiceSettings:
    """Settings of the service; a field's default is what `conf/serve.yaml` says too.

    Attributes:
        keys: whoever asks needs one of them; None asks for none.
        pictures: folder of `<item key>.<suffix>` files that the page shows; None: none.
        batch_sec: a request waits so long for others to be answered with it.
        max_batch: requests answered at a time.
        max_waiting: requests that may wait; one more is answered by 429.
        max_body_bytes: of a request.
        max_body_sec: from the beginning of a body to its end.
        max_history: items of a history.
        max_k: items of an answer, of each list.
        max_listed: keys of `allow`, of `block` and of each list.
        max_lists: lists of a request.
        max_items: items whose similar ones are asked for at once.
        allowed_hosts: names in the header `Host` that are answered; None answers all.
    """

    keys: ApiKeys | None = None
    pictures: Path | None = None
    batch_sec: float = 0.004
    max_batch: int = 64
    max_waiting: int = 256
    max_body_bytes: int = 1_000_000
    max_body_sec: float = 30
    max_history: int = 1_000
    max_k: int = 1_000
    max_listed: int = 10_000
    max_lists: int = 20
    max_items: int = 100
    allowed_hosts: tuple[str, ...] | None = None
