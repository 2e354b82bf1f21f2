"""Random items as vectors, and the plainest search that there is."""

from __future__ import annotations

import torch
from torch import Tensor

from missrec.retrieval.search import NO_ITEM, TopK, Wanted
from missrec.retrieval.table import ItemTable
from missrec.types import ItemVectors


def random_vectors(
    num_items: int,
    *,
    width: int = 5,
    modalities: tuple[str, ...] = ("text", "image"),
    alpha: float | list[float] = 1.0,
    modality_weight: float = 1.0,
    ids: bool = True,
    bias: bool = False,
    num_distinct: int | None = None,
    seed: int = 0,
) -> ItemVectors:
    """Unit tokens, a third of which are missing, and ids; few distinct items make ties."""
    generator = torch.Generator().manual_seed(seed)
    shape = (len(modalities), num_items, width)
    tokens = torch.nn.functional.normalize(torch.randn(shape, generator=generator), dim=-1)
    present = torch.rand(shape[:2], generator=generator) > 1 / 3
    vectors = ItemVectors(
        modalities,
        tokens * present[..., None],
        present,
        torch.tensor(alpha),
        modality_weight,
        torch.randn(shape[1:], generator=generator) if ids else None,
        torch.randn(num_items, generator=generator) if bias else None,
    )
    if num_distinct is None:
        return vectors
    which = torch.randint(min(num_distinct, num_items), (num_items,), generator=generator)
    return vectors._replace(
        tokens=vectors.tokens[:, which],
        present=vectors.present[:, which],
        ids=None if vectors.ids is None else vectors.ids[which],
        bias=None if vectors.bias is None else vectors.bias[which],
    )


def random_users(num_users: int, *, width: int = 5, seed: int = 1) -> Tensor:
    """(B, D) unit vectors."""
    users = torch.randn(num_users, width, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(users, dim=-1)


def brute_force(table: ItemTable, encoded: Tensor, *, k: int, wanted: Wanted) -> TopK:
    """Every pair scored on its own, sorted in Python by score and place."""
    excluded = set()
    if wanted.excluded_users is not None and wanted.excluded_items is not None:
        excluded = set(
            zip(wanted.excluded_users.tolist(), wanted.excluded_items.tolist(), strict=True)
        )
    items, scores = [], []
    for user in range(len(encoded)):
        scored = []
        for item in range(len(table)):
            if (user, item) in excluded or (
                wanted.allowed is not None and not wanted.allowed[item]
            ):
                continue
            one = torch.tensor([user]), torch.tensor([item])
            score = table.pair_scores(encoded, *one).total.item()
            scored.append((-score, int(table.places[item]), item))
        best = sorted(scored)[:k]
        missing = k - len(best)
        items.append([item for _, _, item in best] + [NO_ITEM] * missing)
        scores.append([-negative for negative, _, _ in best] + [-float("inf")] * missing)
    return TopK(torch.tensor(items), torch.tensor(scores, dtype=torch.float64))
