"""Who is compared: how each is asked for the features of a service, and how its answer is read."""

from __future__ import annotations

import struct
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import hiredis
import orjson

from benchmarks.dataset import Service, Value
from benchmarks.repo import PROJECT, entity_key

_PLACEHOLDER = "?0000000"


@dataclass(frozen=True)
class Request:
    """One HTTP request; the body is empty for a GET."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = "application/json"


class Contestant(ABC):
    """A way to read features over HTTP."""

    name: str
    """In tables, files and on the command line."""
    server: str
    """The server that it asks: two ways may share one."""

    @abstractmethod
    def request(self, service: Service, ids: Sequence[str]) -> Request:
        """Ask for every feature of the service for these entities."""

    @abstractmethod
    def values(self, service: Service, answer: bytes) -> list[list[Value]]:
        """Per entity the values in the service's order, as the dataset expects them."""


class FreshetPost(Contestant):
    """`freshet serve`, POST /v1/online-features."""

    name = "freshet"
    server = "freshet"

    def request(self, service: Service, ids: Sequence[str]) -> Request:
        body = {"feature_service": service.name, "entities": {service.entity: list(ids)}}
        return Request("POST", "/v1/online-features", orjson.dumps(body))

    def values(self, service: Service, answer: bytes) -> list[list[Value]]:
        document = orjson.loads(answer)
        asked = [f"{view.name}:{feature}" for view, feature in service.features]
        if document["features"] != asked:
            raise ValueError(f"features are {document['features']}, not {asked}")
        return [_typed(service, row) for row in document["values"]]


class FreshetGet(Contestant):
    """`freshet serve`, GET /v1/online-features/{service}: one entity."""

    name = "freshet-get"
    server = "freshet"

    def request(self, service: Service, ids: Sequence[str]) -> Request:
        (entity,) = ids
        return Request("GET", f"/v1/online-features/{service.name}?{urlencode({service.entity: entity})}")

    def values(self, service: Service, answer: bytes) -> list[list[Value]]:
        features = orjson.loads(answer)["features"]
        return [_typed(service, [features[feature] for _, feature in service.features])]


class FeastServe(Contestant):
    """`feast serve`, POST /get-online-features."""

    name = "feast"
    server = "feast"

    def request(self, service: Service, ids: Sequence[str]) -> Request:
        body = {"feature_service": service.name, "entities": {service.entity: list(ids)}}
        return Request("POST", "/get-online-features", orjson.dumps(body))

    def values(self, service: Service, answer: bytes) -> list[list[Value]]:
        document = orjson.loads(answer)
        # Feast's order of features follows the hash seed of its process.
        names = document["metadata"]["feature_names"]
        columns = {name: result["values"] for name, result in zip(names, document["results"], strict=True)}
        rows = zip(*(columns[feature] for _, feature in service.features), strict=True)
        return [_typed(service, list(row)) for row in rows]


class Relay(Contestant):
    """benchmarks/relay.py: raw replies of Redis, the limit in Python."""

    name = "relay"
    server = "relay"

    def request(self, service: Service, ids: Sequence[str]) -> Request:
        # The very body that Freshet gets, on a path that names the plan.
        return Request("POST", f"/{service.name}", FreshetPost().request(service, ids).body)

    def values(self, service: Service, answer: bytes) -> list[list[Value]]:
        from feast.protos.feast.types.Value_pb2 import Value as ValueProto

        reader = hiredis.Reader()
        reader.feed(answer)
        rows: list[list[Value]] = []
        while (reply := reader.gets()) is not False:
            cells: list[Value] = []
            for raw in _without_timestamps(service, self.cells(service, reply)):
                message = ValueProto.FromString(raw or b"")
                which = message.WhichOneof("val")
                cells.append(getattr(message, which) if which else None)
            rows.append(_typed(service, cells))
        return rows

    def cells(self, service: Service, reply: list[bytes | None]) -> list[bytes | None]:
        """What one reply says of each field of `hash_fields`."""
        return reply


class RelayAll(Relay):
    """The same with one HGETALL per entity: in a hash of Redis's compact encoding each HMGET field is searched for."""

    name = "relay-all"

    def request(self, service: Service, ids: Sequence[str]) -> Request:
        asked = super().request(service, ids)
        return Request(asked.method, f"{asked.path}/all", asked.body)

    def cells(self, service: Service, reply: list[bytes | None]) -> list[bytes | None]:
        found = dict(zip(reply[::2], reply[1::2], strict=True))
        return [found.get(field) for field in hash_fields(service)]


CONTESTANTS: dict[str, Contestant] = {
    one.name: one for one in (FreshetPost(), FreshetGet(), FeastServe(), Relay(), RelayAll())
}


def hash_fields(service: Service) -> list[bytes]:
    """The fields of an entity's hash that the features need, as Feast names them: per view its values and `_ts:`."""
    from feast.infra.online_stores.helpers import _mmh3

    fields: list[bytes] = []
    for view in service.views:
        fields += [_mmh3(f"{view.name}:{feature}") for feature in view.fields]
        fields.append(f"_ts:{view.name}".encode())
    return fields


def relay_plans(services: Sequence[Service]) -> dict[str, dict[str, str]]:
    """What relay.py needs, per path: one command per entity over all views, key and fields as Feast makes them."""
    from feast.infra.online_stores.helpers import _redis_key

    plans = {}
    for service in services:
        key: bytes = _redis_key(PROJECT, entity_key(service, _PLACEHOLDER), entity_key_serialization_version=3)
        ids = f'"({service.entity[0]}[0-9]{{{len(_PLACEHOLDER) - 1}}})"'
        for path, words in (("", [b"HMGET", key, *hash_fields(service)]), ("/all", [b"HGETALL", key])):
            before, _, after = _command(words).partition(_PLACEHOLDER.encode())
            plans[f"/{service.name}{path}"] = {"before": before.hex(), "after": after.hex(), "ids": ids}
    return plans


def _command(words: Sequence[bytes]) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _without_timestamps(service: Service, reply: list[bytes | None]) -> list[bytes | None]:
    cells: list[bytes | None] = []
    start = 0
    for view in service.views:
        cells += reply[start : start + len(view.fields)]
        start += len(view.fields) + 1
    return cells


def _typed(service: Service, row: Sequence[Any]) -> list[Value]:
    return [_cell(view.fields[name], cell) for (view, name), cell in zip(service.features, row, strict=True)]


def _cell(kind: str, cell: Any) -> Value:
    """JSON knows no timestamps and no float32; where a server rounds to 7 digits, it is still the same number."""
    if cell is None:
        return None
    if kind == "UnixTimestamp":
        return datetime.fromtimestamp(cell, UTC) if isinstance(cell, int) else datetime.fromisoformat(cell)
    if kind == "Float32":
        (single,) = struct.unpack("f", struct.pack("f", cell))
        return float(single)
    value: Value = float(cell) if kind == "Float64" else cell
    return value
