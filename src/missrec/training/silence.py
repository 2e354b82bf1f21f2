"""What libraries say of themselves in every run, silenced."""

from __future__ import annotations

import logging
import warnings

from missrec.distributed import is_first_process


def quiet_lightning() -> None:
    """Silences what Lightning and FAISS say of themselves in every run.

    Of several processes the first speaks for all; the others keep their errors.
    """
    for library in ("pytorch_lightning", "lightning_fabric", "faiss.loader"):
        logging.getLogger(library).setLevel(logging.WARNING)
    # torch renamed what Lightning 2.6 still calls; nothing a user could change.
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # Resuming writes into the run's own folder; ranking needs none of the training's callbacks.
    warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    warnings.filterwarnings("ignore", message=".*callbacks used to create the checkpoint.*")
    # Batches are cut from arrays in the training process on purpose, see conf/train.yaml.
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    # What is logged without it is the same in all processes.
    warnings.filterwarnings("ignore", message=".*sync_dist=True.*")
    if not is_first_process():
        logging.getLogger("missrec").setLevel(logging.ERROR)
        warnings.filterwarnings("ignore")
