"""The service where things go wrong: any input that its document allows or not, a killed worker.

python bench/serve_faults.py
python bench/serve_faults.py --run logs/demo/<run>     # also kills a worker of the command
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from measured import write_report
from schemathesis.checks import not_a_server_error
from served import ROOT, free_port, recommender, wait_for

from evaluate import write_features
from missrec.serving.app import create_app
from missrec.serving.settings import ServiceSettings


def any_input(num_examples: int, num_items: int) -> dict[str, int]:
    """Schemathesis over the OpenAPI document, in this process; raises at the first 5xx."""
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder), num_items)
        app = create_app(recommender(Path(folder), num_items, 0), ServiceSettings(batch_sec=0))
        statuses: Counter[int] = Counter()
        for found in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
            modes = schemathesis.GenerationMode
            cases = [found.ok().as_strategy(generation_mode=mode) for mode in modes]

            @settings(
                max_examples=num_examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(st.one_of(cases))
            def ask(case: Any) -> None:
                answer = case.call()
                statuses[answer.status_code] += 1
                case.validate_response(answer, checks=[not_a_server_error])

            ask()
    return {f"status_{status}": count for status, count in sorted(statuses.items())}


def killed(run: Path, data_dir: Path) -> dict[str, float]:
    """A worker of the command is killed while a client asks."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, str(ROOT / "src" / "serve.py"), f"run={run}", "workers=2"]
    command += [f"port={port}", f"paths.data_dir={data_dir}", "log_level=error"]
    supervisor = subprocess.Popen(command)
    counts = Path(f"/proc/{supervisor.pid}/task/{supervisor.pid}/children")

    def workers() -> list[int]:
        return [
            int(pid)
            for pid in counts.read_text().split()
            if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
        ]

    def answers() -> bool:
        return httpx.get(f"{url}/readyz", timeout=2).status_code == 200

    def both() -> bool:
        """Both have answered: what each counts is there."""
        return answers() and len(workers()) == 2

    try:
        start = wait_for(both)
        time.sleep(start)  # the second one too
        failed, gaps, done = [0], [0.0], threading.Event()

        def client() -> None:
            last = time.perf_counter()
            while not done.is_set():
                try:
                    answers()
                except httpx.TransportError:
                    failed[0] += 1
                    continue
                gaps.append(time.perf_counter() - last)
                last = time.perf_counter()

        thread = threading.Thread(target=client)
        thread.start()
        time.sleep(1)
        first = workers()
        os.kill(first[0], signal.SIGKILL)
        again = wait_for(lambda: first[0] not in workers() and len(workers()) == 2)
        time.sleep(2)
        done.set()
        thread.join()
        return {
            "killed_failed": failed[0],
            "killed_longest_gap_sec": max(gaps),
            "killed_restarted_sec": again,
        }
    finally:
        supervisor.terminate()
        supervisor.wait()


def main() -> None:
    """One after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="of each route")
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--run", type=Path, help="folder of a run, to kill a worker of its service")
    parser.add_argument("--data-dir", type=Path, default=ROOT / "data")
    arguments = parser.parse_args()
    report: dict[str, float] = {**any_input(arguments.examples, arguments.items)}
    if arguments.run is not None:
        report |= killed(arguments.run, arguments.data_dir)
    write_report("serve_faults", report)


if __name__ == "__main__":
    main()
