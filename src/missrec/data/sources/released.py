"""Reader of the file format that UniSRec, VQ-Rec and MISSRec were released with."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from missrec.data.domain import MIN_INTERACTIONS, PreparedDomain, flatten
from missrec.data.vocabulary import COPY_AGAIN, read_index_file, read_lines

HEADER = "user_id:token\titem_id_list:token_seq\titem_id:token"
TEXT_HEADER = "item_id:token\ttext:token_seq"


class _Row(NamedTuple):
    history: list[int]
    target: int


class MissingReleaseError(FileNotFoundError):
    """The released files are not where they were looked for."""


class OtherNameError(FileNotFoundError):
    """The released files of a folder have another name than the one they were looked for by."""


class ReleasedDomain:
    """A folder of `.inter`, `.item2index`, `.user2index`, `.text` and feature files.

    The released files hold every training prefix; this reads them back into one sequence per
    user and checks that leave-one-out over those sequences gives the released rows again.

    **Source**: the format of github.com/RUCAIBox/UniSRec; histories there are cut to the last
    `max_history` items, so a longer sequence is put together from its overlapping prefixes.
    """

    def __init__(
        self,
        *,
        folder: str,
        name: str,
        feature_files: dict[str, str],
        feature_dims: dict[str, list[int]],
        encoders: dict[str, str],
        expected_counts: dict[str, int],
        max_history: int,
        files_named: str | None = None,
    ) -> None:
        """Keeps the settings; nothing is read yet.

        Args:
            folder: where the files are.
            name: of the domain.
            feature_files: modality -> file suffix, such as `feat1CLS`.
            feature_dims: modality -> widths that the file may have.
            encoders: modality -> what made the features, for the manifest.
            expected_counts: published numbers of users, items and interactions, any of them; a
                folder with other numbers is another data set and is refused.
            max_history: items that the released histories were cut to.
            files_named: the stem that its files share; None: the name of the domain.
        """
        self.folder = Path(folder)
        self.name = name
        self.feature_files = feature_files
        self.feature_dims = feature_dims
        self.encoders = encoders
        self.expected_counts = expected_counts
        self.max_history = max_history
        self._stem = files_named or name

    def read(self) -> PreparedDomain:
        """The whole domain.

        Raises:
            FileNotFoundError: the folder or a file of it is missing.
            ValueError: a file is malformed, truncated or contradicts another one.
        """
        if not self.folder.is_dir():
            raise MissingReleaseError(f"{self.folder} is missing, where the released files belong")
        self._check_stem()
        item_keys = read_index_file(self._path("item2index"))
        user_keys = read_index_file(self._path("user2index"))
        items, offsets = flatten(
            self._sequences(num_users=len(user_keys), num_items=len(item_keys))
        )
        prepared = PreparedDomain(
            name=self.name,
            items=items,
            offsets=offsets,
            times=None,
            user_keys=user_keys,
            item_keys=item_keys,
            item_texts=self._texts(item_keys),
            image_urls=None,
            features={
                modality: self._features(modality, num_items=len(item_keys))
                for modality in self.feature_files
            },
            settings={"source": "released files", "encoders": self.encoders},
        )
        self._check_counts(prepared)
        return prepared

    def _check_stem(self) -> None:
        suffix = ".item2index"
        stems = sorted(path.name.removesuffix(suffix) for path in self.folder.glob(f"*{suffix}"))
        if stems and self._stem not in stems:
            raise OtherNameError(
                f"{self.folder} has no files named {self._stem}.*; those there are named "
                f"{', '.join(stems)}"
            )

    def _path(self, suffix: str) -> Path:
        path = self.folder / f"{self._stem}.{suffix}"
        if not path.is_file():
            raise FileNotFoundError(f"{path} is missing; copy it into the folder")
        return path

    def _sequences(self, *, num_users: int, num_items: int) -> list[list[int]]:
        rows = {
            split: self._rows(split, num_users=num_users, num_items=num_items)
            for split in ("train", "valid", "test")
        }
        sequences = []
        for user in range(num_users):
            train = sorted(rows["train"].get(user, []), key=lambda row: len(row.history))
            for split in ("valid", "test"):
                if len(rows[split].get(user, [])) != 1:
                    raise ValueError(
                        f"{self._path(f'{split}.inter')}: user {user} has "
                        f"{len(rows[split].get(user, []))} rows, expected 1; {COPY_AGAIN}"
                    )
            (valid,), (test,) = rows["valid"][user], rows["test"][user]
            in_time = [*train, valid, test]
            sequence = [*in_time[0].history, *(row.target for row in in_time)]
            if not self._gives(sequence, train, valid, test):
                raise ValueError(
                    f"{self._path('train.inter')}: the {len(train)} rows of user {user} are not "
                    f"the prefixes of the user's test sequence; {COPY_AGAIN}"
                )
            sequences.append([item + 1 for item in sequence])
        return sequences

    def _gives(self, sequence: list[int], train: list[_Row], valid: _Row, test: _Row) -> bool:
        """Whether leave-one-out over the sequence gives these rows."""
        expected = [
            _Row(sequence[max(0, end - self.max_history) : end], sequence[end])
            for end in range(1, len(sequence))
        ]
        return (
            len(sequence) >= MIN_INTERACTIONS
            and expected[-1] == test
            and expected[-2] == valid
            and expected[:-2] == train
        )

    def _rows(self, split: str, *, num_users: int, num_items: int) -> dict[int, list[_Row]]:
        """Rows of one `.inter` file by user, last row of the file first: oldest prefix first."""
        path = self._path(f"{split}.inter")
        lines = read_lines(path)
        if lines[0] != HEADER:
            raise ValueError(
                f"{path}, line 1: found {lines[0][:80]!r}, expected the header {HEADER!r}"
            )
        rows: dict[int, list[_Row]] = {}
        for number, line in reversed(list(enumerate(lines[1:], start=2))):
            where = f"{path}, line {number}"
            fields = line.split("\t")
            if len(fields) != 3 or not fields[0].isdecimal() or not fields[2].isdecimal():
                raise ValueError(
                    f"{where}: found {line[:80]!r}, expected user <tab> items <tab> target; "
                    f"{COPY_AGAIN}"
                )
            history = fields[1].split()
            if not history:
                raise ValueError(f"{where}: the history is empty, expected at least one item")
            ids = [int(item) if item.isdecimal() else -1 for item in [*history, fields[2]]]
            if min(ids) < 0 or max(ids) >= num_items:
                bad = next(
                    text
                    for text, item in zip([*history, fields[2]], ids, strict=True)
                    if not 0 <= item < num_items
                )
                raise ValueError(
                    f"{where}: item id {bad} is out of range, expected 0..{num_items - 1} as in "
                    f"{self._stem}.item2index"
                )
            if int(fields[0]) >= num_users:
                raise ValueError(
                    f"{where}: user id {fields[0]} is out of range, expected 0..{num_users - 1} "
                    f"as in {self._stem}.user2index"
                )
            rows.setdefault(int(fields[0]), []).append(_Row(ids[:-1], ids[-1]))
        return rows

    def _texts(self, item_keys: list[str]) -> list[str]:
        path = self._path("text")
        text_of_key: dict[str, str] = {}
        for number, line in enumerate(read_lines(path)[1:], start=2):
            key, tab, text = line.partition("\t")
            if not tab:
                raise ValueError(
                    f"{path}, line {number}: found {line[:80]!r}, expected id <tab> text"
                )
            text_of_key[key] = text
        missing = [key for key in item_keys if key not in text_of_key]
        if missing:
            raise ValueError(
                f"{path} has no row for item {missing[0]!r} ({len(missing)} such items); "
                f"{COPY_AGAIN}"
            )
        return [text_of_key[key] for key in item_keys]

    def _features(self, modality: str, *, num_items: int) -> np.ndarray:
        path = self._path(self.feature_files[modality])
        dims = self.feature_dims[modality]
        num_bytes = path.stat().st_size
        expected = " or ".join(f"{num_items} x {dim} x 4 = {num_items * dim * 4}" for dim in dims)
        if num_bytes not in {num_items * dim * 4 for dim in dims}:
            raise ValueError(
                f"{path} has {num_bytes} bytes, expected {expected} ({num_items} items, float32); "
                "check the width and the row count, or copy the file again"
            )
        features = np.fromfile(path, dtype=np.float32).reshape(num_items, -1)
        bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
        if len(bad):
            raise ValueError(
                f"{path}: row {bad[0]} holds NaN or Inf ({len(bad)} such rows), expected finite "
                "numbers; extract the features of these items again"
            )
        return features

    def _check_counts(self, prepared: PreparedDomain) -> None:
        counts = {
            "users": len(prepared.user_keys),
            "items": len(prepared.item_keys),
            "interactions": len(prepared.items),
        }
        for name, expected in self.expected_counts.items():
            if counts[name] != expected:
                raise ValueError(
                    f"{self.folder}: found {counts[name]} {name}, the published set has "
                    f"{expected}; this is another data set, give it another name under conf/data/"
                )
