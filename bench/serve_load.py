"""What each of locust's users does, for bench/serve.py: asks, and checks each answer."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

from locust import FastHttpUser, constant, task

EXPECTED = json.loads(Path(os.environ["BENCH_EXPECTED"]).read_text())
"""`histories`, and `best`: model version -> items of the best for each history."""


class Shop(FastHttpUser):
    """Asks without a pause."""

    wait_time = constant(0)
    default_headers = {"authorization": f"Bearer {os.environ['BENCH_KEY']}"}  # noqa: RUF012

    @task
    def recommend(self) -> None:
        """A failure is any answer but the whole of what one version says."""
        number = random.randrange(len(EXPECTED["histories"]))
        body = {"history": EXPECTED["histories"][number], "k": EXPECTED["k"]}
        with self.client.post("/v1/recommend", json=body, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}")
                return
            found = answer.json()
            best = EXPECTED["best"][found["version"]["model"]][number]
            if [row["item"] for row in found["items"]] != best:
                answer.failure("mixed")
