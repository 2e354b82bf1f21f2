"""Fixtures of the commands' tests that those of studies need too."""

from __future__ import annotations

from conftest import ctrl_c

__all__ = ["ctrl_c"]
