from __future__ import annotations

import pytest
from missrec.app.transfer import _FORWARDED, _is_forwarded


@pytest.mark.parametrize(
    ("override", "forwarded"),
    [
        ("trainer=ddp", True),
        ("trainer.devices=4", True),
        ("trainer.num_nodes=2", True),
        ("trainer.max_epochs=3", False),
        ("model=sasrec", True),
        ("+model.depth=3", True),
        ("model/adapter=none", True),
        ("models=1", False),
        ("transfer=inductive", False),
    ],
)
def test_a_pretraining_works_on_the_same_devices_for_its_own_number_of_epochs(
    override: str, *, forwarded: bool
) -> None:
    assert _is_forwarded(override, _FORWARDED) is forwarded
