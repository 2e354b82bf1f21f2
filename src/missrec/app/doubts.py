"""What to doubt of a run's figures, said before there are any."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from missrec.app.build import Experiment
from missrec.app.settings import RunSettings
from missrec.data.parts import doubts
from missrec.distributed import is_first_process

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
    for part in experiment.datamodule.parts(names):
        for doubt in doubts(part, **limits):
            if is_first_process():
                _log.warning(doubt)
