from __future__ import annotations

from threading import Barrier, Thread

import pytest
import torch

from missrec.nn.precision import full_precision, single


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
                assert torch.get_float32_matmul_precision() == "highest"
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
        assert seen == ["highest"]
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)
