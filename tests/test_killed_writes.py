"""`evaluate.py` and `report.py` that are killed while they write, and started again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from faults import Killed, file_operations
from kills import KEPT, places
from missrec.app.evaluate import evaluate
from missrec.app.report import report
from run_settings import CONF, evaluation

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # killed, files stay open
NUM_KILLS = 4


@pytest.fixture(autouse=True)
def _project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(CONF.parent))


def contents(folder: Path) -> dict[str, bytes]:
    """The files below a folder, but for those that hold the time, and locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith((".lock", ".png", ".html", "report.md"))
    }


def assert_a_kill_is_made_good(folder: Path, output: Path, command: Callable[[], object]) -> None:
    """Wherever a command dies, its output is that of before or none, and the next one is whole."""
    command()
    expected = contents(folder)
    assert any(output in (folder / name).parents for name in expected)
    with file_operations(folder) as operations:
        command()
    for operation, torn in places(operations.kinds, NUM_KILLS):
        try:
            with file_operations(folder, kill_at=operation, torn=torn):
                command()
        except Killed:
            pass
        command()
        assert contents(folder) == expected, (operations.kinds[operation], torn)


def test_an_evaluation_that_is_killed_and_repeated_is_whole(tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(KEPT / "logs/demo/sasrec_s1", run)
    shutil.copytree(KEPT / "data", tmp_path / "data")
    config = evaluation(run, tmp_path / "data", "changed_data=accept")
    assert_a_kill_is_made_good(run, run / "evaluation", lambda: evaluate(config))


def test_a_report_that_is_killed_and_repeated_is_whole(tmp_path: Path) -> None:
    shutil.copytree(KEPT / "logs/demo/sasrec_s1", tmp_path / "logs/sasrec_s1")
    settings = [f"paths.data_dir={tmp_path}/data", f"paths.log_dir={tmp_path}/logs"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("report", overrides=["num_resamples=99", *settings])
    logs = tmp_path / "logs"
    assert_a_kill_is_made_good(logs, logs / "report", lambda: report(config))
