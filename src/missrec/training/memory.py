"""How the process treats memory that has been freed."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -4, -8
"""Parameters of glibc's mallopt(3)."""


def keep_freed_memory() -> bool:
    """Lets the next step have the memory that this one frees, instead of the system.

    glibc gives every large block back at once, so each activation of each step is a fresh mapping
    that the kernel fills with zeros page by page. Without mappings and trimming, and with one heap
    for the forward and the backward thread, the pages stay.

    Returns:
        Whether it could be set; only glibc has it.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_ARENA_MAX, 1))
    done = [mallopt(parameter, value) for parameter, value in settings]
    return all(done)


def give_back_memory() -> bool:
    """Gives back what glibc holds of freed memory.

    What is freed stays in pieces, and what comes next, of other sizes, fits between few of them.

    Returns:
        Whether there was any; False too where there is no glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
