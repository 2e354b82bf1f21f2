"""The rows of a catalogue in Milvus: a file of Milvus Lite, or a server or cluster by address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from missrec.files import digest
from missrec.retrieval.rows import CatalogueRows, means_are_near
from missrec.retrieval.search import NO_ITEM
from missrec.retrieval.table import ItemTable

if TYPE_CHECKING:
    from pymilvus import MilvusClient

_EXACT = "FLAT"
_MOST_ROWS = 16_384
"""Milvus answers with no more."""
_ITEMS_PER_INSERT = 1_024
_TIMEOUT_SEC = 30.0
_SEARCH_SEC = 10.0


class MilvusIndex:
    """A collection whose rows are those of `CatalogueRows`.

    `FLAT` is exact. Of a cluster other types of index may be asked for, such as `HNSW`.
    """

    most_rows = _MOST_ROWS

    def __init__(
        self, client: MilvusClient, rows: CatalogueRows, *, collection: str, is_exact: bool
    ) -> None:
        """Keeps a filled collection, see `open`.

        Args:
            client: connected.
            rows: that it holds.
            collection: its name.
            is_exact: whether its index is.
        """
        self._client = client
        self._rows = rows
        self._collection = collection
        self.is_exact = is_exact

    @classmethod
    def open(
        cls,
        table: ItemTable,
        *,
        uri: str,
        prefix: str = "missrec",
        token: str = "",
        index_type: str = _EXACT,
        index_params: dict[str, Any] | None = None,
    ) -> MilvusIndex:
        """The collection of a catalogue; filled if it is not there, or was left half filled.

        Its name is the prefix with a digest of the rows and of the index, so that other vectors
        are another collection: what serves now stays while the next one is filled.

        Args:
            table: the catalogue.
            uri: a path that ends in `.db` for Milvus Lite, otherwise an address such as
                `http://milvus:19530`.
            prefix: of the collection's name.
            token: `user:password` or a key, where the server asks for one.
            index_type: in Milvus's words.
            index_params: of the index, in Milvus's words.

        Raises:
            ConnectionError: nothing answers at the address, or another process has the file.
            ValueError: Milvus refuses the collection or its index.
        """
        from pymilvus import MilvusClient, MilvusException

        means = index_type != _EXACT and means_are_near(table)
        rows = CatalogueRows(table, means=means)
        index = {"index_type": index_type, "params": index_params or {}}
        collection = f"{prefix}_{digest([rows.signature, index])[:16]}"
        try:
            client = MilvusClient(uri, token=token, timeout=_TIMEOUT_SEC)
        except MilvusException as error:
            why = "; one process at a time opens a file" if uri.endswith(".db") else ""
            raise ConnectionError(f"no Milvus answers at {uri} ({error.message}{why})") from error
        try:
            is_there = client.has_collection(collection)
            if is_there and _num_rows(client, collection) != len(rows):
                client.drop_collection(collection)
            if not client.has_collection(collection):
                _create(client, collection, width=rows.width, index=index)
                _fill(client, collection, rows)
            client.load_collection(collection)
        except MilvusException as error:
            raise ValueError(f"Milvus at {uri} refuses {collection}: {error.message}") from error
        return cls(
            client, rows, collection=collection, is_exact=index_type == _EXACT and rows.are_bounds
        )

    def close(self) -> None:
        """Ends the connection; a file of Milvus Lite can then be opened by another process."""
        self._client.close()

    def nearest(self, encoded: Tensor, *, count: int) -> tuple[Tensor, Tensor]:
        """See `RowIndex`.

        Raises:
            ConnectionError: Milvus does not answer any more, or refuses.
        """
        from pymilvus import MilvusException

        queries = self._rows.queries(encoded)
        try:
            found = self._client.search(
                self._collection,
                data=list(queries.cpu().numpy()),
                anns_field="vector",
                limit=count,
                output_fields=["place"],
                timeout=_SEARCH_SEC,  # without one it is tried again for minutes
            )
        except MilvusException as error:
            raise ConnectionError(f"no Milvus answers any more ({error.message})") from error
        products = torch.full((len(queries), count), -torch.inf)
        places = torch.full((len(queries), count), NO_ITEM)
        for user, hits in enumerate(found):
            products[user, : len(hits)] = torch.tensor([hit["distance"] for hit in hits])
            places[user, : len(hits)] = torch.tensor([hit["entity"]["place"] for hit in hits])
        return products.to(encoded.device), places.to(encoded.device)


def _num_rows(client: MilvusClient, name: str) -> int:
    return int(client.get_collection_stats(name)["row_count"])


def _create(client: MilvusClient, name: str, *, width: int, index: dict[str, Any]) -> None:
    from pymilvus import DataType

    schema = client.create_schema(auto_id=False)
    schema.add_field("row", DataType.INT64, is_primary=True)
    schema.add_field("place", DataType.INT64)
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
    params = client.prepare_index_params()
    params.add_index("vector", metric_type="IP", **index)
    client.create_collection(name, schema=schema, index_params=params, consistency_level="Strong")


def _fill(client: MilvusClient, name: str, rows: CatalogueRows) -> None:
    first = 0
    for block in rows.blocks(items_per_block=_ITEMS_PER_INSERT):
        vectors, places = block.vectors.cpu().numpy(), block.places.tolist()
        client.insert(
            name,
            [
                {"row": first + row, "place": place, "vector": vector}
                for row, (place, vector) in enumerate(zip(places, vectors, strict=True))
            ],
        )
        first += len(places)
    client.flush(name)  # a server searches rows that are not sealed yet approximately
