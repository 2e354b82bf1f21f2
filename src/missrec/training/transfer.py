"""Weights of a pre-trained model in a model of another domain (MISSRec 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from torch import Tensor, nn

from missrec.types import Staged, Transferable

_SHOWN_MISMATCHES = 5


class Fate(Enum):
    """What became of a tensor on transfer."""

    LOADED = "loaded"
    SKIPPED = "skipped"
    FRESH = "fresh"


class TransferredTensor(NamedTuple):
    """One parameter or buffer of the source or the target.

    Attributes:
        name: in the model.
        num_values: of the target, or of the source where the target lacks it.
        fate: what became of it.
        why: of what was not loaded; empty otherwise.
    """

    name: str
    num_values: int
    fate: Fate
    why: str


def load_pretrained(
    model: nn.Module, source: Mapping[str, Tensor], *, same_domain: bool
) -> list[TransferredTensor]:
    """Loads what the two domains share and says what became of every tensor.

    State that belongs to one domain stays as the model made it. An adapter stays fresh where its
    modality is new or its features have another width. What serves one stage of training alone
    stays behind.

    Args:
        model: changed in place; a `Transferable` unless `same_domain`.
        source: state of the pre-trained model.
        same_domain: everything else is shared, such as by two stages of training.

    Raises:
        ValueError: the model cannot be transferred, or any other tensor is missing, left over or
            of another shape.
    """
    bound: dict[str, Sequence[str]] = {}  # why -> what stays behind
    feature_bound: Sequence[str] = ()
    if not same_domain:
        if not isinstance(model, Transferable):
            raise ValueError(f"{type(model).__name__} has nothing to take from a pre-trained model")
        bound["belongs to one domain"] = model.domain_bound
        feature_bound = model.feature_bound
    if isinstance(model, Staged):
        bound["serves one stage of training"] = model.stage_bound
    target = model.state_dict()
    tensors, mismatches = [], []
    for name in {**target, **source}:
        ours, theirs = target.get(name), source.get(name)
        why = _why_not(name, ours, theirs, bound=bound, feature_bound=feature_bound)
        if why is None:
            mismatches.append(f"{name}: {_shape(theirs)} there, {_shape(ours)} here")
            continue
        fate = Fate.FRESH if ours is not None else Fate.SKIPPED
        value = ours if ours is not None else theirs
        assert value is not None
        tensors.append(TransferredTensor(name, value.numel(), fate if why else Fate.LOADED, why))
    if mismatches:
        more = len(mismatches) - _SHOWN_MISMATCHES
        raise ValueError(
            "the pre-trained model does not fit this one: "
            + "; ".join(mismatches[:_SHOWN_MISMATCHES])
            + (f"; and {more} more" if more > 0 else "")
            + "; choose the model and its settings as in pre-training"
        )
    loaded = {tensor.name for tensor in tensors if tensor.fate is Fate.LOADED}
    # With its own of all else: parts of a model take what a state lacks for what was not kept.
    model.load_state_dict({**target, **{name: source[name] for name in loaded}})
    return tensors


def by_component(tensors: Sequence[TransferredTensor]) -> list[tuple[str, str, str, int, int]]:
    """Fate, component, why, number of tensors and of values; a component is two parts of a name."""
    sizes: dict[tuple[str, str, str], list[int]] = {}
    for tensor in tensors:
        component = ".".join(tensor.name.split(".")[:2])
        key = (tensor.fate.value, component, tensor.why)
        sizes.setdefault(key, []).append(tensor.num_values)
    return [(*key, len(values), sum(values)) for key, values in sorted(sizes.items())]


def freeze_all_but(model: nn.Module, trainable: Sequence[str]) -> None:
    """Freezes every parameter that does not lie under one of the names (MISSRec 3.6).

    Args:
        model: changed in place; what is frozen already stays so.
        trainable: names of modules or parameters, such as `adapters`.
    """
    for name, parameter in model.named_parameters():
        if not _under(name, trainable):
            parameter.requires_grad_(False)


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """The numbers of trainable and of all parameters."""
    counts = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(count for count, trains in counts if trains), sum(count for count, _ in counts)


def _why_not(
    name: str,
    ours: Tensor | None,
    theirs: Tensor | None,
    *,
    bound: Mapping[str, Sequence[str]],
    feature_bound: Sequence[str],
) -> str | None:
    """Why a tensor is not loaded; empty if it is, None if it should be and cannot."""
    for why, names in bound.items():
        if _under(name, names):
            return why
    if ours is not None and theirs is not None and ours.shape == theirs.shape:
        return ""
    if not _under(name, feature_bound):
        return None
    if ours is None:
        return "its modality is not in use here"
    return "its modality is new" if theirs is None else "the features have another width"


def _under(name: str, prefixes: Sequence[str]) -> bool:
    return any(name == prefix or name.startswith(f"{prefix}.") for prefix in prefixes)


def _shape(tensor: Tensor | None) -> str:
    return "absent" if tensor is None else str(tuple(tensor.shape))
