"""Pushes: rows as a request's body, and what became of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias

from app.client.call import JSON, json_body
from app.client.tables import columns_of, is_frame, is_table
from app.client.values import json_value, moment, timestamp
from app.domain import PushOutcome, PushTarget

if TYPE_CHECKING:
    import pandas
    import pyarrow

Rows: TypeAlias = "Sequence[Mapping[str, Any]] | pandas.DataFrame | pyarrow.Table"
"""What can be pushed."""

ARROW_STREAM = "application/vnd.apache.arrow.stream"
Encoding = Literal["json", "arrow"]


@dataclass(frozen=True)
class RowOutcome:
    """What became of the row at position `row` of the push, and why where that needs saying."""

    row: int
    outcome: PushOutcome
    reason: str | None = None


@dataclass(frozen=True)
class PushAnswer:
    """What became of a push: counts, and one outcome per row in the order of the rows.

    `idempotency_key` is the one that was sent, or None: another push of the same rows with it changes nothing.
    `watermark`, where one was sent: up to where the source is complete now, aware, in UTC.
    """

    received: int
    applied: int
    late: int
    duplicate: int
    rejected: int
    outcomes: Sequence[RowOutcome]
    idempotency_key: str | None = None
    watermark: datetime | None = None

    @property
    def rejections(self) -> list[RowOutcome]:
        """The rows that were not written, with their reasons."""
        return [outcome for outcome in self.outcomes if outcome.outcome is PushOutcome.REJECTED]

    @classmethod
    def read(cls, body: Any, idempotency_key: str | None) -> Self:
        """From a decoded answer."""
        return cls(
            received=body["received"],
            applied=body["applied"],
            late=body["late"],
            duplicate=body["duplicate"],
            rejected=body["rejected"],
            outcomes=tuple(
                RowOutcome(entry["row"], PushOutcome(entry["outcome"]), entry.get("reason"))
                for entry in body["outcomes"]
            ),
            idempotency_key=idempotency_key,
            watermark=moment(body.get("watermark")),
        )


@dataclass(frozen=True)
class PushBody:
    """A push as bytes. What JSON says beside its rows, an Arrow stream says in the query string."""

    content: bytes
    content_type: str
    query: Sequence[tuple[str, str]]


def push_body(
    rows: Rows, to: PushTarget, watermark: datetime | str | None, atomic: bool, encoding: Encoding | None
) -> PushBody:
    """The body of a push. `encoding` None: an Arrow stream for a Table, JSON for all else.

    Raises ValueError and TypeError, which name row and column, for what cannot be sent.
    """
    options = {"to": to.value}
    if watermark is not None:
        # What a text says is the server's to judge.
        options["watermark"] = watermark if isinstance(watermark, str) else timestamp(watermark)
    all_or_nothing = [("atomic", "true")] if atomic else []
    if encoding == "arrow" or (encoding is None and is_table(rows)):
        return PushBody(_arrow_stream(rows), ARROW_STREAM, [*options.items(), *all_or_nothing])
    return PushBody(json_body({"rows": _json_rows(rows), **options}), JSON, all_or_nothing)


def _json_rows(rows: Rows) -> list[dict[str, Any]]:
    if is_frame(rows) or is_table(rows):
        columns = columns_of(rows)
        values = zip(*columns.values(), strict=True)
        return [_json_row(dict(zip(columns, row, strict=True)), place) for place, row in enumerate(values)]
    if isinstance(rows, Mapping | str | bytes):
        raise TypeError(f"rows must be a list of mappings, a DataFrame or a Table, not {type(rows).__name__}")
    return [_json_row(row, place) for place, row in enumerate(rows)]


def _json_row(row: Mapping[str, Any], place: int) -> dict[str, Any]:
    if not isinstance(row, Mapping):
        raise TypeError(f"rows[{place}]: a row must be a mapping, not {type(row).__name__}")
    converted: dict[str, Any] = json_value(row, f"rows[{place}]")
    return converted


def _arrow_stream(rows: Rows) -> bytes:
    import pyarrow

    if is_frame(rows):
        rows = pyarrow.Table.from_pandas(rows, preserve_index=False)
    if not is_table(rows):
        raise TypeError(f"{type(rows).__name__} has no Arrow form of its own; push a DataFrame or a Table")
    # What pandas notes about itself there would make other bytes, and so another push, of the same rows.
    table = rows.replace_schema_metadata(None)
    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    content: bytes = sink.getvalue().to_pybytes()
    return content
