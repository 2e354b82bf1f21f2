"""Damaged source files: each row is taken or rejected, or the file is refused in one line."""

from __future__ import annotations

import gzip
import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from hydra.utils import instantiate
from omegaconf import OmegaConf

from missrec.data.domain import PreparedDomain, flatten, read_domain, read_items
from missrec.data.manifest import MANIFEST
from missrec.data.sources.amazon import AmazonDomain
from missrec.data.sources.export import export_domain
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.lines import Rejects
from missrec.data.sources.own_interactions import OwnInteractions
from missrec.data.sources.own_items import OwnItems
from missrec.data.sources.released import ReleasedDomain
from mutation import KINDS, mutated
from raw_amazon import CATEGORY, raw_files, write_raw

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf" / "data"
DOMAIN = ROOT / "tests" / "kept_runs" / "format_0" / "data" / "demo_office"
LONGEST_SEC = 20
TOKENS = (
    *(char.encode() for char in "\"\n\r\0\\,\t[{}'| \u2028"),
    *(b'""', b"::", b"nan", b"null", b"true", b"7.0", b"2019-10-01 00:16:40 UTC"),
    *(b"1e400", b"-1.5e308", b"9" * 400, b"1e-999999", b"[" * 2000),
    *(b"\xff\xfe", b"\xef\xbb\xbf", b"\xfc", b"\\ud800"),
)
"""What people's files hold at places where nobody expects it."""


class Hang(BaseException):
    """A reader took longer than anybody waits."""


@dataclass
class Tally:
    """What became of the damaged copies of one file, and of the rows of those that were read."""

    outcomes: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    slowest_sec: float = 0


class Counts(NamedTuple):
    """Rows of a file that was read."""

    rows: int = 0
    accepted: int = 0
    rejected: int = 0


class Reader(NamedTuple):
    """A file, and who reads it."""

    name: str
    file: Path
    read: Callable[[], Counts]


class CountedRejects(Rejects):
    """Counts the rows that were taken beside those that were not."""

    def __init__(self, folder: Path) -> None:
        super().__init__(path=str(folder / "rejects.csv"), max_share=1)
        self.num_rows = self.num_accepted = 0

    def collect_parts(self, table: str, parts: Iterable[Any]) -> int:
        def counted(parse: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
            def call(row: Any) -> str | None:
                said = parse(row)
                self.num_accepted += 1
                return said

            return call

        wrapped = ((name, rows, counted(parse)) for name, rows, parse in parts)
        num_rows = super().collect_parts(table, wrapped)
        self.num_rows += num_rows
        return num_rows

    def counts(self) -> Counts:
        return Counts(self.num_rows, self.num_accepted, self.num_rejected)


def readers(folder: Path) -> list[Reader]:
    """A small file of each format, each read by whom it is for."""
    return [*_own(folder), *_amazon(folder), *_released(folder), _manifest(folder)]


def tally(reader: Reader, *, number: int, draw: random.Random, others: list[bytes]) -> Tally:
    """Damages the file again and again, and has it read; it is as before when this returns.

    Raises:
        AssertionError: rows were lost, or counted twice.
    """
    original = reader.file.read_bytes()
    assert reader.read() is not None
    found = Tally()
    kinds = (*KINDS, *["token"] * 4)
    for index in range(number):
        kind = kinds[index % len(kinds)]
        content = (
            _with_tokens(original, draw)
            if kind == "token"
            else mutated(original, kind, draw, other=draw.choice(others))
        )
        reader.file.write_bytes(content)
        start = time.perf_counter()
        try:
            with _limited():
                counts = reader.read()
            is_whole = counts.accepted + counts.rejected == counts.rows
            outcome = "read" if is_whole else f"lost rows: {counts} ({content[:200]!r})"
            found.rows += counts.rows
            found.accepted += counts.accepted
            found.rejected += counts.rejected
        except (ValueError, OSError) as error:
            one_line = len(str(error).splitlines()) == 1
            outcome = "refused" if one_line else f"many lines: {str(error)[:200]!r}"
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            outcome = f"{type(error).__name__}: {str(error)[:200]} ({kind})"
        found.outcomes[outcome] += 1
        found.slowest_sec = max(found.slowest_sec, time.perf_counter() - start)
    reader.file.write_bytes(original)
    return found


def _with_tokens(content: bytes, draw: random.Random) -> bytes:
    changed = content
    for _ in range(draw.choice([1, 1, 2, 5])):
        at = draw.randrange(len(changed) + 1)
        skipped = draw.choice([0, 0, 1, 4])
        changed = changed[:at] + draw.choice(TOKENS) + changed[at + skipped :]
    return changed


@contextmanager
def _limited() -> Iterator[None]:
    def stop(*_: object) -> None:
        raise Hang

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(LONGEST_SEC)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


EVENTS = [
    {"user": f"u{place % 5}", "item": place % 7, "time": 1_500_000_000 + place + 0.25, "stars": 4}
    for place in range(30)
]
ITEMS = [
    {
        "item": place,
        "title": f'Pen "{place}", blué\nand black' if place % 2 else f"Ink {place}",
        "image": f"http://x/{place}.jpg|{place}.png",
    }
    for place in range(8)
]


def _delimited(rows: list[dict[str, Any]], delimiter: str, *, names: Iterable[str] = ()) -> bytes:
    def cell(value: object) -> str:
        text = str(value)
        is_quoted = delimiter == "," and set(text) & set(',"\n')
        return f'"{text.replace(chr(34), chr(34) * 2)}"' if is_quoted else text.replace("\n", " ")

    lines = [list(names) or list(rows[0]), *(list(map(cell, row.values())) for row in rows)]
    return "".join(f"{delimiter.join(line)}\n" for line in lines).encode()


def _own(folder: Path) -> Iterator[Reader]:
    place = folder / "own"
    place.mkdir()
    for kind, rows in (("events", EVENTS), ("items", ITEMS)):
        lines = "".join(f"{json.dumps(row)}\n" for row in rows).encode()
        typed = [f"{name}:{'float' if name == 'time' else 'token'}" for name in rows[0]]
        contents = {
            "csv": _delimited(rows, ","),
            "csv.gz": gzip.compress(_delimited(rows, ",")),
            "tsv": _delimited(rows, "\t"),
            "dat": _delimited(rows, "::"),
            "jsonl": lines,
            "json": json.dumps(rows).encode(),
            {"events": "inter", "items": "item"}[kind]: _delimited(rows, "\t", names=typed),
        }
        for suffix, content in contents.items():
            (place / f"{kind}.{suffix}").write_bytes(content)
        pl.DataFrame(rows).write_parquet(place / f"{kind}.parquet")
        for suffix in (*contents, "parquet"):
            path = place / f"{kind}.{suffix}"
            yield Reader(f"own {path.name}", path, _own_reader(kind, path))


def _own_reader(kind: str, path: Path) -> Callable[[], Counts]:
    def events() -> Counts:
        rejects = CountedRejects(path.parent)
        with rejects:
            read = OwnInteractions(
                path=str(path),
                user="user",
                item="item",
                time="time",
                order=None,
                time_scale=1,
                mixed_units="by_size",
                rating="stars",
                min_rating=2,
            ).read(rejects)
        left = len(read.timeline.events) + read.num_left_out
        return rejects.counts()._replace(accepted=left)

    def items() -> Counts:
        rejects = CountedRejects(path.parent)
        with rejects:
            OwnItems(path=str(path), item="item", texts=["title"], images=["image"]).read(rejects)
        return rejects.counts()

    return {"events": events, "items": items}[kind]


def _amazon(folder: Path) -> Iterator[Reader]:
    dumps = OmegaConf.load(CONF / "_amazon_category.yaml").dumps
    for year in (2018, 2023):
        raw = write_raw(folder / str(year), raw_files(year))
        for path in sorted(raw.glob("*.gz")):  # the damage shall be that of rows
            path.with_suffix("").write_bytes(gzip.decompress(path.read_bytes()))
            path.unlink()
        described = dumps[year]
        line_format = instantiate(described.line_format, images_per_item=2, _convert_="all")
        files = {
            kind: Path(name.format(category=CATEGORY)).name.removesuffix(".gz")
            for kind, name in described.files.items()
        }
        there = {kind: name for kind, name in files.items() if (raw / name).is_file()}
        for kind, name in there.items():
            interactions = "ratings" if kind == "metadata" else kind
            read = _amazon_reader(raw, files, line_format, interactions)
            yield Reader(f"Amazon {year} {name}", raw / name, read)


def _amazon_reader(
    raw: Path, files: dict[str, str], line_format: Any, interactions: str
) -> Callable[[], Counts]:
    def read() -> Counts:
        rejects = CountedRejects(raw)
        AmazonDomain(
            name="toys",
            category=CATEGORY,
            files=files,
            interactions=interactions,
            raw_dir=str(raw),
            downloader=_Here(),  # type: ignore[arg-type]
            digests={},
            line_format=line_format,
            interaction_filter=InteractionFilter(
                keep_repeats=True,
                min_user_interactions=3,
                min_item_interactions=1,
                keep_unseen_items=True,
            ),
            rejects=rejects,
            published={},
        ).read()
        return rejects.counts()

    return read


class _Here:
    """Downloads nothing: all is there."""

    def fetch(self, name: str, path: Path, *, digest: str | None) -> None:
        assert path.is_file()


def _released(folder: Path) -> Iterator[Reader]:
    place = folder / "released"
    place.mkdir()
    items, offsets = flatten([[1, 2, 3, 4], [4, 3, 2], [2, 1, 4, 3, 2]])
    released = PreparedDomain(
        name="tiny",
        items=items,
        offsets=offsets,
        times=None,
        user_keys=["a", "b", "c"],
        item_keys=["i1", "i2", "i3", "i4"],
        item_texts=["Pen.", "Ink.", "Blué.", ""],
        image_urls=None,
        features={"text": np.ones((4, 8), dtype=np.float32)},
        settings={},
    )
    export_domain(place, released)

    def read() -> Counts:
        made = ReleasedDomain(
            folder=str(place),
            name="tiny",
            feature_files={"text": "feat1CLS"},
            feature_dims={"text": [8]},
            encoders={},
            expected_counts={},
            max_history=50,
        ).read()
        return Counts(len(made.items), len(made.items), 0)

    for path in sorted(place.iterdir()):
        yield Reader(f"released {path.name}", path, read)


def _manifest(folder: Path) -> Reader:
    place = folder / DOMAIN.name
    place.mkdir()
    for path in DOMAIN.iterdir():
        if path.is_file():
            (place / path.name).write_bytes(path.read_bytes())

    def read() -> Counts:
        num_rows = len(read_domain(place, with_times=True).items) + len(read_items(place))
        return Counts(num_rows, num_rows, 0)

    return Reader("manifest of a domain", place / MANIFEST, read)
