from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pytest
from torch.utils.data import DataLoader

from missrec.data.datamodule import SequenceDataModule
from missrec.data.domain import write_domain
from missrec.data.statistics import DomainStatistics, domain_statistics
from missrec.types import SequenceBatch
from synthetic import SHARED_DATA, released_source, sequence_datamodule

Row = tuple[int, tuple[int, ...], int]


class RealDomain(NamedTuple):
    released: Path
    statistics: DomainStatistics
    datamodule: SequenceDataModule


@pytest.fixture(scope="module", params=["scientific", "scientific_mm_subset"])
def domain(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> RealDomain:
    name: str = request.param
    released = SHARED_DATA / name
    if not released.is_dir():
        pytest.skip(f"the real data set {name} is not in shared/data beside the project")
    dims = {"text": [512, 768], "image": [512]}
    prepared = released_source(released, name=name, feature_dims=dims).read()
    folder = tmp_path_factory.mktemp(name)
    write_domain(folder, prepared)
    datamodule = sequence_datamodule(
        folder, batch_size=512, eval_batch_size=512, pool_batches=50, seed=0
    )
    datamodule.setup()
    return RealDomain(released, domain_statistics(prepared), datamodule)


def released_file(domain: RealDomain, split: str) -> list[Row]:
    """Rows of a released file, its ids moved from 0.. to 1.., sorted."""
    path = domain.released / f"{domain.released.name}.{split}.inter"
    fields = [line.split("\t") for line in path.read_text().splitlines()[1:]]
    return sorted(
        (int(user), tuple(int(item) + 1 for item in items.split(" ")), int(target) + 1)
        for user, items, target in fields
    )


def loaded(loader: DataLoader[SequenceBatch]) -> Iterable[Row]:
    for batch in loader:
        lengths = batch.valid_mask.sum(dim=1).tolist()
        columns = (column.tolist() for column in batch)
        for user, items, target, length in zip(*columns, lengths, strict=True):
            yield user, tuple(items[:length]), target


def test_counts_are_the_published_ones(domain: RealDomain) -> None:
    expected = {
        "scientific": (8_442, 4_385, 59_427, {"text": 4_373, "image": 1_585}),
        "scientific_mm_subset": (2_928, 1_585, 19_712, {"text": 1_585, "image": 1_585}),
    }
    row = domain.statistics
    found = (row.num_users, row.num_items, row.num_interactions, row.num_with)
    assert found == expected[row.name]


def test_training_samples_are_the_released_rows(domain: RealDomain) -> None:
    rows = sorted(loaded(domain.datamodule.train_dataloader()))
    assert len(rows) == {"scientific": 34_101, "scientific_mm_subset": 10_928}[domain.released.name]
    assert rows == released_file(domain, "train")
    assert max(len(history) for _, history, _ in rows) <= 50


@pytest.mark.parametrize("split", ["valid", "test"])
def test_evaluation_rows_are_the_released_ones(domain: RealDomain, split: str) -> None:
    loaders = {
        "valid": domain.datamodule.val_dataloader(),
        "test": domain.datamodule.test_dataloader(),
    }
    (loader,) = loaders[split]
    rows = sorted(loaded(loader))
    assert len(rows) == {"scientific": 8_442, "scientific_mm_subset": 2_928}[domain.released.name]
    assert rows == released_file(domain, split)
