"""The service under load: errors, latency, throughput against Python, memory, reloads.

python bench/serve.py                    # 50 clients for 5 minutes, then 100 reloads under load
python bench/serve.py --seconds 30

The clients are locust's, in `.venv-load`, which `make bench` makes; --locust names another.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import torch
import uvicorn
from measured import write_report
from served import ROOT, free_port, recommender, wait_for

from evaluate import write_features
from missrec.retrieval.recommender import CatalogueRecommender
from missrec.serving.app import create_app
from missrec.serving.exploring import Explorer
from missrec.serving.keys import ApiKeys
from missrec.serving.served import Served, Version
from missrec.serving.settings import ServiceSettings

KEY = "a-key-of-the-bench"
KEYED = {"authorization": f"Bearer {KEY}"}
NUM_HISTORIES, LENGTH, K = 200, 8, 10
VERSIONS = ("odd", "even")


def asked(num_items: int) -> list[list[str]]:
    """Histories that the clients draw from."""
    numbers = np.random.default_rng(0).integers(num_items, size=(NUM_HISTORIES, LENGTH))
    return [[f"item_{number}" for number in row] for row in numbers.tolist()]


def best(served: CatalogueRecommender, histories: Sequence[list[str]]) -> list[list[str]]:
    """What each history must be answered."""
    found = served.recommend(histories, k=K)
    rows = found.group_by("history", maintain_order=True).agg("item")
    return [items.to_list() for items in rows["item"]]


def per_second(call: Callable[[], int], *, seconds: float) -> float:
    """Histories answered by calls in Python."""
    call()
    answered, start = 0, time.perf_counter()
    while (spent := time.perf_counter() - start) < seconds:
        answered += call()
    return answered / spent


def in_python(served: CatalogueRecommender, histories: Sequence[list[str]]) -> dict[str, float]:
    """The same work without HTTP: a call for each history, and one for fifty of them."""
    turn = iter(range(10**9))

    def one() -> int:
        served.recommend([histories[next(turn) % len(histories)]], k=K)
        return 1

    def fifty() -> int:
        served.recommend(histories[:50], k=K)
        return 50

    return {
        "python_per_sec": per_second(one, seconds=5),
        "python_batched_per_sec": per_second(fifty, seconds=5),
    }


def serve(folder: Path, num_items: int, port: int, pipe: Any) -> None:
    """The service, in a process of its own; a reload turns to the other of two models."""
    torch.set_num_threads(1)
    both = [recommender(folder, num_items, seed) for seed in range(2)]
    histories = asked(num_items)
    expected = dict(zip(VERSIONS, (best(one, histories) for one in both), strict=True))
    pipe.send({"expected": expected, **in_python(both[0], histories)})
    turn = iter(range(1, 10**9))

    def load() -> Served:
        number = next(turn) % 2
        served = recommender(folder, num_items, number)
        return Served(served, Version(VERSIONS[number], "bench"), Explorer(served))

    app = create_app(
        both.pop(0),
        ServiceSettings(keys=ApiKeys([KEY])),
        version=Version(VERSIONS[0], "bench"),
        load=load,
    )
    both.clear()
    uvicorn.run(app, port=port, log_level="error", access_log=False)


@contextmanager
def service(num_items: int) -> Iterator[tuple[str, int, dict[str, Any]]]:
    """Address and process of a service, and what it measured before it began."""
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder), num_items)
        port = free_port()
        ours, theirs = multiprocessing.Pipe()
        process = multiprocessing.get_context("spawn").Process(
            target=serve, args=(Path(folder), num_items, port, theirs)
        )
        process.start()
        try:
            theirs.close()  # ours then ends with the process
            known = ours.recv()
            url = f"http://127.0.0.1:{port}"
            wait_for(lambda: httpx.get(f"{url}/readyz").status_code == 200)
            assert process.pid is not None
            yield url, process.pid, known
        finally:
            process.terminate()
            process.join()


def clients(
    locust: str, url: str, expected: Path, *, users: int, seconds: float
) -> subprocess.Popen[str]:
    """Starts locust; its summary comes as JSON."""
    command = [locust, "-f", str(ROOT / "bench" / "serve_load.py"), "--headless", "--json"]
    command += ["-u", str(users), "-r", str(users), "-t", f"{seconds:.0f}s", "--host", url]
    environment = {**os.environ, "BENCH_EXPECTED": str(expected), "BENCH_KEY": KEY}
    return subprocess.Popen(
        [*command, "--loglevel", "ERROR"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
    )


def summary(process: subprocess.Popen[str]) -> dict[str, float]:
    """Requests, failures and latencies of what locust has done."""
    (shown,) = json.loads(process.communicate()[0])
    times = Counter({float(ms): count for ms, count in shown["response_times"].items()})
    spent = shown["last_request_timestamp"] - shown["start_time"]
    return {
        "requests": shown["num_requests"],
        "failures": shown["num_failures"],
        "per_sec": shown["num_requests"] / spent,
        "p50_ms": percentile(times, 0.5),
        "p99_ms": percentile(times, 0.99),
    }


def percentile(times: Counter[float], share: float) -> float:
    """The time that this share of the requests took no longer than."""
    left = share * times.total()
    for ms in sorted(times):
        left -= times[ms]
        if left <= 0:
            return ms
    return max(times)


def megabytes(pid: int) -> float:
    """Memory of a process that is its own."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) / 1000


def under_load(arguments: argparse.Namespace) -> dict[str, Any]:
    """Clients alone, then clients while reloads go on."""
    with service(arguments.items) as (url, pid, known), tempfile.TemporaryDirectory() as folder:
        expected = Path(folder) / "expected.json"
        content = {"histories": asked(arguments.items), "k": K, "best": known.pop("expected")}
        expected.write_text(json.dumps(content))
        ask = {"users": arguments.users, "seconds": arguments.seconds}
        load = clients(arguments.locust, url, expected, **ask)
        time.sleep(arguments.seconds / 3)
        early = megabytes(pid)
        alone = summary(load)
        late = megabytes(pid)
        report = {
            **known,
            **alone,
            "p99_over_p50": alone["p99_ms"] / alone["p50_ms"],
            "over_python": alone["per_sec"] / known["python_per_sec"],
            "over_python_batched": alone["per_sec"] / known["python_batched_per_sec"],
            "memory_growth": late / early,
            "megabytes": late,
        }
        load = clients(arguments.locust, url, expected, users=arguments.users, seconds=10**6)
        seconds = []
        for _ in range(arguments.reloads):
            start = time.perf_counter()
            httpx.post(f"{url}/admin/reload", headers=KEYED, timeout=600).raise_for_status()
            seconds.append(time.perf_counter() - start)
        load.send_signal(signal.SIGTERM)
        meanwhile = summary(load)
        report |= {f"reloading_{name}": value for name, value in meanwhile.items()}
        report |= {"reloads": len(seconds), "reload_sec": float(np.median(seconds))}
        report["reloading_memory_growth"] = megabytes(pid) / late
    return report


def main() -> None:
    """One after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--users", type=int, default=50)
    parser.add_argument("--items", type=int, default=4_385)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--locust", default=str(ROOT / ".venv-load" / "bin" / "locust"))
    write_report("serve", under_load(parser.parse_args()))


if __name__ == "__main__":
    main()
