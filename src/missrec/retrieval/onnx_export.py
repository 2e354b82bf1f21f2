"""A model as two ONNX graphs: histories to users, and users to the scores of all items."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import onnxruntime
import torch
from torch import Tensor, nn

from missrec.types import FreezesItems, Recommender, SequenceBatch

USER_ENCODER, SCORER = "user_encoder.onnx", "scorer.onnx"
ITEM_IDS, USER, SCORES = "item_ids", "user", "scores"
"""Names of what goes in and comes out."""

TOLERANCE = 1e-5
"""Of a number in the graphs, times the largest beside it where that is above 1."""

_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


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

    def __init__(self, model: nn.Module, num_items: int) -> None:
        super().__init__()
        self.model = model
        self._candidates = cast("Recommender", model).candidates(torch.arange(1, num_items + 1))

    def forward(self, user: Tensor) -> Tensor:
        return cast("Recommender", self.model).score(user, self._candidates)


def export_onnx(model: nn.Module, folder: Path, *, max_seq_len: int, num_items: int) -> None:
    """Writes `user_encoder.onnx` and `scorer.onnx`, for any number of users and any length.

    Items are embedded once and lie in the graphs as tables. What onnxruntime makes of both is
    compared with the model.

    Args:
        model: in evaluation mode, on the CPU; its items are frozen, see `FreezesItems`.
        folder: to write into.
        max_seq_len: the longest history, L.
        num_items: N.

    Raises:
        ValueError: the model cannot be a graph, or its graphs do not give its scores; the message
            says why.
    """
    for module in model.modules():
        if isinstance(module, FreezesItems):
            module.freeze_items()
    users = torch.export.Dim("users", min=1)
    length = torch.export.Dim("length", min=1, max=max_seq_len)
    shape = {0: users, 1: length} if max_seq_len > 1 else {0: users}
    with torch.no_grad():
        encoder, scorer = _UserEncoder(model).eval(), _Scorer(model, num_items).eval()
        # Of each dimension an example of 1 would be taken for a constant.
        histories = _histories(3, min(3, max_seq_len), num_items)
        _write(folder / USER_ENCODER, encoder, histories, (ITEM_IDS, USER), shape)
        _write(folder / SCORER, scorer, encoder(histories), (USER, SCORES), {0: users})
        for num_users, longest in ((1, 1), (2, max_seq_len), (64, min(2, max_seq_len))):
            histories = _histories(num_users, longest, num_items)
            encoded = encoder(histories)
            _check(folder / USER_ENCODER, histories, encoded)
            _check(folder / SCORER, encoded, scorer(encoded))


def _histories(num_users: int, longest: int, num_items: int) -> Tensor:
    """(num_users, longest) random histories of different lengths."""
    generator = torch.Generator().manual_seed(0)
    item_ids = torch.randint(1, num_items + 1, (num_users, longest), generator=generator)
    lengths = longest - torch.arange(num_users) % longest
    return item_ids * (torch.arange(longest) < lengths[:, None])


def _write(
    path: Path, module: nn.Module, example: Tensor, names: tuple[str, str], shape: dict[int, Any]
) -> None:
    """Exports a graph with one input and one output."""
    try:
        with _quiet():
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
            program.save(path)
    except (torch.onnx.errors.OnnxExporterError, RuntimeError) as error:
        raise ValueError(f"{_named(module)} cannot be an ONNX graph: {_reason(error)}") from error
    inputs = [one.name for one in program.model.graph.inputs]
    if inputs != [names[0]]:
        raise ValueError(
            f"{_named(module)} cannot be an ONNX graph: {path.name} reads nothing of {names[0]}"
        )


def _check(path: Path, given: Tensor, expected: Tensor) -> None:
    """Refuses a graph that gives other numbers than the model."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (name,) = (one.name for one in session.get_inputs())
    failed = f"{path.name} does not give the numbers of the model for inputs {tuple(given.shape)}"
    try:
        found = torch.from_numpy(session.run(None, {name: given.numpy()})[0])
    except Exception as error:  # of onnxruntime, each kind has a class without a common one
        raise ValueError(f"{failed}: {' '.join(str(error).split())}") from error
    tolerance = TOLERANCE * max(1.0, float(expected.abs().amax())) if expected.numel() else 0.0
    if found.shape != expected.shape or not ((found - expected).abs() <= tolerance).all():
        raise ValueError(failed)


def _named(module: nn.Module) -> str:
    return type(module.get_submodule("model")).__name__


def _reason(error: BaseException) -> str:
    """The first line of what lies at the root."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter says to its developers."""
    loggers = [logging.getLogger(name) for name in _LOGGERS]
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
