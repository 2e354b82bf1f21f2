"""A model as two ONNX graphs: histories to users, and users to the scores of all items."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from missrec.types import FreezesItems, Recommender, SequenceBatch

USER_ENCODER, SCORER = "user_encoder.onnx", "scorer.onnx"
ITEM_IDS, USER, SCORES = "item_ids", "user", "scores"
"""Names of what goes in and comes out."""


class _UserEncoder(nn.Module):
    """(B, L) int64 item ids, right-padded with 0 -> (B, ...) users."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, item_ids: Tensor) -> Tensor:
        nothing = torch.zeros_like(item_ids[:, 0])
        batch = SequenceBatch(nothing, item_ids, nothing)
        return cast("Recommender", self.model).encode(batch)


class _Scorer(nn.Module):
    """(B, ...) users -> (B, N) scores of item 1..N."""

    def __init__(self, model: nn.Module, candidates: Any) -> None:
        super().__init__()
        self.model = model
        self.candidates = candidates

    def forward(self, user: Tensor) -> Tensor:
        return cast("Recommender", self.model).score(user, self.candidates)


def export_onnx(model: nn.Module, folder: Path, *, max_seq_len: int, num_items: int) -> None:
    """Writes `user_encoder.onnx` and `scorer.onnx`, for any number of users and any length.

    Items are embedded once and lie in the graphs as tables; weights of more than 2 GB beside them.

    Args:
        model: in evaluation mode, on the CPU; its items are frozen, see `FreezesItems`.
        folder: to write into.
        max_seq_len: the longest history, L.
        num_items: N.

    Raises:
        ValueError: the model cannot be a graph; the message says why.
    """
    for module in model.modules():
        if isinstance(module, FreezesItems):
            module.freeze_items()
    batch = torch.export.Dim("users", min=1)
    length = torch.export.Dim("length", min=1, max=max_seq_len)
    # Lengths of 1 and 2 would be taken for constants.
    histories = torch.ones(3, min(3, max_seq_len), dtype=torch.int64)
    shape = {0: batch, 1: length} if max_seq_len > 1 else {0: batch}
    with torch.no_grad(), _quiet():
        candidates = cast("Recommender", model).candidates(torch.arange(1, num_items + 1))
        encoder = _UserEncoder(model).eval()
        users = encoder(histories)
        _write(folder / USER_ENCODER, encoder, histories, (ITEM_IDS, USER), shape)
        _write(
            folder / SCORER, _Scorer(model, candidates).eval(), users, (USER, SCORES), {0: batch}
        )


def _write(
    path: Path, module: nn.Module, example: Tensor, names: tuple[str, str], shape: dict[int, Any]
) -> None:
    """Exports one graph with one input and one output."""
    name = type(getattr(module, "model", module)).__name__
    try:
        program = torch.onnx.export(
            module,
            (example,),
            dynamo=True,
            dynamic_shapes=(shape,),
            input_names=names[:1],
            output_names=names[1:],
            verbose=False,
        )
        assert program is not None
        inputs = [one.name for one in program.model.graph.inputs]
        program.save(path)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ValueError(f"{name} cannot be an ONNX graph: {_reason(error)}") from error
    if inputs != [names[0]]:
        raise ValueError(f"{name} cannot be an ONNX graph: {path.stem} does not read {names[0]}")


def _reason(error: BaseException) -> str:
    """The first line of what lies at the root."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
