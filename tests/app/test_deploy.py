"""What docs/ gives to copy for a service can be executed as it stands, but for its places."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path

import pytest
from conftest import ROOT
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from missrec.app.command_line.grammar import parsable_arguments
from missrec.app.serve import ServeSettings, read_settings

DEPLOY = ROOT / "docs" / "deploy"
KEY = "0123456789abcdef"


def composed(command: str, *arguments: str) -> DictConfig:
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose(command, parsable_arguments([*arguments]))


def served_by(arguments: list[str], keys: Path) -> ServeSettings:
    """The settings of a command line whose file of keys lies here."""
    keys.write_text(f"{KEY}\n")
    named = [re.sub(r"^keys=.*", f"keys={keys}", one) for one in arguments]
    assert named != arguments
    return read_settings(composed("serve", *named))


@pytest.fixture
def unit() -> ConfigParser:
    parsed = ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read(DEPLOY / "missrec.service")
    return parsed


def test_the_unit_of_systemd_starts_the_service_and_gives_it_time_to_stop(
    unit: ConfigParser, tmp_path: Path
) -> None:
    service = unit["Service"]
    python, script, *arguments = shlex.split(service["ExecStart"])
    assert python.endswith("/.venv/bin/python")
    assert (ROOT / script).is_file()
    settings = served_by(arguments, tmp_path / "keys.txt")
    assert settings.workers == 2
    assert settings.stop_sec < int(service["TimeoutStopSec"])
    assert service["ExecReload"] == "/bin/kill -HUP $MAINPID"


def test_systemd_itself_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("needs systemd-analyze on the PATH")
    text = (DEPLOY / "missrec.service").read_text()
    here = tmp_path / "missrec.service"  # systemd looks whether there is such a program
    here.write_text(text.replace("/opt/missrec/.venv/bin/python", sys.executable))
    ended = subprocess.run([analyze, "verify", here], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_dockerfile_copies_what_there_is_and_starts_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    steps = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    for sources in (words for step, words in steps if step == "COPY"):
        for source in sources.split()[:-1]:
            assert (ROOT / source).exists()
    python, script, *arguments = json.loads(dict(steps)["ENTRYPOINT"])
    assert (python, (ROOT / script).is_file()) == ("python", True)
    settings = served_by(["run=logs/current", *arguments], tmp_path / "keys.txt")
    assert (settings.host, str(settings.port)) == ("0.0.0.0", dict(steps)["EXPOSE"])
    asked: list[str] = []
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: asked.append(url))
    health = json.loads(dict(steps)["HEALTHCHECK"].partition("CMD ")[2])
    exec(health[2])
    assert asked == [f"http://127.0.0.1:{settings.port}/readyz"]
