"""Rows as an online store keeps them, in columns of bytes: what every way of writing makes, and our stores take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from feast.infra.key_encoding_utils import serialize_entity_key

from app.domain import ViewSpec, to_microseconds
from app.pushing.batch import RowBatch
from app.stores.cell_columns import Cells, ListedCells
from app.stores.encoders import compile_encoder
from app.stores.keys import compile_keys
from app.stores.protos import FeastRow


@dataclass(frozen=True, slots=True)
class EncodedRows:
    """Rows of one view, with one entry per row in `keys`, `event`, `created`, and each of `cells`.

    `keys` are Feast's serialized entity keys, `cells` the serialized Values of each of `features` (empty for null),
    `event` and `created` microseconds since 1970, a created one None where nobody knows it.
    """

    keys: Sequence[bytes]
    features: tuple[str, ...]
    cells: Sequence[Cells]
    event: Sequence[int]
    created: Sequence[int | None]

    def __len__(self) -> int:
        return len(self.keys)


class RowEncoder:
    """Encodes the rows of one view; compiled once per view, used for every batch."""

    def __init__(self, view: ViewSpec, key_version: int) -> None:
        """`key_version` is the repo's entity_key_serialization_version. Raises NotServableError for a join key of a
        type that Feast cannot serialize."""
        self.view = view
        self._encode_keys = compile_keys(view.join_keys, [field.name for field in view.join_keys], key_version)
        self._features = tuple(field.name for field in view.features)
        self._encoders = [compile_encoder(field) for field in view.features]

    def encode(self, batch: RowBatch) -> EncodedRows:
        """The view's columns of a batch. Raises InvalidRequestError for a nested value that Feast has no form for."""
        cells = [encode(batch.columns[name]) for name, encode in zip(self._features, self._encoders, strict=True)]
        return EncodedRows(
            self._encode_keys(batch.columns, len(batch)), self._features, cells, batch.event, batch.created
        )


def from_feast(rows: Sequence[FeastRow], key_version: int) -> Iterator[EncodedRows]:
    """What Feast's own code writes: messages, which need not all have the same features. In order."""
    for features, group in groupby(rows, lambda row: tuple(row[1])):
        alike = list(group)
        yield EncodedRows(
            [bytes(serialize_entity_key(row[0], entity_key_serialization_version=key_version)) for row in alike],
            features,
            [ListedCells(row[1][name].SerializeToString() for row in alike) for name in features],
            [to_microseconds(row[2]) for row in alike],
            [None if row[3] is None else to_microseconds(row[3]) for row in alike],
        )
