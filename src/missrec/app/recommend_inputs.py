"""For whom to recommend, and which items: files of the user's, read and cut into requests."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from missrec.app.settings import Config
from missrec.data.sources.delimited import Layout
from missrec.data.sources.histories import HistoryColumns, Take, read_histories, read_keys
from missrec.data.sources.lines import Rejects
from missrec.data.sources.parts import find_parts
from missrec.data.sources.settings import a_number, a_word, layout
from missrec.data.sources.tables import MissingColumnError
from missrec.files import sha256
from missrec.retrieval.batch.requests import KnownKeys, RequestCutter, Requests, UnknownKeys
from missrec.retrieval.recommender import CatalogueRecommender

ALL = "all"
_AT_ONCE = 4096

Write = Callable[[int, Requests], None]


class Columns(NamedTuple):
    """How the columns of the files are called."""

    user: str
    item: str
    history: str
    items: str


class Inputs(NamedTuple):
    """The files of a command.

    Attributes:
        users: of user keys; None where something else is asked for, or all users.
        histories: of histories.
        items: of item keys to find similar ones of, or `all`.
        allow: of items.
        block: of items.
        lists: name -> a file of items.
        columns: of the files.
        layout: of text files.
        max_share: of rows that may be unusable.
    """

    users: str | None
    histories: str | None
    items: str | None
    allow: str | None
    block: str | None
    lists: Mapping[str, str]
    columns: Columns
    layout: Layout
    max_share: float

    @property
    def what(self) -> str:
        """What is asked for: `user`, `history` or `item`."""
        return "history" if self.histories else "item" if self.items else "user"

    @property
    def files(self) -> dict[str, str]:
        """Setting -> the file or the files that it names."""
        files = {
            name: value
            for name, value in self._asdict().items()
            if isinstance(value, str) and (name, value) != ("items", ALL)
        }
        return {**files, **{f"lists.{name}": file for name, file in self.lists.items()}}

    def described(self) -> dict[str, Any]:
        """All of it as plain values; each file by its content."""
        return {
            "items": self.items if self.items == ALL else None,
            **{
                name: [sha256(part.path) for part in find_parts(file)]
                for name, file in self.files.items()
            },
            "columns": self.columns._asdict(),
            "layout": self.layout._asdict(),
        }


def read_inputs(config: Config) -> Inputs:
    """The files that a command names.

    Raises:
        ValueError: settings that cannot be, or do not go together.
    """
    asked = [name for name in ("users", "histories", "items") if config[name] is not None]
    if len(asked) > 1:
        raise ValueError(f"{asked[0]} and {asked[1]} are both given: choose one")
    is_similar = config["items"] is not None
    for name in ("allow", "block", "lists", "vectors") if is_similar else ():
        if config[name]:
            raise ValueError(f"items asks for similar items, which take no {name}; leave one out")
    files = {
        name: None if config[name] is None else a_word(name, config[name])
        for name in ("users", "histories", "items", "allow", "block")
    }
    for name in ("users", "items", "allow", "block"):
        _check_file(name, files[name])
    lists = config["lists"] or {}
    if not isinstance(lists, dict):
        raise ValueError(f"lists ({lists}) must have names, as in lists.new=new.csv")
    for name in ("columns", "layout", "rejects"):
        if not isinstance(config[name], dict):
            raise ValueError(f"{name} ({config[name]}) must have names, see recommend --help")
    given = config["layout"]
    return Inputs(
        **files,
        lists={str(name): a_word(f"lists.{name}", file) for name, file in lists.items()},
        columns=Columns(
            *(a_word(f"columns.{name}", config["columns"][name]) for name in Columns._fields)
        ),
        layout=layout(*(given[name] for name in Layout._fields)),
        max_share=a_number("rejects.max_share", config["rejects"]["max_share"]),
    )


def _check_file(setting: str, name: str | None) -> None:
    """Tells how to ask for a key that was typed in the place of a file."""
    if name not in (None, ALL) and not re.search(r"[./\\*]", name) and not Path(name).exists():
        raise FileNotFoundError(
            f"{setting} ({name}): there is no such file; to name that key, put it into one: a .txt "
            "holds a key a line"
        )


class ItemLists(NamedTuple):
    """The items that may be recommended, by their keys; None for all, or none in particular."""

    allow: list[str] | None
    block: list[str] | None
    lists: dict[str, list[str]] | None


class InputReader:
    """Reads what the files of a command say, by the keys of a recommender.

    Attributes:
        unknown: keys that were read and are none of the recommender's.
    """

    def __init__(
        self, inputs: Inputs, recommender: CatalogueRecommender, *, rejects: Rejects
    ) -> None:
        """Keeps the parts; nothing is read yet.

        Args:
            inputs: of the command.
            recommender: knows users and items.
            rejects: takes rows that cannot be used.
        """
        self.unknown = UnknownKeys()
        self._inputs = inputs
        self._recommender = recommender
        self._items = KnownKeys(recommender.items["item"])
        self._rejects = rejects

    def item_lists(self) -> ItemLists:
        """The lists of items.

        Raises:
            FileNotFoundError, ValueError: a file is missing or cannot be read.
        """
        inputs = self._inputs
        return ItemLists(
            allow=self._known_items("allow", inputs.allow) if inputs.allow else None,
            block=self._known_items("block", inputs.block) if inputs.block else None,
            lists={
                name: self._known_items(f"lists.{name}", file)
                for name, file in inputs.lists.items()
            }
            or None,
        )

    def cut(self, write: Write, *, shard_size: int, limit: int | None) -> RequestCutter:
        """Cuts what is asked for into shards.

        Args:
            write: gets the number of each shard and its requests.
            shard_size: requests a shard.
            limit: of the requests; None for all.

        Raises:
            FileNotFoundError, ValueError: a file is missing or cannot be read.
        """
        cutter = RequestCutter(
            write,
            items=self._items,
            unknown=self.unknown,
            what=self._inputs.what,
            shard_size=shard_size,
            limit=limit,
        )
        self._hand_over(cutter.add, limit=limit)
        cutter.finish()
        return cutter

    def _hand_over(self, take: Take, *, limit: int | None) -> None:
        inputs = self._inputs
        if inputs.histories:
            columns = HistoryColumns(
                inputs.columns.history, inputs.columns.items, inputs.columns.item
            )
            with _columns_named(inputs.columns):
                read_histories(
                    inputs.histories,
                    columns,
                    layout=inputs.layout,
                    rejects=self._rejects,
                    take=take,
                )
        elif inputs.items:
            everything = self._recommender.items["item"].to_list()
            keys = everything if inputs.items == ALL else self._known_items("item", inputs.items)
            for key in keys[:limit]:
                take(key, [key])
        else:
            users = self._users()[:limit]
            for first in range(0, len(users), _AT_ONCE):
                some = users[first : first + _AT_ONCE]
                histories = self._recommender.histories(some).to_list()
                for key, history in zip(some, histories, strict=True):
                    take(key, history)

    def _users(self) -> list[str]:
        users, file = self._recommender.users, self._inputs.users
        if users.is_empty():
            raise ValueError(
                "an exported model knows no users; name histories=<file> of item keys, or items=all"
            )
        if file is None:
            return users.to_list()
        named = self._keys(file, self._inputs.columns.user)
        return self.unknown.known_in("user", named, KnownKeys(users))

    def _known_items(self, what: str, file: str) -> list[str]:
        named = self._keys(file, self._inputs.columns.item)
        return self.unknown.known_in(what, named, self._items)

    def _keys(self, file: str, column: str) -> list[str]:
        with _columns_named(self._inputs.columns):
            return read_keys(file, column, layout=self._inputs.layout, rejects=self._rejects)


@contextmanager
def _columns_named(columns: Columns) -> Iterator[None]:
    """Says of a column that is missing by which setting it is named.

    Raises:
        ValueError: one is.
    """
    try:
        yield
    except MissingColumnError as error:
        said = str(error).partition("; name its columns")[0]
        named = columns._asdict().items()
        setting = next((name for name, column in named if column == error.missing[0]), "item")
        raise ValueError(
            f"{said}; name it, such as columns.{setting}=<column>, or all of a file without a "
            "header: 'layout.columns=[...]'"
        ) from error
