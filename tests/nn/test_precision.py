from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from missrec.nn import precision
from missrec.nn.precision import choose_kernels, full_precision, matmul_precision, single


def test_only_what_is_narrower_than_single_is_widened() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert single(torch.ones(1, dtype=dtype)).dtype == torch.float32
    assert single(torch.ones(1, dtype=torch.float64)).dtype == torch.float64


def test_products_are_whole_inside_and_the_settings_come_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        left, right = torch.rand(2, 8, 8).unbind()
        with torch.autocast("cpu", torch.bfloat16):
            with full_precision("cpu"):
                assert torch.get_float32_matmul_precision() == matmul_precision("highest")
                assert (left @ right).dtype == torch.float32
            assert (left @ right).dtype == torch.bfloat16
        with pytest.raises(KeyError), full_precision("cpu"):
            raise KeyError
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def test_threads_that_leave_in_another_order_have_it_whole_and_give_it_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    both_inside, first_left = Barrier(2), Barrier(2)
    seen = []

    def first() -> None:
        with full_precision("cpu"):
            both_inside.wait()
        first_left.wait()

    try:
        thread = Thread(target=first)
        thread.start()
        with full_precision("cpu"):
            both_inside.wait()
            first_left.wait()
            seen.append(torch.get_float32_matmul_precision())
        thread.join()
        assert seen == [matmul_precision("highest")]
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    precision._fastest.cache_clear()
    yield
    precision._fastest.cache_clear()
    choose_kernels(None)


def test_fast_products_are_those_of_float32_and_the_setting_comes_back(chosen_anew: None) -> None:
    before = torch.get_float32_matmul_precision()
    choose_kernels(300)
    assert torch.get_float32_matmul_precision() == before
    left, right = torch.rand(200, 150), torch.rand(150, 101)
    with full_precision("cpu"):
        found = left @ right
    exact = left.double() @ right.double()
    assert ((found.double() - exact).abs() <= 150 * 2**-24 * exact).all()  # any order of float32


def test_words_that_mean_less_stay_and_so_do_those_of_a_gpu(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("highest", "high", "medium")
    monkeypatch.setattr(precision, "_fastest", Mock(return_value="medium"))
    choose_kernels(300)
    assert [matmul_precision(word) for word in words] == ["medium", "high", "medium"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choose_kernels(300)
    assert matmul_precision("highest") == "highest"


@pytest.mark.parametrize("width", [None, 0, -3, "wide"])
def test_without_a_width_nothing_is_chosen(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch, width: Any
) -> None:
    monkeypatch.setattr(precision, "_fastest", Mock(return_value="medium"))
    choose_kernels(300)
    choose_kernels(width)
    assert matmul_precision("highest") == "highest"


def test_kernels_that_round_to_bfloat16_are_not_taken_however_fast(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.Tensor.__matmul__

    def multiplied(left: Tensor, right: Tensor) -> Tensor:
        if torch.get_float32_matmul_precision() == "medium" and left.dtype == torch.float32:
            return real(left.bfloat16(), right.bfloat16()).float()
        return real(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", multiplied)
    monkeypatch.setattr(precision, "_gain", lambda *_: 100.0)
    choose_kernels(300)
    assert matmul_precision("highest") == "highest"


@pytest.mark.parametrize(("gain", "word"), [(1.0, "highest"), (2.0, "medium")])
def test_other_kernels_are_taken_for_their_speed_alone(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch, gain: float, word: str
) -> None:
    monkeypatch.setattr(precision, "_is_exact", lambda _: True)
    monkeypatch.setattr(precision, "_gain", lambda *_: gain)
    choose_kernels(300)
    assert matmul_precision("highest") == word
