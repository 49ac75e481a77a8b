"""Who is compared: how each is told the rows, and at which server."""

from __future__ import annotations

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from benchmarks.contestants import Request
from benchmarks.pushing.rows import PUSH_SOURCE, VIEW, user_id, values
from benchmarks.pushing.templates import SLOTS, Form

_PATH = f"/v1/push/{PUSH_SOURCE}"
_SLOT = SLOTS["text"].decode()
_ARROW_TYPES = {"Int64": pa.int64(), "Float64": pa.float64(), "String": pa.string(), "Bool": pa.bool_()}


class PushContestant(ABC):
    """A way to push rows over HTTP."""

    form: Form = "text"
    """How it writes an event timestamp."""
    reads_as = "freshet"
    """The contestant of the reads by which its rows are read back."""

    def __init__(self, name: str, label: str, server: str, connections: int | None = None) -> None:
        """`name` is for files and results, `label` for the tables; several ways may share a server. `connections` are
        other ones than the case's."""
        self.name = name
        self.label = label
        self.server = server
        self.connections = connections

    @abstractmethod
    def request(self, to: str, numbers: Sequence[int]) -> Request:
        """Push the rows of these users to `to`, with slots in place of the event timestamps."""

    def connections_of(self, wanted: int) -> int:
        """Over how many it pushes where a case wants so many."""
        return self.connections or wanted


class FreshetJson(PushContestant):
    """`freshet serve`: a JSON object."""

    def request(self, to: str, numbers: Sequence[int]) -> Request:
        return Request("POST", _PATH, orjson.dumps({"rows": _rows(numbers), "to": to}))


class FreshetNdjson(PushContestant):
    """`freshet serve`: a JSON object per line."""

    def request(self, to: str, numbers: Sequence[int]) -> Request:
        lines = b"\n".join(orjson.dumps(row) for row in _rows(numbers))
        return Request("POST", f"{_PATH}?to={to}", lines, "application/x-ndjson")


class FreshetArrow(PushContestant):
    """`freshet serve`: an Arrow IPC stream of one record batch."""

    form: Form = "int64"

    def request(self, to: str, numbers: Sequence[int]) -> Request:
        columns = _columns(numbers)
        (slot,) = pa.array([int.from_bytes(SLOTS["int64"], "little")], pa.int64()).to_pylist()
        arrays = {
            "user_id": pa.array(columns["user_id"], pa.string()),
            "event_timestamp": pa.array([slot] * len(numbers), pa.int64()).cast(pa.timestamp("us", "UTC")),
            **{name: pa.array(columns[name], _ARROW_TYPES[kind]) for name, kind in VIEW.fields.items()},
        }
        batch = pa.record_batch(arrays)
        body = io.BytesIO()
        with pa.ipc.new_stream(body, batch.schema) as stream:
            stream.write_batch(batch)
        return Request("POST", f"{_PATH}?to={to}", body.getvalue(), "application/vnd.apache.arrow.stream")


class FeastPush(PushContestant):
    """`feast serve`: its /push, whose rows come in columns."""

    reads_as = "feast"

    def request(self, to: str, numbers: Sequence[int]) -> Request:
        body = {"push_source_name": PUSH_SOURCE, "df": _columns(numbers), "to": to}
        return Request("POST", "/push", orjson.dumps(body))


def _rows(numbers: Sequence[int]) -> list[dict[str, Any]]:
    return [{"user_id": user_id(number), "event_timestamp": _SLOT, **values(number)} for number in numbers]


def _columns(numbers: Sequence[int]) -> dict[str, list[Any]]:
    rows = _rows(numbers)
    return {name: [row[name] for row in rows] for name in rows[0]}


ONE, TWO, FEAST = "freshet", "freshet-2", "feast"
"""The servers: `freshet serve` with one worker and with two, and `feast serve`."""

PUSH_CONTESTANTS = {
    one.name: one
    for one in (
        FreshetJson("freshet", "freshet, JSON", ONE),
        FreshetNdjson("freshet-ndjson", "freshet, NDJSON", ONE),
        FreshetArrow("freshet-arrow", "freshet, Arrow", ONE),
        FreshetJson("freshet-2", "freshet, JSON, 2 workers", TWO),
        FreshetNdjson("freshet-ndjson-2", "freshet, NDJSON, 2 workers", TWO),
        FreshetArrow("freshet-arrow-2", "freshet, Arrow, 2 workers", TWO),
        FeastPush("feast", "feast serve", FEAST),
        FeastPush("feast-1", "feast serve, 1 connection", FEAST, connections=1),
    )
}
