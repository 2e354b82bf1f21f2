"""`encoder.fitted=<run or domain folder>`: the fitted encoder that made its texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from missrec.app.settings import Config
from missrec.data.manifest import MANIFEST
from missrec.features.store import FEATURES, TEXT, features_identity
from missrec.runs.folder import RunFolder
from missrec.runs.identity import recorded_identity

_DIGESTS = "weights_sha256"


def with_fitted(config: Config) -> Config:
    """The config with the folder of a fitted encoder, where `encoder.fitted` names who has it.

    Args:
        config: of an extraction.

    Raises:
        ValueError: who is named was encoded by no such encoder, or it is no longer kept.
    """
    encoder = config["encoder"]
    named = encoder.get("fitted")
    if not named:
        return config
    place = Path(named)
    described = _described(place)
    if described is None:
        return config  # the folder of the encoder itself, or none
    digests = described.get(_DIGESTS)
    if not isinstance(digests, Mapping):
        raise ValueError(
            f"encoder.fitted: the texts of {place} were encoded by "
            f"{described.get('encoder') or described.get('source') or 'another program'}, which "
            "is not fitted; choose that encoder"
        )
    kept = Path(encoder["cache_dir"])
    for folder, found in _kept(kept):
        if {name: found.get(name, {}).get("sha256") for name in digests} == dict(digests):
            return {**config, "encoder": {**encoder, "fitted": str(folder)}}
    raise ValueError(
        f"encoder.fitted: the encoder that {place} was encoded by is not in {kept}; copy its "
        f"folder there, the one with {json.dumps(dict(digests))}"
    )


def _described(place: Path) -> Mapping[str, Any] | None:
    """What encoded the texts of a run or of a domain folder; None of anything else."""
    run = RunFolder(place)
    if run.provenance.is_file():
        for one in (recorded_identity(run) or {}).values():
            if TEXT in one["features"]:
                encoder: Mapping[str, Any] = one["features"][TEXT]["encoder"]
                return encoder
        raise ValueError(f"encoder.fitted: {place} does not know what encoded its texts")
    if (place / FEATURES / MANIFEST).is_file():
        found: Mapping[str, Any] = features_identity(place, [TEXT])[TEXT]["encoder"]
        return found
    return None


def _kept(folder: Path) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """The folders of encoders with what their manifests say of their files."""
    for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
        content = json.loads(manifest.read_text(encoding="utf-8"))
        yield manifest.parent, content.get("files", {})
