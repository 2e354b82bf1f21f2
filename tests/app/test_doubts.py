"""What a run says of its parts before it trains or ranks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from missrec.app import doubts
from missrec.app.doubts import warn_of_encoders, warn_of_parts
from missrec.data.splits import GlobalTime, SplitError
from missrec.runs.folder import RunFolder
from synthetic import prepared_domain, sequence_datamodule, write_domain_folder


def experiment(folder: Path) -> Any:
    module = sequence_datamodule(write_domain_folder(folder))
    module.setup()
    return SimpleNamespace(datamodule=module)


def run(**metrics: float) -> Any:
    return SimpleNamespace(config={"metrics": metrics})


def test_each_part_is_warned_of_in_a_line_by_the_first_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = experiment(tmp_path / "tiny")
    warn_of_parts(tiny, run())  # as a run of before the settings
    # They are validated on items 4 1 1 4 and tested on 5 2 2 6.
    assert [(r.levelname, r.getMessage().partition("tiny: ")[2]) for r in caplog.records] == [
        ("WARNING", "4 users to validate, fewer than 200: figures vary by chance, compare over "
         "seeds"),
        ("WARNING", "4 users to validate, and for 50.0% of them the target is one item, 'item-1': "
         "who always ranks it first looks good"),
        ("WARNING", "4 users to test, fewer than 200: figures vary by chance, compare over seeds"),
        ("WARNING", "4 users to test, and for 50.0% of them the target is one item, 'item-2': who "
         "always ranks it first looks good"),
    ]  # fmt: skip
    caplog.clear()
    warn_of_parts(tiny, run(min_users=200, max_target_share=1), names=["test"])
    assert len(caplog.records) == 1
    warn_of_parts(tiny, run(min_users=0, max_target_share=1))
    monkeypatch.setattr(doubts, "is_first_process", lambda: False)
    warn_of_parts(tiny, run())
    assert len(caplog.records) == 1


@pytest.mark.parametrize(("names", "purpose"), [(("val", "test"), "validate"), (("test",), "test")])
def test_an_empty_part_is_known_before_training(
    tmp_path: Path, names: tuple[str, ...], purpose: str
) -> None:
    prepared = prepared_domain([[1, 2, 3], [4, 5, 6]], times=[1, 1, 1, 1, 1, 1])
    module = sequence_datamodule(write_domain_folder(tmp_path / "tiny", prepared))
    module._splitter = GlobalTime(val_from=0.8, test_from=0.9)
    module.setup()
    with pytest.raises(SplitError, match=rf"tiny: the split leaves no user to {purpose}"):
        warn_of_parts(SimpleNamespace(datamodule=module), run(), names=names)  # type: ignore[arg-type]


def test_features_are_warned_of_that_are_not_those_of_the_run_it_starts_from(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def identity(domain: str, encoder: str) -> dict[str, Any]:
        text = {"values": "x", "encoder": {"fingerprint": encoder}}
        rest = dict.fromkeys(("interactions", "items", "users", "item_keys"), "x")
        split = {"by": "x", "positions": "x"}
        return {domain: {**rest, "split": split, "features": {"text": text}}}

    RunFolder(tmp_path).write_provenance({"data": identity("toys", "lsa")})
    checkpoint = tmp_path / "checkpoints" / "epoch_001.ckpt"
    warn_of_encoders(identity("shop", "lsa"), checkpoint)
    warn_of_encoders(identity("shop", "clip"), None)
    warn_of_encoders(identity("shop", "clip"), tmp_path / "alone" / "a" / "one.ckpt")
    assert not caplog.records
    warn_of_encoders(identity("shop", "clip"), checkpoint)
    (said,) = caplog.messages
    assert said.startswith("the text features of toys and shop are not of the same encoder: ")
