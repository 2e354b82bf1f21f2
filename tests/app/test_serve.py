"""`python src/serve.py`: what it refuses to start with, and a service of several processes."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from doors import call
from missrec.app.serve import listening, read_settings, serve
from missrec.app.serve_processes import remove_old
from missrec.app.trained.versions import version_of
from missrec.serving.settings import ServiceSettings

KEPT = ROOT / "tests" / "kept_runs" / "format_0"
RUN = KEPT / "logs" / "demo" / "missrec_s1"
KEY = "0123456789abcdef"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    path = tmp_path / "keys.txt"
    path.write_text(f"{KEY}\n")
    return path


def composed(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("serve", ["run=logs/a/run", *overrides])


def test_the_defaults_are_those_of_the_service() -> None:
    settings = read_settings(composed())
    own = {**vars(ServiceSettings()), "allowed_hosts": ("localhost", "127.0.0.1", "[::1]")}
    assert vars(settings.service) == own
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8000, 1)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "shop.example", ""])
def test_other_machines_are_answered_with_keys_or_when_told_to(host: str, keys: Path) -> None:
    with pytest.raises(ValueError, match="anyone there could ask; add keys=<file>, or no_keys"):
        read_settings(composed(f"host='{host}'"))
    assert read_settings(composed(f"host='{host}'", f"keys={keys}")).service.allowed_hosts is None
    assert read_settings(composed(f"host='{host}'", "no_keys=true")).service.keys is None


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_is_answered_without_keys_by_its_own_names(host: str, keys: Path) -> None:
    assert read_settings(composed(f"host='{host}'")).service.allowed_hosts is not None
    assert read_settings(composed(f"host='{host}'", f"keys={keys}")).service.allowed_hosts is None
    named = read_settings(composed(f"host='{host}'", "hosts=[shop.example]")).service
    assert named.allowed_hosts == ("shop.example",)


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("port=70000", r"port \(70000\) must be a whole number of 0 to 65535"),
        ("port=-1", r"port \(-1\)"),
        ("port=true", r"port \(True\)"),
        ("workers=0", r"workers \(0\) must be a whole number of at least 1"),
        ("workers=true", r"workers \(True\)"),
        ("workers=1.5", r"workers \(1.5\)"),
        ("threads=0", r"threads \(0\)"),
        ("max_waiting=0", r"max_waiting \(0\)"),
        ("max_batch=many", r"max_batch \(many\)"),
        ("limits.k=0", r"limits.k \(0\)"),
        ("limits.body_bytes=none", r"limits.body_bytes \(none\)"),
        ("batch_ms=-1", r"batch_ms \(-1\) must be a number of 0 to 1000"),
        ("batch_ms=nan", r"batch_ms \(nan\)"),
        ("batch_ms=5s", r"batch_ms \(5s\)"),
        ("log_level=loud", r"log_level \(loud\) must be one of debug, info"),
        ("hosts=shop.example", r"hosts \(shop.example\) must be a list"),
        ("hosts=[]", r"hosts \(\[\]\)"),
        ("no_keys=maybe", r"no_keys \(maybe\) must be true or false"),
        ("trust=1", r"trust \(1\) must be true or false"),
        ("run=[a,b]", r"must name one run folder"),
        ("new_items=maybe", r"new_items \(maybe\) must be refuse or features"),
        ("changed_data=yes", r"changed_data \(.*\) must be refuse or accept"),
        ("keys=5", r"keys \(5\) must name a file"),
    ],
)
def test_a_setting_that_cannot_be_is_named(override: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        read_settings(composed(override))


def test_a_file_of_keys_that_is_not_there_is_named(tmp_path: Path) -> None:
    ended = call("serve", f"run={tmp_path}", f"keys={tmp_path / 'none.txt'}")
    assert ended.code == 2
    assert re.search(r"error: .*none.txt is missing; name one that is there", ended.stderr)


def test_a_port_that_is_taken_is_said() -> None:
    with listening(read_settings(composed("port=0"))) as bound:
        taken = bound.getsockname()[1]
        with pytest.raises(OSError, match=f"port={taken} cannot be had: .*port=0 for a free one"):
            listening(read_settings(composed(f"port={taken}")))


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("missrec.app.serve.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs fastapi, .*pip install 'missrec\[serve\]'"):
        serve(read_settings(composed()))


def test_a_run_that_is_not_there_is_said() -> None:
    ended = call("serve", "run=nowhere", "port=0")
    assert ended.code == 2
    assert "nowhere' is no folder; run must name the folder" in ended.stderr


def test_a_version_is_of_the_weights_and_of_the_catalogue(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(KEPT, project, ignore=shutil.ignore_patterns("sweeps", "tune", "pretrain"))

    def version(run: str = "missrec_s1") -> tuple[str, str]:
        place = project / "logs" / "demo" / run
        return version_of(place, data_dir=project / "data", domain=None, trust=False)

    first = version()
    assert first == version()
    assert first[1].startswith("demo_office@")
    other = version("sasrec_s1")
    assert other[0] != first[0]
    manifest = project / "data" / "demo_office" / "manifest.json"
    manifest.write_bytes(manifest.read_bytes() + b"\n")
    assert version()[0] == first[0]
    assert version()[1] != first[1]


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def test_the_tables_of_a_service_are_kept_for_two_versions(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("first", "second", "third")]
    for age, folder in enumerate(folders):
        folder.mkdir()
        (folder / "items_alike.pt").touch()
        os.utime(folder, (age, age))
    (tmp_path / "counter_1.db").touch()
    remove_old(tmp_path, folders[2])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["counter_1.db", "second", "third"]
    remove_old(tmp_path, folders[1])
    assert folders[2].is_dir()


class Service:
    """`python src/serve.py` of two workers."""

    def __init__(self, folder: Path, keys: Path) -> None:
        self.port = free_port()
        command = [
            *(
                sys.executable,
                ROOT / "src" / "serve.py",
                f"run={KEPT / 'logs' / 'demo' / 'missrec_s1'}",
            ),
            *(f"paths.data_dir={KEPT / 'data'}", f"port={self.port}", "workers=2", f"keys={keys}"),
        ]
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}
        self.log = folder / "log.txt"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stderr=log, stdout=log)

    def get(self, path: str) -> httpx.Response:
        """By a new connection: any of the workers may answer."""
        keyed = {"authorization": f"Bearer {KEY}"}
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", headers=keyed, timeout=60)

    def post(self, path: str, **body: Any) -> httpx.Response:
        keyed = {"authorization": f"Bearer {KEY}"}
        return httpx.post(
            f"http://127.0.0.1:{self.port}{path}", json=body, headers=keyed, timeout=60
        )

    def workers(self) -> list[int]:
        """Processes that the supervisor has started, but for Python's resource tracker."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        found = map(int, path.read_text().split())
        return [pid for pid in found if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def until(is_so: Callable[[], bool], *, seconds: float = 400) -> float:
    """Waits; gives how long it took."""
    start = time.monotonic()
    while time.monotonic() - start < seconds:
        try:
            if is_so():
                return time.monotonic() - start
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not so after {seconds} s")


@pytest.fixture
def running(tmp_path: Path, keys: Path) -> Iterator[Service]:
    service = Service(tmp_path, keys)
    try:
        yield service
    finally:
        service.process.kill()
        service.process.wait()


@pytest.mark.slow
def test_workers_share_a_port_and_their_counts_and_stop(running: Service) -> None:
    until(lambda: running.get("/readyz").status_code == 200)
    body = {"user": "user_1", "k": 3}
    first = running.post("/v1/recommend", **body).json()
    assert [row["rank"] for row in first["items"]] == [1, 2, 3]
    killed = running.workers()[0]
    os.kill(killed, signal.SIGKILL)
    until(lambda: killed not in running.workers() and len(running.workers()) == 2)
    assert running.post("/v1/recommend", **body).json() == first
    counts = running.get("/metrics").text
    counted = re.findall(r'total{route="/v1/recommend",status="200"} (\d+)', counts)
    assert sum(map(int, counted)) == 2  # also that of a worker that is gone
    running.process.send_signal(signal.SIGTERM)
    assert running.process.wait(60) == 0
    assert "Traceback" not in running.log.read_text()
