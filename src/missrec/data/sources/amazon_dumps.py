"""Which files of which Amazon dump hold a category."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypedDict

from missrec.data.sources.amazon import AmazonDomain, AmazonFormat
from missrec.data.sources.download import Downloader
from missrec.data.sources.filtering import InteractionFilter
from missrec.data.sources.lines import Rejects


class Dump(NamedTuple):
    """The reviews as they were published in one year.

    Attributes:
        base_url: where it lies.
        lacks: categories of other years that it has not.
        files: see `AmazonDomain`.
        line_format: what it calls things.
    """

    base_url: str
    lacks: Sequence[str]
    files: Mapping[str, str]
    line_format: AmazonFormat


class KnownCategory(TypedDict):
    """A category that has a short name here.

    Attributes:
        category: as the dumps spell it.
        published: year of the dump -> users, items and interactions of the published set.
    """

    category: str
    published: Mapping[int, Mapping[str, int]]


def amazon_domain(
    *,
    name: str,
    year: int,
    category: str,
    known: Mapping[str, KnownCategory],
    dumps: Mapping[int, Dump],
    interactions: str,
    raw_dir: str,
    digests: Mapping[str, str],
    base_url: str | None,
    downloader: Callable[..., Downloader],
    interaction_filter: InteractionFilter,
    rejects: Rejects,
) -> AmazonDomain:
    """The domain of a category in the dump of a year; nothing is read yet.

    Args:
        name: of the domain.
        year: of the dump.
        category: a short name, or the category as the dump spells it, with a capital letter.
        known: short name -> what it stands for.
        dumps: by year.
        interactions: see `AmazonDomain`.
        raw_dir: see `AmazonDomain`.
        digests: see `AmazonDomain`.
        base_url: where the dump lies, if not where it was published.
        downloader: without the base URL.
        interaction_filter: see `AmazonDomain`.
        rejects: see `AmazonDomain`.

    Raises:
        ValueError: there is no such dump, or it has no such category.
    """
    if year not in dumps:
        raise ValueError(f"year ({year}) must be one of {', '.join(map(str, dumps))}")
    dump = dumps[year]
    names = {short: entry["category"] for short, entry in known.items()}
    spelled = names.get(category, category)
    if spelled in dump.lacks:
        raise ValueError(f"category ({category}): the dump of {year} has no {spelled}")
    if spelled == spelled.lower():
        raise ValueError(
            f"category ({category}) must be one of {', '.join(names)}, or one of the dump's own, "
            "spelled as there, such as Gift_Cards"
        )
    published = {entry["category"]: entry["published"] for entry in known.values()}
    return AmazonDomain(
        name=name,
        category=spelled,
        files=dump.files,
        interactions=interactions,
        raw_dir=raw_dir,
        downloader=downloader(base_url=base_url or dump.base_url),
        digests=digests,
        line_format=dump.line_format,
        interaction_filter=interaction_filter,
        rejects=rejects,
        published=published.get(spelled, {}).get(year, {}),
    )
