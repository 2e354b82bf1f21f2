from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from missrec.features.store import ModalityFeatures
from missrec.features.table import FeatureTable
from synthetic import feature_table

# Three items; item 2 has no image.
TEXT = np.array([[1, 2], [3, 4], [5, 6]], dtype=np.float32)
IMAGE = np.array([[7, 8, 9], [10, 11, 12]], dtype=np.float32)
OFFICE = {
    "text": ModalityFeatures(np.array([1, 2, 3]), TEXT),
    "image": ModalityFeatures(np.array([1, 3]), IMAGE),
}
# Two items; item 1 has no text, item 2 no image.
ARTS = {
    "text": ModalityFeatures(np.array([2]), np.array([[-1, -2]], dtype=np.float32)),
    "image": ModalityFeatures(np.array([1]), np.array([[-3, -4, -5]], dtype=np.float32)),
}


@pytest.fixture(params=[1 << 20, 0], ids=["resident", "on disk"])
def resident_bytes(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def test_present_is_true_where_an_item_has_the_modality(resident_bytes: int) -> None:
    table = FeatureTable([OFFICE], num_items=[3], resident_bytes=resident_bytes)
    assert table.present(torch.tensor([[1, 2], [3, 0]])).tolist() == [
        [[True, True], [True, False]],  # text; padding has nothing
        [[True, False], [True, False]],  # image
    ]


def test_lookup_gives_each_items_own_row(resident_bytes: int) -> None:
    table = FeatureTable([OFFICE], num_items=[3], resident_bytes=resident_bytes)
    assert table.lookup(0, torch.tensor([3, 1, 3])).tolist() == [[5, 6], [1, 2], [5, 6]]
    assert table.lookup(1, torch.tensor([3, 1])).tolist() == [[10, 11, 12], [7, 8, 9]]


def test_items_of_the_second_domain_come_after_the_first(resident_bytes: int) -> None:
    table = FeatureTable([OFFICE, ARTS], num_items=[3, 2], resident_bytes=resident_bytes)
    assert table.present(torch.arange(6)).tolist() == [
        [False, True, True, True, False, True],
        [False, True, False, True, True, False],
    ]
    assert table.lookup(0, torch.tensor([5, 2])).tolist() == [[-1, -2], [3, 4]]
    assert table.lookup(1, torch.tensor([4, 3])).tolist() == [[-3, -4, -5], [10, 11, 12]]


def test_widths_and_modalities_are_those_of_the_domains() -> None:
    table = FeatureTable([OFFICE, ARTS], num_items=[3, 2], resident_bytes=0)
    assert (table.num_modalities, table.num_items, table.dims) == (2, 3 + 2, [2, 3])


def test_a_table_above_the_budget_stays_on_disk() -> None:
    num_bytes = TEXT.nbytes + IMAGE.nbytes
    small = FeatureTable([OFFICE], num_items=[3], resident_bytes=num_bytes)
    large = FeatureTable([OFFICE], num_items=[3], resident_bytes=num_bytes - 1)
    assert (small.is_resident, large.is_resident) == (True, False)
    assert sum(buffer.is_floating_point() for buffer in large.buffers()) == 0


def test_rows_are_read_from_the_map_of_the_file(tmp_path: Path) -> None:
    np.save(tmp_path / "text.npy", TEXT)
    mapped = np.load(tmp_path / "text.npy", mmap_mode="r")
    features = {"text": ModalityFeatures(np.array([1, 2, 3]), mapped)}
    table = FeatureTable([features], num_items=[3], resident_bytes=0)
    assert table.lookup(0, torch.tensor([2, 3, 2])).tolist() == [[3, 4], [5, 6], [3, 4]]
    assert table.lookup(0, torch.tensor([], dtype=torch.int64)).shape == (0, 2)


def test_half_precision_features_are_looked_up_in_single(resident_bytes: int) -> None:
    halves = {"text": ModalityFeatures(np.array([1]), np.array([[0.5]], dtype=np.float16))}
    rows = FeatureTable([halves], num_items=[1], resident_bytes=resident_bytes).lookup(
        0, torch.tensor([1])
    )
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[0.5]]


def test_one_modality_can_be_used_alone(resident_bytes: int) -> None:
    table = FeatureTable([{"image": OFFICE["image"]}], num_items=[3], resident_bytes=resident_bytes)
    assert table.modalities == ["image"]
    assert table.present(torch.tensor([1, 2, 3])).tolist() == [[True, False, True]]


def test_table_is_neither_trained_nor_saved_but_moves_with_the_model() -> None:
    model = torch.nn.Sequential(feature_table())
    assert list(model.parameters()) == []
    assert model.state_dict() == {}
    assert {buffer.device.type for buffer in model.to("meta").buffers()} == {"meta"}
    assert len(list(model.buffers())) == 2 * 2


def test_different_widths_are_refused() -> None:
    wide = {"text": ModalityFeatures(np.array([1]), np.ones((1, 5), dtype=np.float32))}
    with pytest.raises(ValueError, match=r"text features of the domains have widths \[2, 5\]"):
        FeatureTable([{"text": OFFICE["text"]}, wide], num_items=[3, 1], resident_bytes=0)


def test_the_budget_counts_the_joined_precision() -> None:
    half = {"text": ModalityFeatures(np.array([1]), np.ones((1, 2), dtype=np.float16))}
    domains = [half, {"text": ARTS["text"]}]
    stored_apart, joined = 2 * 2 + 2 * 4, 2 * 4 + 2 * 4
    table = FeatureTable(domains, num_items=[1, 2], resident_bytes=stored_apart)
    assert not table.is_resident
    table = FeatureTable(domains, num_items=[1, 2], resident_bytes=joined)
    assert table.is_resident
    assert table.get_buffer("values_text").nbytes == joined
