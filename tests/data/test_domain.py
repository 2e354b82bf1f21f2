from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from missrec.data.domain import (
    INTERACTIONS,
    ITEMS,
    USERS,
    read_domain,
    read_prepared,
    write_domain,
)
from missrec.data.manifest import MANIFEST, MissingFolderError, write_manifest
from synthetic import NUM_ITEMS, SEQUENCES, prepared_domain, write_domain_folder


def write(folder: Path, sequences: list[list[int]]) -> Path:
    """A folder without features: `read_domain` does not look at them."""
    folder.mkdir()
    write_domain(folder, prepared_domain(sequences, features={}))
    return folder


def test_written_sequences_come_back_in_order(tmp_path: Path) -> None:
    domain = read_domain(write(tmp_path / "tiny", SEQUENCES))
    assert (domain.name, domain.num_items, domain.num_users) == ("tiny", 6, 4)
    assert domain.items.tolist() == [1, 2, 3, 4, 5, 3, 1, 2, 5, 4, 1, 2, 2, 5, 3, 1, 4, 6]
    assert domain.offsets.tolist() == [0, 5, 5 + 3, 5 + 3 + 4, 5 + 3 + 4 + 6]
    assert (domain.items.dtype, domain.offsets.dtype) == (np.int32, np.int64)


TIMES = [5, 6, 7, 7, 9, 1, 2, 3, 1, 1, 1, 2, 4, 5, 6, 7, 8, 9]


def test_times_come_back_where_they_are_asked_for(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain(times=TIMES))
    times = read_domain(folder, with_times=True).times
    assert times is not None
    assert times.tolist() == TIMES
    assert times.dtype == np.int64
    assert read_domain(folder).times is None  # 8 bytes an interaction that nobody needs


def test_times_that_fall_within_a_user_are_refused(tmp_path: Path) -> None:
    times = [*TIMES[:6], 0, *TIMES[7:]]
    folder = write_domain_folder(tmp_path / "tiny", prepared_domain(times=times))
    with pytest.raises(ValueError, match=r"the times fall at interaction 6$"):
        read_domain(folder, with_times=True)


def test_folder_of_before_times_and_addresses_is_read(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", SEQUENCES)
    pl.read_parquet(folder / ITEMS).drop("image_urls").write_parquet(folder / ITEMS)
    counts = json.loads((folder / MANIFEST).read_text())["counts"]
    write_manifest(folder, {"domain": "tiny", "counts": counts})
    prepared = read_prepared(folder)
    assert prepared.times is None
    assert prepared.image_urls is not None
    assert prepared.image_urls.to_list() == [[]] * NUM_ITEMS


def test_tables_map_ids_to_external_keys_and_texts(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", SEQUENCES)
    items, users = pl.read_parquet(folder / ITEMS), pl.read_parquet(folder / USERS)
    assert items.row(1) == (2, "item-2", "text of item 2", [])
    assert users.row(3) == (3, "user-3")


def test_manifest_counts_what_was_written(tmp_path: Path) -> None:
    manifest = json.loads((write(tmp_path / "tiny", SEQUENCES) / MANIFEST).read_text())
    assert manifest["counts"] == {"users": 4, "items": 6, "interactions": 5 + 3 + 4 + 6}
    assert manifest["settings"] == {"source": "synthetic"}
    assert set(manifest["files"]) == {INTERACTIONS, ITEMS, USERS}


@pytest.mark.parametrize("item", [0, -1, NUM_ITEMS + 1])
def test_item_id_out_of_range_is_refused(tmp_path: Path, item: int) -> None:
    folder = write(tmp_path / "tiny", [[1, 2, 3], [4, item, 5]])
    with pytest.raises(ValueError, match=rf"item id {item} is out of range, expected 1..6"):
        read_domain(folder)


@pytest.mark.parametrize("short", [[], [1], [1, 2]])
def test_user_with_fewer_than_three_interactions_is_refused(
    tmp_path: Path, short: list[int]
) -> None:
    folder = write(tmp_path / "tiny", [[1, 2, 3], short, [4, 5, 6]])
    with pytest.raises(ValueError, match=rf"user 1 has {len(short)} interactions, .* at least 3"):
        read_domain(folder)


@pytest.mark.parametrize("sequences", [[], [[]]])
def test_domain_without_interactions_is_refused(tmp_path: Path, sequences: list[list[int]]) -> None:
    folder = write(tmp_path / "tiny", sequences)
    with pytest.raises(ValueError, match=r"interactions.parquet has no interactions"):
        read_domain(folder)


def test_missing_folder_is_refused_and_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFolderError, match=r"is missing$") as refused:
        read_domain(tmp_path / "tiny")
    assert refused.value.folder == tmp_path / "tiny"


def test_truncated_table_is_refused(tmp_path: Path) -> None:
    folder = write_domain_folder(tmp_path / "tiny")
    table = folder / INTERACTIONS
    table.write_bytes(table.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"interactions.parquet has \d+ bytes, "):
        read_domain(folder)


def test_counts_that_differ_from_the_table_are_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", SEQUENCES)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["manifest_sha256"]
    manifest["counts"]["interactions"] = 17
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"has 18 rows, its manifest says 17"):
        read_domain(folder)


@pytest.mark.parametrize("key", ["counts", "domain"])
def test_manifest_of_another_kind_of_folder_is_refused(tmp_path: Path, key: str) -> None:
    folder = write(tmp_path / "tiny", SEQUENCES)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["manifest_sha256"], manifest[key]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=rf"{key}"):
        read_domain(folder)


def test_table_that_the_manifest_does_not_list_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path / "tiny", SEQUENCES)
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["manifest_sha256"], manifest["files"][INTERACTIONS]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match=r"interactions.parquet"):
        read_domain(folder)
