"""What a run recommends to its test users, as files of its folder, and how it was measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from torch import Tensor

from missrec.metrics.signed import read_signed, write_signed
from missrec.runs.folder import METRICS
from missrec.runs.identity import ACCEPTED
from missrec.types import PAD_ID

EVALUATED_LISTS = "lists"
"""In `evaluation/metrics.json`: what was measured of lists, as the settings have it."""

_LISTS = ("test_lists_", ".parquet")
_ROUNDING = 1e-6
"""Up to this share, figures of the same ranks may differ."""


def lists_file(folder: Path, domain: str) -> Path:
    """The file of a domain's lists in a run folder."""
    prefix, suffix = _LISTS
    return folder / f"{prefix}{domain}{suffix}"


def save_lists(path: Path, user_ids: Tensor, lists: np.ndarray) -> None:
    """Writes `user_id`, `place` from 1, and `item_id`, the item's id in its domain.

    Args:
        path: of the file.
        user_ids: (U,) by rising id.
        lists: (U, K), `PAD_ID` where a list is shorter than K.
    """
    rows, places = (lists != PAD_ID).nonzero()
    users = user_ids.cpu().numpy()[rows]
    table = {"user_id": users, "place": places + 1, "item_id": lists[rows, places]}
    write_signed(path, pl.DataFrame(table))


def read_lists(path: Path) -> pl.DataFrame:
    """`user_id`, `place` and `item_id` as `save_lists` wrote them; a user without items has no row.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: it is damaged, or was changed since.
    """
    return read_signed(path, of="lists")


def evaluated_later(
    evaluation: Path, recorded: Mapping[str, float], *, limits: Mapping[str, Any]
) -> dict[str, float]:
    """Test figures that `evaluate.py` has found of a run that did not record them.

    None where it evaluated something else: other data, weights that rank otherwise, or lists with
    other limits.

    Args:
        evaluation: folder of the evaluation.
        recorded: the figures of the run.
        limits: `cold_item` and `cold_user` of its settings.
    """
    try:
        content = json.loads((evaluation / METRICS).read_text(encoding="utf-8"))
        found = {str(key): float(value) for key, value in content["metrics"].items()}
        is_same = not content[ACCEPTED] and limits.items() <= content[EVALUATED_LISTS].items()
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}
    both = recorded.keys() & found.keys()
    is_same &= bool(both) and all(
        math.isclose(found[key], recorded[key], rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        for key in both
    )
    later = {key: value for key, value in found.items() if key not in recorded}
    return {key: value for key, value in later.items() if is_same and math.isfinite(value)}
