"""What a run was made on: its data, known again by content, and what of it has changed."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from missrec.data.identity import domain_identities
from missrec.data.splits import AnySplitter
from missrec.features.store import ELSEWHERE, features_identity
from missrec.runs.folder import RunFolder

if TYPE_CHECKING:
    from missrec.data.split_domains import SplitDomains

Identity = Mapping[str, Any]
"""Name of each domain -> the digests of `domain_identities`, and `features`: those of
`features_identity`, by modality. Plain values, for JSON and for checkpoints."""

DATA, ACCEPTED = "data", "accepted_changes"
"""Keys of `provenance.json`: the identity of the data, and in which ways that had changed under
the run when it went on all the same. A checkpoint has the first too."""

_PARTS = ("interactions", "items", "users", "split")

_log = logging.getLogger(__name__)


class ChangedDataError(ValueError):
    """Data is not what something was made on."""


def data_identity(domains: SplitDomains, *, modalities: Sequence[str]) -> dict[str, Any]:
    """The identity of data that a run has open.

    Args:
        domains: of the run.
        modalities: whose features the run reads.

    Raises:
        FileNotFoundError, ValueError: see `features_identity`.
    """
    return _with_features(domains.identities, domains.folders, modalities)


def identity_of_folders(
    folders: Sequence[Path], splitter: AnySplitter, *, modalities: Sequence[str]
) -> dict[str, Any]:
    """The identity of data that lies in domain folders, which are read for it.

    Raises:
        FileNotFoundError, ValueError: see `read_mixed` and `features_identity`.
    """
    from missrec.data.split_domains import read_mixed  # torch takes seconds

    tables = domain_identities(read_mixed(folders, splitter), folders, splitter)
    return _with_features(tables, folders, modalities)


def _with_features(
    tables: Mapping[str, Mapping[str, Any]], folders: Sequence[Path], modalities: Sequence[str]
) -> dict[str, Any]:
    return {
        domain: {**found, "features": features_identity(folder, modalities)}
        for (domain, found), folder in zip(tables.items(), folders, strict=True)
    }


def changes(one: Identity, other: Identity) -> list[str]:
    """What two identities differ in, a text for each domain that does; empty where they agree.

    Features of a modality that only one of them has are no difference.
    """
    found = []
    for domain in {**one, **other}:
        if domain not in one or domain not in other:
            found.append(f"{domain}: on one side alone")
        elif parts := list(_differing(one[domain], other[domain])):
            found.append(f"{domain}: {', '.join(parts)}")
    return found


def _differing(one: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    for part in _PARTS:
        if one[part] == other[part]:
            continue
        if part == "items" and one["item_keys"] == other["item_keys"]:
            yield "items (the same in another order)"
        elif part == "split":
            if one[part]["positions"] != other[part]["positions"]:
                names = dict.fromkeys([one[part]["by"], other[part]["by"]])
                yield f"split ({', '.join(names)})"
        else:
            yield part
    for modality in sorted(one["features"].keys() & other["features"].keys()):
        ours, theirs = one["features"][modality], other["features"][modality]
        if keys := _unlike_keys(ours["encoder"], theirs["encoder"]):
            yield f"{modality} features (another encoder: {', '.join(keys)})"
        elif ours["values"] != theirs["values"]:
            yield f"{modality} features"


def _unlike_keys(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """What two encoders are described by that is not the same."""
    return sorted(
        key
        for key in {**one, **other}
        if (key in one) != (key in other) or one.get(key) != other.get(key)
    )


def other_items(one: Identity, other: Identity) -> bool:
    """Whether the items of two identities, or their numbers, are not the same."""
    return {name: found["items"] for name, found in one.items()} != {
        name: found["items"] for name, found in other.items()
    }


def other_encoders(recorded: Identity, found: Identity) -> list[str]:
    """Features that are not of the encoder of those that a run was made on, a text for each.

    A domain that the run did not have is compared with its first one.

    Args:
        recorded: what the run was made on.
        found: the data at hand.
    """
    said = []
    for domain, one in found.items():
        before = recorded.get(domain) or next(iter(recorded.values()))
        for modality in sorted(before["features"].keys() & one["features"].keys()):
            ours, theirs = before["features"][modality], one["features"][modality]
            if keys := _unlike_keys(ours["encoder"], theirs["encoder"]):
                said.append(f"{domain}: {modality} ({', '.join(keys)})")
    return said


def mixed_encoders(found: Identity) -> list[str]:
    """Modalities whose features are not of one encoder in all domains, a text for each.

    What is not known, as of released features, is not told apart.
    """
    said = []
    modalities = {modality for one in found.values() for modality in one["features"]}
    for modality in sorted(modalities):
        domains: dict[str, list[str]] = {}
        for domain, one in found.items():
            if maker := _maker(one["features"].get(modality, {}).get("encoder", {})):
                domains.setdefault(maker, []).append(domain)
        if len(domains) > 1:
            each = " and ".join(", ".join(names) for names in domains.values())
            said.append(f"the {modality} features of {each} are not of the same encoder")
    return said


def _maker(encoder: Mapping[str, Any]) -> str | None:
    """What tells an encoder from others: the fingerprint of all its settings and weights."""
    fingerprint = encoder.get("fingerprint")
    return str(fingerprint or "") or ("elsewhere" if encoder.get("source") == ELSEWHERE else None)


def check_same(
    recorded: Identity | None, found: Identity, *, name: str, accept: bool, remedy: str
) -> list[str]:
    """What has changed between what something was made on and the data at hand, if that is allowed.

    What does not know its data, as runs from before it was recorded, is read with a warning.

    Args:
        recorded: what it was made on; None where that is not known.
        found: what is at hand.
        name: what it is, for the messages.
        accept: go on with changed data, with a warning.
        remedy: what the user can do; ends the message.

    Raises:
        ChangedDataError: the data has changed, and that is not accepted.
    """
    if recorded is None:
        _log.warning("%s does not know what data it was made on: that is not checked", name)
        return []
    changed = changes(recorded, found)
    if changed and not accept:
        raise ChangedDataError(f"{name} was made on other data: {'; '.join(changed)}; {remedy}")
    if changed:
        _log.warning("%s was made on other data, which is accepted: %s", name, "; ".join(changed))
    return changed


def provenance_facts(found: Identity, *, accepted: Sequence[str]) -> dict[str, Any]:
    """What `provenance.json` holds of the data.

    Args:
        found: what the run is made on.
        accepted: in which ways the data had changed when the run went on.
    """
    return {DATA: dict(found), ACCEPTED: list(accepted)}


def recorded_identity(run: RunFolder) -> Identity | None:
    """What a run was made on, as its folder says; None where it does not."""
    return identity_in(_provenance(run))


def accepted_changes(run: RunFolder) -> list[str]:
    """In which ways the data had changed under a run when it went on all the same."""
    found = _provenance(run).get(ACCEPTED)
    return list(map(str, found)) if isinstance(found, list) else []


def identity_in(record: Mapping[str, Any]) -> Identity | None:
    """The identity that a checkpoint or a `provenance.json` holds; None where it holds none."""
    found = record.get(DATA)
    return found if isinstance(found, Mapping) and all(map(_is_whole, found.values())) else None


def _is_whole(domain: Any) -> bool:
    if not isinstance(domain, Mapping) or not {*_PARTS, "item_keys", "features"} <= domain.keys():
        return False
    split, features = domain["split"], domain["features"]
    return (
        isinstance(split, Mapping)
        and {"by", "positions"} <= split.keys()
        and isinstance(features, Mapping)
        and all(
            isinstance(entry, Mapping)
            and "values" in entry
            and isinstance(entry.get("encoder"), Mapping)
            for entry in features.values()
        )
    )


def _provenance(run: RunFolder) -> Mapping[str, Any]:
    """The content of `provenance.json`; empty, with a warning, where it cannot be read."""
    try:
        return run.read_provenance()
    except (OSError, ValueError) as error:
        _log.warning("%s", error)
        return {}
