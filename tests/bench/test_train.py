"""bench/train.py takes every model that trains."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from run_settings import CONF, prepare_data

BENCH = CONF.parent / "bench"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
FLOORS = {"item_knn", "last_item_transition", "most_popular", "nearest_neighbor"}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The script, which is no module that could be imported by name: src/train.py is `train`."""
    spec = importlib.util.spec_from_file_location("bench_train", BENCH / "train.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def tiny(bench: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Overrides of a small domain that lies prepared."""
    folder = tmp_path_factory.mktemp("root")
    overrides = [
        f"paths.data_dir={folder}",
        "data.sources.demo_office.num_users=30",
        "data.sources.demo_office.num_items=20",
    ]
    prepare_data(bench.composed("demo", *overrides))
    return overrides


@pytest.mark.parametrize("name", sorted({*MODELS} - FLOORS))
def test_every_model_that_trains_can_be_measured(
    name: str, bench: ModuleType, tiny: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PROJECT_ROOT", str(tmp_path))  # where item codes are kept
    variant = bench.Variant("demo", f"model={name}", "model.embed_dim=8", *tiny)
    before = [parameter.clone() for parameter in variant.model.parameters()]
    assert variant.sequences_per_sec(variant.batches[:1]) > 0
    after = list(variant.model.parameters())
    assert any(not one.equal(other) for one, other in zip(before, after, strict=True))
    assert variant.epoch_flops() > len(variant.batches) * variant.num_items * variant.width


def test_a_model_that_learns_nothing_is_refused(bench: ModuleType, tiny: list[str]) -> None:
    with pytest.raises(SystemExit, match="MostPopular has nothing to train"):
        bench.Variant("demo", "model=most_popular", *tiny)
