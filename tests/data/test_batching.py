from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import chain, pairwise

import numpy as np
import pytest

from missrec.data.batching import LengthBucketSampler, SortedSampler

LENGTHS = np.random.default_rng(0).integers(1, 51, size=103)


def sampler(
    *,
    lengths: np.ndarray = LENGTHS,
    first_samples: Sequence[int] = (0,),
    mixing_exponent: float = 1.0,
    batch_size: int = 10,
    pool_batches: int = 4,
    seed: int = 7,
) -> LengthBucketSampler:
    return LengthBucketSampler(
        lengths=lengths,
        first_samples=np.array(first_samples),
        mixing_exponent=mixing_exponent,
        batch_size=batch_size,
        pool_batches=pool_batches,
        seed=seed,
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


@pytest.mark.parametrize("first_batch", [0, 1, 10, 11])
def test_a_resumed_epoch_has_the_rest_of_its_batches_and_the_next_has_all(first_batch: int) -> None:
    of = sampler()
    whole = [batches(of, epoch=epoch) for epoch in (0, 1, 2)]
    of.resume(epoch=1, first_batch=first_batch)
    assert len(of) == 11
    assert batches(of, epoch=1) == whole[1][first_batch:]
    assert batches(of, epoch=2) == whole[2]


SIXTEEN_AND_FOUR = np.random.default_rng(1).integers(1, 51, size=20)


@pytest.mark.parametrize(
    ("exponent", "from_small"),
    [
        (1.0, 4),
        (0.5, 7),  # 4 ** 0.5 / (16 ** 0.5 + 4 ** 0.5) = 2 / 6, of 20: 6.67
        (0.0, 10),
    ],
)
@pytest.mark.parametrize("epoch", [0, 1])
def test_a_domain_gets_the_share_of_its_size_to_the_exponent(
    exponent: float, from_small: int, epoch: int
) -> None:
    of = sampler(lengths=SIXTEEN_AND_FOUR, first_samples=[0, 16], mixing_exponent=exponent)
    drawn = Counter(chain.from_iterable(batches(of, epoch=epoch)))
    large = [drawn[sample] for sample in range(16)]
    small = [drawn[sample] for sample in range(16, 20)]
    assert (sum(large), sum(small)) == (20 - from_small, from_small)
    assert max(large) == 1
    # 7 of 4 samples are each once and three again; 10 are each twice and two a third time.
    assert sorted(small) == {4: [1, 1, 1, 1], 7: [1, 2, 2, 2], 10: [2, 2, 3, 3]}[from_small]


def test_shares_of_three_domains_add_up_to_the_number_of_samples() -> None:
    of = sampler(lengths=LENGTHS[:20], first_samples=[0, 15, 15, 18], mixing_exponent=0.0)
    drawn = list(chain.from_iterable(batches(of)))
    # Domains of 15, 0, 3 and 2 samples: 20 / 3 each, but none from the empty one.
    bounds = [0, 15, 18, 20]
    counts = [sum(first <= sample < last for sample in drawn) for first, last in pairwise(bounds)]
    assert counts == [7, 6, 7]


def test_epochs_and_seeds_draw_other_samples_of_a_large_domain() -> None:
    def drawn(epoch: int, seed: int) -> list[list[int]]:
        of = sampler(first_samples=[0, 93], mixing_exponent=0.0, seed=seed)
        return batches(of, epoch=epoch)

    assert drawn(2, 7) == drawn(2, 7)
    chosen = {frozenset(chain.from_iterable(drawn(*of))) for of in [(0, 7), (1, 7), (0, 8)]}
    assert len(chosen) == 3


def untempered(lengths: np.ndarray, *, batch_size: int, pool_batches: int, seed: int) -> list:
    """The batches of epoch 2 of one shuffle over all samples."""
    generator = np.random.default_rng([seed, 2])
    order, pool_size = generator.permutation(len(lengths)), batch_size * pool_batches
    by_length: list[int] = []
    for start in range(0, len(order), pool_size):
        by_length += sorted(order[start : start + pool_size], key=lambda sample: lengths[sample])
    starts = generator.permutation(range(0, len(order), batch_size))
    return [[int(sample) for sample in by_length[s : s + batch_size]] for s in starts]


@pytest.mark.parametrize(("first_samples", "exponent"), [([0, 20, 33], 1.0), ([0], 0.3)])
def test_exponent_1_and_a_single_domain_give_the_batches_of_one_shuffle(
    first_samples: list[int], exponent: float
) -> None:
    of = sampler(first_samples=first_samples, mixing_exponent=exponent)
    assert batches(of, epoch=2) == untempered(LENGTHS, batch_size=10, pool_batches=4, seed=7)


@pytest.mark.parametrize("exponent", [-0.1, 1.1, float("nan")])
def test_mixing_exponents_outside_their_range_are_refused(exponent: float) -> None:
    with pytest.raises(ValueError, match=rf"mixing_exponent \({exponent}\) must be in \[0, 1\]"):
        sampler(mixing_exponent=exponent)


def sorted_sampler(
    *, batch_size: int, process_index: int = 0, num_processes: int = 1
) -> SortedSampler:
    return SortedSampler(
        lengths=np.array([2, 5, 1, 5, 3]),
        batch_size=batch_size,
        process_index=process_index,
        num_processes=num_processes,
    )


def test_sorted_sampler_gives_every_sample_once_longest_first() -> None:
    of = sorted_sampler(batch_size=2)
    assert batches(of) == [[1, 3], [4, 0], [2]]  # equal lengths stay in file order
    assert len(of) == 3


@pytest.mark.parametrize("num_processes", [2, 3, 5])
def test_processes_deal_out_the_sorted_batches_of_one(num_processes: int) -> None:
    dealt = [
        sorted_sampler(batch_size=2, process_index=index, num_processes=num_processes)
        for index in range(num_processes)
    ]
    for index, of in enumerate(dealt):
        # Where there are more processes than batches, the last ones repeat the first batch.
        assert batches(of) == ([[1, 3], [4, 0], [2]][index::num_processes] or [[1, 3]])
        assert len(of) == len(batches(of)) > 0


@pytest.mark.parametrize(("batch_size", "pool_batches"), [(0, 1), (1, 0)])
def test_sizes_below_one_are_refused(batch_size: int, pool_batches: int) -> None:
    message = rf"batch_size \({batch_size}\) and pool_batches \({pool_batches}\) must be at least 1"
    with pytest.raises(ValueError, match=message):
        sampler(batch_size=batch_size, pool_batches=pool_batches)


def test_evaluation_batch_size_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match=r"eval_batch_size \(0\) must be at least 1"):
        sorted_sampler(batch_size=0)
