from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import Tensor

from missrec.nn import kernels, precision
from missrec.nn.precision import full_precision, products


@pytest.fixture
def tried_anew() -> Iterator[None]:
    kernels.fastest_exact.cache_clear()
    yield
    kernels.fastest_exact.cache_clear()


def words_inside(word: str, width: Any) -> tuple[str, str]:
    """Torch's word inside `products`, and inside `full_precision` there."""
    with products(word, width=width):
        outer = torch.get_float32_matmul_precision()
        with full_precision("cpu"):
            return outer, torch.get_float32_matmul_precision()


def test_fast_products_are_those_of_float32_and_the_setting_comes_back(tried_anew: None) -> None:
    before = torch.get_float32_matmul_precision()
    left, right = torch.rand(200, 150), torch.rand(150, 101)
    with products("highest", width=300):
        found = left @ right
    assert torch.get_float32_matmul_precision() == before
    exact = left.double() @ right.double()
    assert ((found.double() - exact).abs() <= 150 * 2**-24 * exact).all()  # any order of float32


def test_a_run_inside_another_leaves_it_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "fastest_exact", Mock(return_value="medium"))
    with products("highest", width=300):
        with pytest.raises(KeyError), products("high", width=None):
            raise KeyError
        assert torch.get_float32_matmul_precision() == "medium"
    assert words_inside("high", None) == ("high", "highest")  # nothing is left of it


def test_words_that_mean_less_stay_and_so_do_those_of_a_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "fastest_exact", Mock(return_value="medium"))
    assert words_inside("highest", 300) == ("medium", "medium")
    assert words_inside("high", 300) == ("high", "medium")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert words_inside("highest", 300) == ("highest", "highest")


@pytest.mark.parametrize("width", [None, 0, -3, "wide"])
def test_without_a_width_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch, width: Any) -> None:
    monkeypatch.setattr(precision, "fastest_exact", Mock(return_value="medium"))
    assert words_inside("highest", width) == ("highest", "highest")


def test_kernels_that_round_to_bfloat16_are_not_taken_however_fast(
    tried_anew: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.Tensor.__matmul__

    def multiplied(left: Tensor, right: Tensor) -> Tensor:
        if torch.get_float32_matmul_precision() == "medium" and left.dtype == torch.float32:
            return real(left.bfloat16(), right.bfloat16()).float()
        return real(left, right)

    monkeypatch.setattr(torch.Tensor, "__matmul__", multiplied)
    monkeypatch.setattr(kernels, "_gain", lambda *_: 100.0)
    assert kernels.fastest_exact(300) == "highest"


@pytest.mark.parametrize(("gain", "word"), [(1.0, "highest"), (2.0, "medium")])
def test_other_kernels_are_taken_for_their_speed_alone(
    tried_anew: None, monkeypatch: pytest.MonkeyPatch, gain: float, word: str
) -> None:
    monkeypatch.setattr(kernels, "_is_exact", lambda _: True)
    monkeypatch.setattr(kernels, "_gain", lambda *_: gain)
    assert kernels.fastest_exact(300) == word
