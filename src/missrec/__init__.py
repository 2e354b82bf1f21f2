"""MISSRec: multi-modal pre-training and transfer for sequential recommendation."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from missrec.retrieval.recommender import CatalogueRecommender

__all__ = ["load"]


def load(
    run: str | Path,
    *,
    data_dir: str | Path | None = None,
    index: str = "exact",
    device: str = "cpu",
    trust: bool = False,
    changed_data: str = "refuse",
    domain: str | None = None,
    new_items: str = "refuse",
    new_item_ids: str = "zero",
) -> CatalogueRecommender:
    """The model of a run folder, ready to recommend the items that it was trained on.

    Args:
        run: folder of a training run, such as `logs/scratch/<run>`, or one that was exported.
        data_dir: where the domain folders are; None: where the run had them, in `data` of a folder
            that the run lies in, or in `data` here.
        index: how the best items are found: `exact`, `faiss`, `milvus:<address>` or `auto`, see
            docs/python.md.
        device: of torch, such as `cuda`.
        trust: build what the run's config names, even code that is none of this project's.
        changed_data: `accept` goes on though the data is not what the run was made on.
        domain: whose items to recommend; a run on one domain alone needs no name.
        new_items: `features` takes the model to today's items, see docs/new_items.md.
        new_item_ids: `zero` or `predicted`, the id vectors of items that came since.

    Raises:
        FileNotFoundError: no such run, or its data or its checkpoint is missing.
        ValueError: the run cannot be read, is a stranger's, or does not fit the data.

    >>> model = load("logs/finetune/missrec")
    >>> model.recommend([["item_8", "item_17"]], k=2)["item"].to_list()
    ['item_19', 'item_39']
    """
    # torch takes seconds
    from missrec.app.trained.loading import load_recommender, remedies_noted

    with remedies_noted():
        return load_recommender(
            run,
            data_dir=data_dir,
            index=index,
            device=device,
            trust=trust,
            changed_data=changed_data,
            domain=domain,
            new_items=new_items,
            new_item_ids=new_item_ids,
        )
