from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from missrec.nn import kernels, precision
from missrec.nn.precision import choose_kernels, full_precision, matmul_precision


@pytest.fixture
def chosen_anew() -> Iterator[None]:
    kernels.fastest_exact.cache_clear()
    yield
    kernels.fastest_exact.cache_clear()
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
    monkeypatch.setattr(precision, "fastest_exact", Mock(return_value="medium"))
    choose_kernels(300)
    assert [matmul_precision(word) for word in words] == ["medium", "high", "medium"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    choose_kernels(300)
    assert matmul_precision("highest") == "highest"


@pytest.mark.parametrize("width", [None, 0, -3, "wide"])
def test_without_a_width_nothing_is_chosen(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch, width: Any
) -> None:
    monkeypatch.setattr(precision, "fastest_exact", Mock(return_value="medium"))
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
    monkeypatch.setattr(kernels, "_gain", lambda *_: 100.0)
    choose_kernels(300)
    assert matmul_precision("highest") == "highest"


@pytest.mark.parametrize(("gain", "word"), [(1.0, "highest"), (2.0, "medium")])
def test_other_kernels_are_taken_for_their_speed_alone(
    chosen_anew: None, monkeypatch: pytest.MonkeyPatch, gain: float, word: str
) -> None:
    monkeypatch.setattr(kernels, "_is_exact", lambda _: True)
    monkeypatch.setattr(kernels, "_gain", lambda *_: gain)
    choose_kernels(300)
    assert matmul_precision("highest") == word
