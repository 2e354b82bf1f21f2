"""What Prometheus is told; of several processes of one service, the sum."""

from __future__ import annotations

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable: where the processes of a service keep what they count."""


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        """Starts at zero."""
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "missrec_requests", "Requests answered", ["route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "missrec_request_seconds",
            "From the first byte of a request to the last of its answer",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "missrec_batch_size", "Questions answered at a time", buckets=_SIZES, registry=registry
        )
        self.waiting = Gauge(
            "missrec_waiting",
            "Questions that wait for the recommender",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self.reloads = Counter(
            "missrec_reloads", "Reloads by how they ended", ["outcome"], registry=registry
        )

    def batched(self, size: int, waiting: int) -> None:
        """Notes a batch, and how many questions wait behind it."""
        self.batch_size.observe(size)
        self.waiting.set(waiting)

    def exposition(self) -> bytes:
        """All of it in Prometheus' text format."""
        if _FOLDER not in os.environ:
            return generate_latest(self._registry)
        everybody = CollectorRegistry()
        MultiProcessCollector(everybody)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)
