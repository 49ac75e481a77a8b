"""Freshet's answer against Feast's: equal, but for what differences.py lists. Raises AssertionError with the place."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from feast.protos.feast.types.Value_pb2 import Value as ValueProto

from tests.differential import differences as allowed
from tests.differential.differences import Difference
from tests.differential.stock import Answer

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TIME = -(2**63)
_TEXTS = {"string_val", "uuid_val", "time_uuid_val", "decimal_val"}


@dataclass(frozen=True)
class Cell:
    """One value of Freshet's answer, and what is known of it. `written` tells whether the row was ever written."""

    value: Any
    status: str
    event: str | None
    store: str
    written: bool
    feature_written: bool
    ttl: timedelta | None
    serve_stale: bool


@dataclass
class Comparison:
    """Compares, and counts what it has seen: statuses, types, differences."""

    seen: Counter[str] = field(default_factory=Counter)

    def cell(self, ours: Cell, feast: Answer, now: datetime) -> None:
        """One value, its status and its event timestamp."""
        if not ours.written:
            self._allow(allowed.MISSING_ROW)
            assert (feast.value.WhichOneof("val"), feast.event) == (None, _EPOCH)
            assert feast.status == ("PRESENT" if ours.store == "redis" else "NOT_FOUND")
            assert (ours.status, ours.value, ours.event) == ("NOT_FOUND", None, None)
            return
        assert ours.event is not None
        assert ours.event.endswith("Z")
        assert datetime.fromisoformat(ours.event) == feast.event
        known = feast.status == "PRESENT"
        if not ours.feature_written:
            assert feast.value.WhichOneof("val") is None
            assert known == (ours.store == "redis")
        else:
            assert known, feast.status
        status = self._status(ours, feast, now)
        self.seen[status] += 1
        assert ours.status == status
        if status == "PRESENT" or (status == "OUTSIDE_MAX_AGE" and ours.serve_stale):
            self._value(ours.value, feast.value, ())
        else:
            assert ours.value is None

    def _status(self, ours: Cell, feast: Answer, now: datetime) -> str:
        if feast.event > now:
            self._allow(allowed.FUTURE_ROW)
            return "NOT_FOUND"
        if ours.ttl is not None and now - feast.event > ours.ttl:
            self._allow(allowed.OUTSIDE_TTL)
            return "OUTSIDE_MAX_AGE"
        if not ours.feature_written:
            self._allow(allowed.NEVER_WRITTEN)
            return "NULL_VALUE"
        if feast.value.WhichOneof("val") is None:
            self._allow(allowed.NULL_VALUE)
            return "NULL_VALUE"
        if feast.value.unix_timestamp_val == _NO_TIME:
            self._allow(allowed.NO_TIME)
            return "NULL_VALUE"
        if not math.isfinite(feast.value.double_val) or not math.isfinite(feast.value.float_val):
            self._allow(allowed.NOT_FINITE)
            return "NULL_VALUE"
        if feast.value.json_val == "null":
            self._allow(allowed.JSON_NULL)
            return "NULL_VALUE"
        return "PRESENT"

    def _allow(self, difference: Difference) -> None:
        self.seen[difference.name] += 1

    def order(self, ours: Sequence[str], feast: Sequence[str]) -> None:
        """The features of both answers: the same ones, in whatever order Feast has them."""
        assert sorted(ours) == sorted(feast)
        if list(ours) != list(feast):
            self._allow(allowed.FEATURE_ORDER)

    def _value(self, ours: Any, proto: ValueProto, path: tuple[Any, ...]) -> None:
        """Our JSON, read as the type that Feast's message has, is what the message holds."""
        which = proto.WhichOneof("val")
        self.seen[which or "null"] += 1
        if which is None:
            assert ours is None, path
            return
        held = getattr(proto, which)
        if which.endswith("_set_val"):
            self._set(ours, held.val, which.removesuffix("_set_val"), path)
        elif which in ("map_val", "struct_val"):
            self._map(ours, dict(held.val), path)
        elif which == "scalar_map_val":
            self._allow(allowed.TEXT_KEYS)
            self._map(ours, {_key_text(entry.key): entry.value for entry in held.val}, path)
        elif which in ("map_list_val", "struct_list_val"):
            self._each(ours, [ValueProto(map_val=entry) for entry in held.val], path)
        elif which in ("list_val", "set_val"):
            self._each(ours, list(held.val), path)
        elif which.endswith("_list_val"):
            kind = which.removesuffix("_list_val")
            self._each(ours, [ValueProto(**{f"{kind}_val": entry}) for entry in held.val], path)
        else:
            self._scalar(ours, held, which, path)

    def _each(self, ours: Any, held: list[ValueProto], path: tuple[Any, ...]) -> None:
        assert isinstance(ours, list), path
        assert len(ours) == len(held), path
        for position, (mine, theirs) in enumerate(zip(ours, held, strict=True)):
            self._value(mine, theirs, (*path, position))

    def _map(self, ours: Any, held: dict[str, ValueProto], path: tuple[Any, ...]) -> None:
        assert isinstance(ours, dict), path
        assert ours.keys() == held.keys(), path
        for key, value in held.items():
            self._value(ours[key], value, (*path, key))

    def _set(self, ours: Any, held: Sequence[Any], kind: str, path: tuple[Any, ...]) -> None:
        """Every element of either has its equal in the other, and ours are all different."""
        self._allow(allowed.SETS_UNORDERED)
        assert isinstance(ours, list), path
        finite = [json.dumps(entry) for entry in ours if entry is not None]
        assert len(set(finite)) == len(finite), path
        candidates = [ValueProto(**{f"{kind}_val": entry}) for entry in held]
        for mine in ours:
            assert any(self._equal(mine, theirs) for theirs in candidates), (*path, mine)
        for theirs in candidates:
            assert any(self._equal(mine, theirs) for mine in ours), (*path, theirs)

    def _equal(self, ours: Any, proto: ValueProto) -> bool:
        try:
            self._value(ours, proto, ())
        except AssertionError:
            return False
        return True

    def _scalar(self, ours: Any, held: Any, which: str, path: tuple[Any, ...]) -> None:
        if which in ("float_val", "double_val"):
            self._number(ours, held, which, path)
        elif which == "bytes_val":
            assert base64.b64decode(ours, validate=True) == held, path
        elif which == "unix_timestamp_val":
            if held == _NO_TIME:
                self._allow(allowed.NO_TIME)
            assert (_NO_TIME if ours is None else _seconds(ours)) == held, path
        elif which == "zoned_timestamp_val":
            self._allow(allowed.ZONE_DROPPED)
            assert _seconds(ours) == held.unix_timestamp, path
        elif which in ("uuid_val", "time_uuid_val", "decimal_val") and held == "":
            self._allow(allowed.NULL_ELEMENT)
            assert ours is None, path
        elif which == "json_val":
            assert _exact(ours) == _exact(self._finite(json.loads(held))), path
        else:
            # Texts, integers and booleans: JSON has them, and true is no 1.
            assert which in (*_TEXTS, "int32_val", "int64_val", "bool_val"), which
            assert (type(ours), ours) == (type(held), held), path

    def _finite(self, value: Any) -> Any:
        """A JSON value as JSON proper can say it; Python's json reads NaN and Infinity, too."""
        if isinstance(value, list):
            return [self._finite(entry) for entry in value]
        if isinstance(value, dict):
            return {key: self._finite(entry) for key, entry in value.items()}
        if isinstance(value, float) and not math.isfinite(value):
            self._allow(allowed.NOT_FINITE)
            return None
        return value

    def _number(self, ours: Any, held: float, which: str, path: tuple[Any, ...]) -> None:
        if not math.isfinite(held):
            self._allow(allowed.NOT_FINITE)
            assert ours is None, path
            return
        assert isinstance(ours, float), path  # with a point or an exponent: clients infer the type from it
        if which == "float_val":
            self._allow(allowed.WIDENED_FLOAT)
            assert struct.pack("<f", ours) == struct.pack("<f", held), path
        else:
            assert struct.pack("<d", ours) == struct.pack("<d", held), path


def _key_text(key: Any) -> str:
    """The key of a scalar map as a member's name: values.py draws none but integers, UUIDs and decimals."""
    which = key.WhichOneof("key")
    assert which in ("int64_key", "uuid_key", "decimal_key"), which
    return str(getattr(key, which))


def _seconds(text: str) -> int:
    assert text.endswith("Z")
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(seconds=1)


def _exact(value: Any) -> str:
    """A text that tells 1 from 1.0 and from true; the order of an object's members does not count."""
    return json.dumps(value, sort_keys=True)
