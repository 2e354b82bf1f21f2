"""The settings of a run that can change its result, and in which of them two runs differ."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Marks(NamedTuple):
    """What is said of settings where they stand; each is a dotted key with all below it.

    Attributes:
        neutral: cannot change a result, whatever their value.
        counting: count all the same, though something above them is neutral.
        seeds: what the runs of one row may differ in, and are averaged over.
        before: key -> what a run without it did, as it is from before the setting.
        undated: keys that came later and do not say what was before: a run without one is taken to
            be from before it.
    """

    neutral: frozenset[str]
    counting: frozenset[str]
    seeds: frozenset[str]
    before: Mapping[str, Any]
    undated: frozenset[str]

    def ignoring(self, keys: Iterable[str]) -> Marks:
        """These marks with further neutral settings; nothing below those counts."""
        further = frozenset(keys)
        counting = frozenset(key for key in self.counting if not is_below(key, further))
        return self._replace(neutral=self.neutral | further, counting=counting)

    def of_rows(self, ignored: Iterable[str] = ()) -> Marks:
        """These marks where seeds, and what a reader ignores, are no difference."""
        return self.ignoring([*self.seeds, *ignored])

    def counts(self, key: str) -> bool:
        """Whether a setting can change a result: what is said nearest to it holds."""
        parts = key.split(".")
        for length in range(len(parts), 0, -1):
            above = ".".join(parts[:length])
            if above in self.counting:
                return True
            if above in self.neutral:
                return False
        return True


UNMARKED = Marks(frozenset(), frozenset(), frozenset(), {}, frozenset())


class Difference(NamedTuple):
    """A setting that two runs do not share: its values as JSON, None where there is none."""

    key: str
    there: str | None
    here: str | None

    def __str__(self) -> str:
        """Such as `optimizer.lr (0.001 there, 0.01 here)`."""
        values = ((self.there, "there"), (self.here, "here"))
        said = (f"none {place}" if text is None else f"{shown(text)} {place}"
                for text, place in values)  # fmt: skip
        return f"{self.key} ({', '.join(said)})"


def comparable_settings(config: Mapping[str, Any], *, marks: Marks) -> dict[str, str]:
    """Dotted key -> value as JSON, of what can change a result, with paths made relative.

    Settings that the run is older than have the value that says what it did.

    Args:
        config: of a run, resolved; nested, or with dotted keys.
        marks: what counts, and what was before.
    """
    found = dict(leaves(config))
    places = {
        key: value
        for key, value in found.items()
        if is_below(key, ("run_dir", "paths")) and isinstance(value, str) and value
    }
    by_length = sorted(places.items(), key=lambda place: -len(place[1]))
    return {
        key: json.dumps(_plain(value, by_length), sort_keys=True, default=str)
        for key, value in (*found.items(), *_from_before(found, marks))
        if marks.counts(key)
    }


def differing(
    there: Mapping[str, str], here: Mapping[str, str], *, marks: Marks
) -> list[Difference]:
    """In which settings two runs differ, by key.

    Args:
        there: `comparable_settings` of what was made before.
        here: those of what would be made now.
        marks: what both were read with.
    """
    return [
        Difference(key, there.get(key), here.get(key))
        for key in sorted({*there, *here})
        if there.get(key) != here.get(key) and not (key in marks.undated and key not in there)
    ]


def changed_settings(
    there: Mapping[str, Any], here: Mapping[str, Any], *, marks: Marks
) -> list[Difference]:
    """In which settings that can change a result a command differs from a saved run.

    Args:
        there: the saved config.
        here: the config of today.
        marks: what counts.
    """
    saved, now = (comparable_settings(config, marks=marks) for config in (there, here))
    return [*differing(saved, now, marks=marks), *other_start(there, here)]


def other_start(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[Difference]:
    """In what a saved run started from something else than it is asked to, wherever that lies.

    A run saves the checkpoints of its stages; of one of format 0, the name of its folder tells
    which experiment that was.

    Args:
        there: the saved config.
        here: the config of today, which may have been made of the saved one.
    """
    keys = ("stages", "stage_overrides", "pretrained")
    if all(there[key] == here[key] for key in keys):
        return []
    if here["stages"]:
        source = source_of(there)
        name = source.parent.parent.name.rpartition("_")[0] if source else None
        asked = here["stages"][-1]["experiment"]
        pairs: dict[str, tuple[Any, Any]] = {"stages": (name, asked)}
        pairs["stage_overrides"] = (there["stage_overrides"], here["stage_overrides"])
    else:
        pairs = {"pretrained": (_folder_name(source_of(there)), _folder_name(source_of(here)))}
    return [
        Difference(key, json.dumps(before), json.dumps(now))
        for key, (before, now) in pairs.items()
        if before != now
    ]


def _folder_name(source: Path | None) -> str | None:
    """The name of the run folder that a folder or checkpoint is of."""
    if source is None:
        return None
    path = source.resolve()
    return path.parent.parent.name if path.suffix == ".ckpt" else path.name


def source_of(config: Mapping[str, Any]) -> Path | None:
    """What a run started from: its last stage, or the run that it names."""
    stages = config.get("stages") or []
    named = stages[-1].get("checkpoint") if stages else config.get("pretrained")
    return Path(named) if isinstance(named, str) else None


def described(differences: Sequence[Difference], *, most: int = 5) -> str:
    """The first differences on one line, and how many more there are."""
    rest = len(differences) - most
    return ", ".join([*map(str, differences[:most]), *([f"and {rest} more"] if rest > 0 else [])])


def shown(value: str) -> str:
    """A setting as a reader would write it."""
    parsed = json.loads(value)
    return parsed if isinstance(parsed, str) else value


def is_below(key: str, names: Iterable[str]) -> bool:
    """Whether a dotted key is one of the names or lies below one."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def leaves(config: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted key and value of all that is no mapping, or an empty one."""
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _from_before(found: Mapping[str, Any], marks: Marks) -> Iterator[tuple[str, Any]]:
    for key, value in marks.before.items():
        has_it = any(is_below(name, (key,)) for name in found)
        # Where a part was left out as a whole, as callbacks.early_stopping=null does, it had no
        # settings.
        left_out = any(is_below(key, (name,)) for name in found)
        if not (has_it or left_out):
            yield from leaves({key: value})


def _plain(value: Any, places: Sequence[tuple[str, str]]) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part, places) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part, places) for part in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)  # 1 and 1.0 are one setting
    for name, path in places:
        if isinstance(value, str) and (value == path or value.startswith(f"{path}/")):
            return f"<{name}>{value[len(path) :]}"
    return value
