from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from missrec.data.sequences import SequenceDataset

# User 0 did 4 7 5, user 1 did 9 2 6 8.
ITEMS = np.array([4, 7, 5, 9, 2, 6, 8], dtype=np.int32)
OFFSETS = np.array([0, 3, 7])


def dataset(
    targets: list[int], *, max_seq_len: int = 50, trim_padding: bool = True
) -> SequenceDataset:
    return SequenceDataset(
        items=ITEMS,
        offsets=OFFSETS,
        targets=np.array(targets),
        max_seq_len=max_seq_len,
        trim_padding=trim_padding,
    )


def test_history_is_what_the_same_user_did_before_the_target() -> None:
    batch = dataset([1, 2, 4, 6])[np.array([3, 1, 2])]
    assert batch.item_ids.tolist() == [[9, 2, 6], [4, 7, 0], [9, 0, 0]]
    assert batch.target_ids.tolist() == [8, 5, 2]
    assert batch.user_ids.tolist() == [1, 0, 1]
    assert {column.dtype for column in batch} == {torch.int64}


def test_long_history_keeps_the_most_recent_items() -> None:
    batch = dataset([6], max_seq_len=2)[np.array([0])]
    assert batch.item_ids.tolist() == [[2, 6]]


def test_batch_is_as_wide_as_its_own_longest_history() -> None:
    samples = dataset([1, 2, 4, 6])
    assert samples[np.array([0, 2])].item_ids.tolist() == [[4], [9]]


def test_untrimmed_batch_is_padded_to_max_seq_len() -> None:
    batch = dataset([1, 2], max_seq_len=4, trim_padding=False)[np.array([0, 1])]
    assert batch.item_ids.tolist() == [[4, 0, 0, 0], [4, 7, 0, 0]]


def test_valid_mask_is_true_on_real_items() -> None:
    batch = dataset([1, 2])[np.array([0, 1])]
    assert batch.valid_mask.tolist() == [[True, False], [True, True]]


def test_lengths_are_those_of_the_cut_histories() -> None:
    assert dataset([1, 2, 6], max_seq_len=2).lengths.tolist() == [1, 2, 2]


def test_target_without_history_is_refused() -> None:
    with pytest.raises(ValueError, match="sample 1 of user 1 has an empty history"):
        dataset([1, 3])


def test_max_seq_len_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"max_seq_len \(0\) must be at least 1"):
        dataset([1], max_seq_len=0)


@given(
    sequences=st.lists(st.lists(st.integers(1, 99), max_size=7), min_size=1, max_size=6),
    max_seq_len=st.integers(1, 8),
)
def test_batch_equals_a_loop_over_users(sequences: list[list[int]], max_seq_len: int) -> None:
    offsets = np.cumsum([0, *map(len, sequences)])
    rows = [
        (user, sequence[max(0, end - max_seq_len) : end], sequence[end], offsets[user] + end)
        for user, sequence in enumerate(sequences)
        for end in range(1, len(sequence))
    ]
    samples = SequenceDataset(
        items=np.array(list(chain.from_iterable(sequences)), dtype=np.int32),
        offsets=offsets,
        targets=np.array([position for *_, position in rows], dtype=np.int64),
        max_seq_len=max_seq_len,
        trim_padding=True,
    )
    batch = samples[np.arange(len(rows))]
    width = max((len(history) for _, history, *_ in rows), default=0)
    assert batch.user_ids.tolist() == [user for user, *_ in rows]
    assert batch.target_ids.tolist() == [target for _, _, target, _ in rows]
    assert batch.item_ids.tolist() == [
        history + [0] * (width - len(history)) for _, history, *_ in rows
    ]
