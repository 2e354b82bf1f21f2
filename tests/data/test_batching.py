from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
import pytest

from missrec.data.batching import LengthBucketSampler, SortedSampler

LENGTHS = np.random.default_rng(0).integers(1, 51, size=103)


def sampler(
    *, lengths: np.ndarray = LENGTHS, batch_size: int = 10, pool_batches: int = 4, seed: int = 7
) -> LengthBucketSampler:
    return LengthBucketSampler(
        lengths=lengths, batch_size=batch_size, pool_batches=pool_batches, seed=seed
    )


def batches(of: LengthBucketSampler | SortedSampler, *, epoch: int = 0) -> list[list[int]]:
    if isinstance(of, LengthBucketSampler):
        of.set_epoch(epoch)
    return [batch.tolist() for batch in of]


@pytest.mark.parametrize("pool_batches", [1, 4, 100])
@pytest.mark.parametrize("num_samples", [1, 9, 10, 11, 80, 103])
def test_every_sample_comes_exactly_once_an_epoch(num_samples: int, pool_batches: int) -> None:
    of = sampler(lengths=LENGTHS[:num_samples], pool_batches=pool_batches)
    drawn = batches(of, epoch=3)
    assert sorted(chain.from_iterable(drawn)) == list(range(num_samples))
    assert len(of) == len(drawn) == -(-num_samples // 10)
    assert sum(len(batch) < 10 for batch in drawn) == (num_samples % 10 > 0)


def test_same_seed_and_epoch_give_the_same_batches() -> None:
    of = sampler()
    first = batches(of, epoch=2)
    batches(of, epoch=5)
    assert batches(of, epoch=2) == first == batches(sampler(), epoch=2)


def test_epochs_and_seeds_differ_in_the_composition_of_batches() -> None:
    def composition(of: LengthBucketSampler, epoch: int) -> set[frozenset[int]]:
        return {frozenset(batch) for batch in batches(of, epoch=epoch)}

    assert not composition(sampler(), 0) & composition(sampler(), 1)
    assert not composition(sampler(seed=7), 0) & composition(sampler(seed=8), 0)


def test_batches_of_one_pool_do_not_overlap_in_length() -> None:
    drawn = batches(sampler(pool_batches=100))  # one pool holds all samples
    spans = sorted((min(LENGTHS[batch]), max(LENGTHS[batch])) for batch in drawn)
    assert all(longest <= shortest for (_, longest), (shortest, _) in pairwise(spans))


def test_no_batch_spans_two_pools() -> None:
    # A pool is sorted by length: only where two pools meet does a shorter history follow.
    drawn = batches(sampler(pool_batches=4))
    assert all((np.diff(LENGTHS[batch]) >= 0).all() for batch in drawn)


def test_batches_do_not_come_in_the_order_of_their_lengths() -> None:
    means = [LENGTHS[batch].mean() for batch in batches(sampler(pool_batches=100))]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)


def test_larger_pools_need_less_padding() -> None:
    def padding(pool_batches: int) -> int:
        drawn = batches(sampler(pool_batches=pool_batches))
        return sum(int((LENGTHS[batch].max() - LENGTHS[batch]).sum()) for batch in drawn)

    assert padding(100) < padding(4) < padding(1)


def test_sorted_sampler_gives_every_sample_once_longest_first() -> None:
    of = SortedSampler(lengths=np.array([2, 5, 1, 5, 3]), batch_size=2)
    assert batches(of) == [[1, 3], [4, 0], [2]]  # equal lengths stay in file order
    assert len(of) == 3


@pytest.mark.parametrize(("batch_size", "pool_batches"), [(0, 1), (1, 0)])
def test_sizes_below_one_are_refused(batch_size: int, pool_batches: int) -> None:
    message = rf"batch_size \({batch_size}\) and pool_batches \({pool_batches}\) must be at least 1"
    with pytest.raises(ValueError, match=message):
        sampler(batch_size=batch_size, pool_batches=pool_batches)


def test_evaluation_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"eval_batch_size \(0\) must be at least 1"):
        SortedSampler(lengths=LENGTHS, batch_size=0)
