"""The commands of README and docs/ run, or say by what stands in them what they need."""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from doors import Ended, call
from pages import OURS, ROOT, on_pages, settings

pytestmark = pytest.mark.slow

SHARED = ROOT.parent / "shared"
NEEDS = {
    r"data=(own|amazon|folders|<)|encoder\.fit|encoder\.checkpoint|data/\w": "files of one's own",
    r"trainer=(ddp|fsdp)|devices=4|torchrun|srun": "several devices or machines",
    r"(serve|dashboard)\.py|push=|keys=": "a service or a login; tests/app has both",
    r"sweep=table|stage_overrides|tune\.py": "hours; test_tables and test_tune have short ones",
    r"logs/current|logs/a/|office|allow=|lists\.|resume=|pretrained=|runs=|_view": "what was made",
    r"customers|inputs=texts": "what the page tells to make",
    r"data=toys": "half a minute; test_own_real has the set, test_sentence_models the encoder",
    r"model=gru4rec": "a file that the page tells to write",
    r"missrec \w+ ": "an installed wheel; tests/app/test_console.py has one",
    r"…|<(?!run>)|^missrec|src/train\.py$": "the reader's own words in its place",
    r"model=(vqrec|s3rec)": "a minute for item codes or a first stage; tests/app has few and short",
    r"devices=2": "seconds for each process; tests/app/test_processes.py has them",
}
"""What keeps a command from being run here."""
RUN = re.compile(r"run=\S*<run>")


def what_it_needs(line: str) -> str | None:
    without_run = RUN.sub("run=RUN", line.partition(" # ")[0])
    return next((what for sign, what in NEEDS.items() if re.search(sign, without_run)), None)


RUNNABLE = [case for case in on_pages(OURS.pattern) if what_it_needs(str(case.values[0])) is None]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project of its own beside `shared`, with the domains that the commands name."""
    top = tmp_path_factory.mktemp("pages")
    folder = top / "project"
    folder.mkdir()
    (folder / "conf").symlink_to(ROOT / "conf")
    if SHARED.is_dir():
        (top / "shared").symlink_to(SHARED)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for data in ("scientific_mm_subset", "scientific") if SHARED.is_dir() else ():
            assert run_here("prepare", f"data={data}").code == 0
        yield folder


@pytest.fixture(scope="module")
def run(project: Path) -> Path:
    """What `<run>` stands for."""
    assert run_here("train", "debug=fast", "experiment=demo").code == 0
    (found,) = project.glob("logs/debug/*/metrics.json")
    return found.parent


def run_here(name: str, *arguments: str) -> Ended:
    return call(name, *arguments, PROJECT_ROOT=str(Path.cwd()))


def first_job(words: list[str], *, page: Path) -> list[str]:
    """The settings of the first job, for as many epochs as `debug=fast` takes."""
    return [one for one in settings(words, page=page) if not one.startswith("trainer.max_epochs=")]


def test_many_commands_are_run() -> None:
    assert len(RUNNABLE) > 50


@pytest.mark.parametrize(("line", "page"), RUNNABLE)
def test_a_command_of_the_pages_runs(line: str, page: Path, run: Path) -> None:
    """A training on one batch of everything, of a sweep its first job."""
    if "data=scientific" in line and not SHARED.is_dir():
        pytest.skip("../shared with the released files is missing")
    line = RUN.sub(f"run={run}", line.partition(" # ")[0])
    found = OURS.search(line)
    assert found is not None
    words = shlex.split(line[found.end() :])
    if found["script"] == "train":
        words = words if "--help" in words else ["debug=fast", *first_job(words, page=page)]
    shutil.rmtree("exported", ignore_errors=True)
    ended = run_here(found["script"], *words)
    assert ended.code in {0, None}, ended.stderr
