"""Composes the project's own config for a tiny domain in a temporary folder."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, open_dict

ROOT = Path(__file__).resolve().parents[2]
os.environ.setdefault("PROJECT_ROOT", str(ROOT))

ALWAYS = (
    "datamodule.batch_size=64",
    "trainer.enable_progress_bar=false",
    "trainer.accelerator=cpu",
    "logger=csv",
    "names.experiment=test",
    "names.model=tiny",
)
OFFICE = (
    "experiment=demo",
    "data.sources.demo_office.num_users=60",
    "data.sources.demo_office.num_items=40",
    "model.embed_dim=8",
)

Compose = Callable[..., DictConfig]


def composer(folder: Path) -> Compose:
    """`composer(folder)("seed=2", run="a")`: the config of a run in `folder/logs/a`."""

    def composed(*overrides: str, run: str = "run", base: tuple[str, ...] = OFFICE) -> DictConfig:
        run_dir = folder / "logs" / run
        run_dir.mkdir(parents=True, exist_ok=True)

        places = [f"paths.data_dir={folder / 'data'}", f"run_dir={run_dir}"]
        command = [*ALWAYS, *base, *places, *overrides]
        with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
            with_hydra = compose("train", overrides=command, return_hydra_config=True)
        HydraConfig.instance().set_config(with_hydra)  # as `python src/train.py` has it
        cfg = with_hydra.copy()
        with open_dict(cfg):
            del cfg["hydra"]
        return cfg

    return composed


@pytest.fixture
def compose_tiny(tmp_path: Path) -> Compose:
    """`compose_tiny("seed=2", run="a")`: the config of a run in `tmp_path/logs/a`."""
    return composer(tmp_path)


@pytest.fixture(scope="module")
def compose_shared(tmp_path_factory: pytest.TempPathFactory) -> Compose:
    """The same in a folder of the module, for runs that several tests read and none changes."""
    return composer(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """SIGINT interrupts, though the test's process may ignore it, and Lightning after a run."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def _draw_nothing(path: Path, *_: object, **__: object) -> None:
    path.touch()


@pytest.fixture(scope="module", autouse=True)
def _no_pictures() -> Iterator[None]:
    """Runs in this process draw nothing, which takes a third of a tiny one; tests/tracking does."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("interpretation.interests_figure", "interpretation.epochs_figure",
                     "records.popularity_figure"):  # fmt: skip
            patch.setattr(f"missrec.tracking.{name}", _draw_nothing)
        yield


@pytest.fixture(autouse=True)
def _no_command() -> Iterator[None]:
    """Each test starts and ends outside of any command."""
    yield
    HydraConfig.instance().cfg = None
