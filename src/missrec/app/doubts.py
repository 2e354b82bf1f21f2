"""What to doubt of a run, said before it trains."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from missrec.app.build import Experiment
from missrec.app.settings import RunSettings
from missrec.data.parts import doubts
from missrec.distributed import is_first_process
from missrec.runs.folder import RunFolder
from missrec.runs.identity import Identity, mixed_encoders, recorded_identity

_log = logging.getLogger(__name__)

_LIMITS = ("min_users", "max_target_share")


def warn_of_parts(
    experiment: Experiment, run: RunSettings, *, names: Sequence[str] = ("val", "test")
) -> None:
    """Warns of parts with few users, and of those where one item is the target of many.

    Args:
        experiment: of the run.
        run: says from where on; runs from before it said so have the defaults.
        names: of the parts that will be ranked.

    Raises:
        ValueError: the split leaves a part empty.
    """
    metrics = run.config["metrics"]
    limits = {limit: metrics[limit] for limit in _LIMITS if limit in metrics}
    for part in experiment.datamodule.domains.parts(names):
        for doubt in doubts(part, **limits):
            if is_first_process():
                _log.warning(doubt)


def warn_of_encoders(identity: Identity, source: Path | None) -> None:
    """Warns of features that are not of one encoder: the same numbers mean something else there.

    Args:
        identity: of a run's data.
        source: the checkpoint that the run starts from, whose data counts too.
    """
    start = RunFolder(source.parent.parent) if source else None
    before = recorded_identity(start) if start and start.provenance.is_file() else None
    for doubt in mixed_encoders({**(before or {}), **identity}):
        if is_first_process():
            _log.warning("%s: what was learnt of one means nothing for the other", doubt)
