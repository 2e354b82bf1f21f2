"""Memory that nobody uses any more, back to the system."""

from __future__ import annotations

import ctypes


def give_back_memory() -> bool:
    """Gives back what glibc holds of freed memory; it would keep most of a recommender that went.

    Returns:
        Whether there was any; False too where there is no glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return trim is not None and bool(trim(0))
