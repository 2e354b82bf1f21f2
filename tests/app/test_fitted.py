"""`encoder.fitted=`: a fitted encoder by who has it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from missrec.app.fitted import with_fitted
from missrec.data.manifest import write_manifest
from missrec.files import sha256
from missrec.runs.folder import RunFolder
from missrec.runs.identity import provenance_facts
from synthetic import prepared_domain, write_domain_folder


def config(fitted: Path | None, cache_dir: Path) -> dict[str, Any]:
    return {"encoder": {"fitted": None if fitted is None else str(fitted), "cache_dir": cache_dir}}


def kept_encoder(folder: Path, content: str) -> dict[str, str]:
    """A folder as a fitted encoder has it; the digests of its files."""
    folder.mkdir(parents=True)
    (folder / "idf.npy").write_text(content)
    write_manifest(folder, {"settings": {}})
    return {"idf.npy": sha256(folder / "idf.npy")}


def run_of(folder: Path, encoder: dict[str, Any]) -> Path:
    folder.mkdir()
    text = {"text": {"values": "", "encoder": encoder}}
    parts = dict.fromkeys(("interactions", "items", "users", "item_keys"), "")
    domain = {**parts, "split": {"by": "", "positions": ""}, "features": text}
    RunFolder(folder).write_provenance(provenance_facts({"shop": domain}, accepted=[]))
    return folder


def test_a_run_and_a_domain_folder_name_the_encoder_of_their_texts(tmp_path: Path) -> None:
    kept = tmp_path / "encoders"
    kept_encoder(kept / "lsa-1", "another")
    digests = kept_encoder(kept / "lsa-2", "the one")
    described = {"encoder": "lsa", "weights_sha256": digests}
    run = run_of(tmp_path / "run", described)
    prepared = prepared_domain()
    domain = write_domain_folder(
        tmp_path / "shop", prepared.__class__(**{**vars(prepared), "settings": described})
    )
    for place in (run, domain):
        found = with_fitted(config(place, kept))["encoder"]["fitted"]
        assert found == str(kept / "lsa-2")
    for other in (None, kept / "lsa-1", tmp_path / "nowhere"):
        assert with_fitted(config(other, kept)) == config(other, kept)


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ({"encoder": "clip"}, "encoded by clip, which is not fitted"),
        ({"source": "made elsewhere"}, "encoded by made elsewhere, which is not fitted"),
        ({"encoder": "lsa", "weights_sha256": {"idf.npy": "0"}}, "is not in"),
    ],
)
def test_who_has_no_fitted_encoder_is_refused_in_one_line(
    tmp_path: Path, encoder: dict[str, Any], said: str
) -> None:
    kept_encoder(tmp_path / "encoders" / "lsa-1", "another")
    run = run_of(tmp_path / "run", encoder)
    with pytest.raises(ValueError, match=said) as refused:
        with_fitted(config(run, tmp_path / "encoders"))
    assert "\n" not in str(refused.value)
