"""The dashboard, saved to a W&B server on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fake_wandb import FakeWandb


def door(tmp_path: Path, server: FakeWandb, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "src" / "dashboard.py"), f"paths.log_dir={tmp_path}"]
    own = {**server.login, "NETRC": str(tmp_path / "no")}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env={**os.environ, **own, **environment},
    )


@pytest.fixture
def server() -> Iterator[FakeWandb]:
    server = FakeWandb()
    with server.running():
        yield server


def panels(view: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Title of a section -> its panels."""
    sections = json.loads(view["spec"])["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in sections}


@pytest.mark.slow
def test_the_same_command_again_brings_the_views_up_to_date(
    tmp_path: Path, server: FakeWandb
) -> None:
    first = door(tmp_path, server)
    assert first.returncode == 0, first.stderr
    assert [view["displayName"] for view in server.views.values()] == [
        "Pre-training",
        "Transfer",
        "Ablations",
    ]
    addresses = [line for line in first.stdout.splitlines() if ": http" in line]
    assert addresses[0].startswith(f"Pre-training: {server.url}/me/missrec?nw=")
    ours = dict(server.views)

    del server.views["1"]  # as if deleted in W&B
    spec = json.loads(ours["0"]["spec"])
    spec["section"]["panelBankConfig"]["sections"] = []
    server.views["0"] = {**ours["0"], "displayName": "by hand", "spec": json.dumps(spec)}
    again = door(tmp_path, server)
    assert again.returncode == 0, again.stderr
    _, warning, *addresses_again = again.stdout.splitlines()
    assert "the view is made anew" in warning
    assert addresses_again[::2] == addresses[::2]
    names = sorted(view["displayName"] for view in server.views.values())
    assert names == ["Ablations", "Pre-training", "Transfer"]
    assert len(panels(server.views["0"])) == 4
    for name in ("0", "2"):
        assert panels(server.views[name]).keys() == panels(ours[name]).keys()


@pytest.mark.slow
def test_a_view_that_cannot_be_read_is_not_made_twice(tmp_path: Path, server: FakeWandb) -> None:
    assert door(tmp_path, server).returncode == 0
    server.views["1"]["spec"] = "{}"
    ended = door(tmp_path, server)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert len(server.views) == 3


@pytest.mark.slow
def test_who_may_not_save_is_told_so(tmp_path: Path, server: FakeWandb) -> None:
    server.refuses = True
    ended = door(tmp_path, server)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1].endswith("permission denied")
    assert "Traceback" not in ended.stderr
    nobody = door(tmp_path, server, WANDB_API_KEY="")
    assert nobody.returncode == 2
    assert "set WANDB_API_KEY" in nobody.stderr
