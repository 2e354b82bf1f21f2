from __future__ import annotations

from typing import Any

import faiss
import numpy as np
import pytest
import torch

from missrec.features.quantization import OptimizedProductQuantizer


def quantizer(**changes: Any) -> OptimizedProductQuantizer:
    settings = {
        "num_codebooks": 4,
        "num_codewords": 8,
        "items_per_codeword": 1,
        "num_rotations": 3,
        "seed": 0,
    }
    return OptimizedProductQuantizer(**{**settings, **changes})


def correlated(*, num_items: int, width: int, seed: int = 0) -> np.ndarray:
    """(P, F) float32 vectors near a plane, all of whose energy is in few directions."""
    rng = np.random.default_rng(seed)
    planar = rng.standard_normal((num_items, 2)) @ rng.standard_normal((2, width))
    return (planar + 0.1 * rng.standard_normal((num_items, width))).astype(np.float32)


def squared_error(codebooks: Any, rotated: np.ndarray) -> float:
    decoded = codebooks.decode(codebooks.compute_codes(rotated))
    return float(((rotated - decoded) ** 2).sum())


@pytest.mark.parametrize("num_codewords", [2, 8, 256])
def test_codes_name_the_nearest_codeword_of_each_sub_vector(num_codewords: int) -> None:
    vectors = correlated(num_items=300, width=12)
    codebooks = quantizer(num_codewords=num_codewords).learn(vectors)
    codes = codebooks(vectors)
    assert codes.dtype == np.uint8
    assert codes.shape == (300, 4)
    rotated = codebooks.rotation.apply(vectors)
    centroids = faiss.vector_to_array(codebooks.quantizer.centroids)
    centroids = centroids.reshape(4, num_codewords, 3)
    for book in range(4):
        part = rotated[:, 3 * book : 3 * book + 3]
        squared = ((part[:, None] - centroids[book]) ** 2).sum(axis=-1)  # (P, W)
        np.testing.assert_allclose(
            squared[np.arange(300), codes[:, book]], squared.min(axis=1), rtol=1e-4, atol=1e-5
        )
    packed = faiss.pack_bitstrings(codes.astype(np.int32), codebooks.quantizer.nbits)
    np.testing.assert_array_equal(
        codebooks.quantizer.decode(packed).reshape(300, 4, 3),
        centroids[np.arange(4), codes],
    )


def test_the_rotation_keeps_distances_and_loses_less_than_none() -> None:
    vectors = correlated(num_items=300, width=12)
    learned = quantizer(num_rotations=20).learn(vectors)
    rotated = learned.rotation.apply(vectors)
    np.testing.assert_allclose(rotated @ rotated.T, vectors @ vectors.T, rtol=1e-3, atol=1e-3)
    plain = faiss.ProductQuantizer(12, 4, 3)
    plain.train(vectors)
    assert squared_error(learned.quantizer, rotated) < 0.8 * squared_error(plain, vectors)


@pytest.mark.parametrize(
    ("num_items", "bits"),
    [
        (2, 1),
        (15, 1),
        (16, 1),
        (31, 1),
        (32, 2),  # 4 codewords of 8 items
        (300, 5),
        (2047, 7),
        (2048, 8),
        (100_000, 8),
    ],
)
def test_few_items_get_the_largest_power_of_two_that_leaves_each_codeword_its_items(
    num_items: int, bits: int
) -> None:
    assert quantizer(num_codewords=256, items_per_codeword=8).num_bits(num_items) == bits


@pytest.mark.parametrize("num_items", [2, 5, 23])
def test_fewer_items_than_dimensions_get_codes(num_items: int) -> None:
    vectors = correlated(num_items=num_items, width=24)
    codes = quantizer(items_per_codeword=2).learn(vectors)(vectors)
    assert len(np.unique(codes, axis=0)) > 1
    assert codes.max() < max(2, num_items // 2)


def test_a_width_that_the_codebooks_do_not_divide_is_filled_up_with_zeros() -> None:
    vectors = correlated(num_items=50, width=6)
    filled = np.pad(vectors, ((0, 0), (0, 2)))
    np.testing.assert_array_equal(
        quantizer().learn(vectors)(vectors), quantizer().learn(filled)(filled)
    )


def test_equal_vectors_have_equal_codes() -> None:
    vectors = np.repeat(correlated(num_items=20, width=8), 2, axis=0)
    codes = quantizer().learn(vectors)(vectors)
    np.testing.assert_array_equal(codes[::2], codes[1::2])
    same = np.ones((16, 8), dtype=np.float32)
    assert len(np.unique(quantizer().learn(same)(same), axis=0)) == 1


def test_the_seed_decides_the_codes() -> None:
    vectors = correlated(num_items=100, width=8)
    codes, again, other = (quantizer(seed=seed).learn(vectors)(vectors) for seed in (1, 1, 2))
    np.testing.assert_array_equal(codes, again)
    assert (codes != other).any()


def test_no_number_of_threads_changes_a_code() -> None:
    vectors = correlated(num_items=600, width=48)
    before = faiss.omp_get_max_threads(), torch.get_num_threads()
    made = []
    try:
        for threads in (1, 2, 3):
            faiss.omp_set_num_threads(threads)
            torch.set_num_threads(threads)
            learned = quantizer(num_codewords=64).learn(vectors)
            made.append((*learned.arrays, torch.from_numpy(learned(vectors))))
            assert faiss.omp_get_max_threads() == threads  # as it was
    finally:
        faiss.omp_set_num_threads(before[0])
        torch.set_num_threads(before[1])
    for one in made[1:]:
        assert all(part.equal(first) for part, first in zip(one, made[0], strict=True))


def test_learning_from_few_items_warns_of_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    vectors = correlated(num_items=20, width=8)
    quantizer().learn(vectors)
    assert capfd.readouterr() == ("", "")


def test_of_too_many_items_a_part_is_drawn() -> None:
    few, many = torch.arange(1, 513), torch.arange(1, 2001)
    two = quantizer(num_codewords=2)
    assert two.sample(few).equal(few)  # 256 a codeword
    drawn = two.sample(many)
    assert drawn.unique().equal(drawn)
    assert len(drawn) == 512
    assert drawn.equal(quantizer(num_codewords=2).sample(many))
    assert not drawn.equal(quantizer(num_codewords=2, seed=1).sample(many))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_codewords": 1}, r"num_codewords \(1\) must be a power of two in 2..256"),
        ({"num_codewords": 100}, r"num_codewords \(100\) must be a power of two"),
        ({"num_codewords": 512}, r"num_codewords \(512\) must be a power of two"),
        ({"num_codebooks": 0}, r"num_codebooks \(0\) must be at least 1"),
        ({"items_per_codeword": 0}, r"items_per_codeword \(0\) must be at least 1"),
        ({"num_rotations": 0}, r"num_rotations \(0\) must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantizer(**changes)


def test_a_single_item_is_refused() -> None:
    with pytest.raises(ValueError, match="from at least 2 items, not 1"):
        quantizer().learn(np.ones((1, 8), dtype=np.float32))
