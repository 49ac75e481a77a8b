"""Values to draw: for every type of Feast 0.67 what a careless or a malicious producer might store."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

from feast.types import (
    Array,
    Bool,
    Bytes,
    Float32,
    Float64,
    ImageBytes,
    Int32,
    Int64,
    Json,
    Map,
    PdfBytes,
    ScalarMap,
    Set,
    String,
    Struct,
    TimeUuid,
    UnixTimestamp,
    Uuid,
    ZonedTimestamp,
)
from feast.types import Decimal as FeastDecimal
from hypothesis import strategies as st

Values = st.SearchStrategy[Any]

_BASES: dict[str, Any] = {
    "INT32": Int32,
    "INT64": Int64,
    "FLOAT": Float32,
    "DOUBLE": Float64,
    "BOOL": Bool,
    "STRING": String,
    "BYTES": Bytes,
    "UNIX_TIMESTAMP": UnixTimestamp,
    "UUID": Uuid,
    "TIME_UUID": TimeUuid,
    "DECIMAL": FeastDecimal,
}
FEAST_TYPES: dict[str, Any] = {
    **_BASES,
    **{f"{name}_LIST": Array(base) for name, base in _BASES.items()},
    **{f"{name}_SET": Set(base) for name, base in _BASES.items()},
    "PDF_BYTES": PdfBytes,
    "IMAGE_BYTES": ImageBytes,
    "ZONED_TIMESTAMP": ZonedTimestamp,
    "MAP": Map,
    "MAP_LIST": Array(Map),
    "SCALAR_MAP": ScalarMap,
    "JSON": Json,
    "JSON_LIST": Array(Json),
    "STRUCT": Struct({"a": Int64, "b": String}),
    "STRUCT_LIST": Array(Struct({"a": Int64, "b": String})),
    "VALUE_LIST": Array(Array(Int64)),
    "VALUE_SET": Set(Array(String)),
}
"""Every type that a feature may have, by the name of its ValueType."""

KEY_TYPES = ("STRING", "INT32", "INT64", "BYTES", "UNIX_TIMESTAMP")
"""Every type that Feast can serialize in an entity key."""

_NOT_FINITE = [math.nan, math.inf, -math.inf]
_float32 = st.floats(width=32) | st.sampled_from([0.1, -0.0, 3.4028234663852886e38, 1e-45, *_NOT_FINITE])
_float64 = st.floats() | st.sampled_from([0.1, -0.0, 5e-324, 1.7976931348623157e308, 1e22, 2.0**53 + 2, *_NOT_FINITE])
_int32 = st.integers(-(2**31), 2**31 - 1) | st.sampled_from([0, -1, 2**31 - 1, -(2**31)])
_int64 = st.integers(-(2**63), 2**63 - 1) | st.sampled_from([0, -1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
_text = st.text(max_size=6) | st.sampled_from(["", "ü", "日本", "🙂", '"\\/', "\x00", "\u2028</script>", "null", "0"])
_bytes = st.binary(max_size=6) | st.sampled_from([b"", b"\x00", b"\xff\xfe", b"text"])
_moment = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)) | st.sampled_from(  # noqa: DTZ001
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 500_000, UTC),
        datetime(2038, 1, 19, tzinfo=UTC),
    ]
)
_zone = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
_zoned = st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1), timezones=_zone)  # noqa: DTZ001
_uuid = st.uuids()
_decimal = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from([Decimal("0"), Decimal("-0.00")])

_json_scalar = st.none() | st.booleans() | _int64 | st.floats() | _text
_json_value = st.recursive(
    _json_scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_text, inner, max_size=3), max_leaves=5
)
# Feast keeps the text as it comes: escaped or not, with NaN, which Python writes, and with JSON's own null.
_json = st.builds(json.dumps, _json_value, ensure_ascii=st.booleans()) | st.just("null")
# Feast infers the types inside a map, one for each list, and none for an empty one. It takes no bytes for a list.
_inferred = st.booleans() | _int64 | st.floats() | _text | st.lists(_int64, min_size=1, max_size=3)
_map = st.recursive(
    st.dictionaries(_text, st.none() | _inferred, max_size=3),
    lambda inner: st.dictionaries(_text, inner | st.lists(inner, min_size=1, max_size=2), max_size=2),
    max_leaves=3,
)
_struct = st.fixed_dictionaries({"a": st.none() | _int64, "b": st.none() | _text})

_SCALARS: dict[str, Values] = {
    "INT32": _int32,
    "INT64": _int64,
    "FLOAT": _float32,
    "DOUBLE": _float64,
    "BOOL": st.booleans(),
    "STRING": _text,
    "BYTES": _bytes,
    "UNIX_TIMESTAMP": _moment,
    "UUID": _uuid,
    "TIME_UUID": _uuid,
    "DECIMAL": _decimal,
}
_OTHERS: dict[str, Values] = {
    "PDF_BYTES": _bytes,
    "IMAGE_BYTES": _bytes,
    "ZONED_TIMESTAMP": _zoned,
    "MAP": _map,
    "MAP_LIST": st.lists(_map, max_size=2),
    "SCALAR_MAP": st.dictionaries(_int64 | _uuid | _decimal, st.none() | _inferred, max_size=3),
    "JSON": _json,
    "JSON_LIST": st.lists(_json, max_size=3),
    "STRUCT": _struct,
    "STRUCT_LIST": st.lists(_struct, max_size=2),
    "VALUE_LIST": st.lists(st.none() | st.lists(_int64, max_size=3), max_size=3),
    "VALUE_SET": st.lists(st.none() | st.lists(_text, min_size=1, max_size=3), max_size=3),
}


def of_type(dtype: str) -> Values:
    """Values of a feature type, null among them."""
    base, _, collection = dtype.rpartition("_")
    if base in _SCALARS and collection == "LIST":
        # Feast writes a null inside a list as zero, as an empty text or as no time.
        found: Values = st.lists(st.none() | _SCALARS[base], max_size=4)
    elif base in _SCALARS and collection == "SET":
        found = st.lists(_SCALARS[base], max_size=4, unique_by=repr)
    elif dtype == "UNIX_TIMESTAMP":
        found = _moment | st.just(-(2**63))  # what Feast writes for NaT
    else:
        found = _SCALARS[dtype] if dtype in _SCALARS else _OTHERS[dtype]
    return st.sampled_from([st.none(), found, found, found, found]).flatmap(lambda chosen: chosen)


def of_key(dtype: str) -> Values:
    """Values of a join key: what Freshet takes for one (differences.NOT_DRAWN says what it does not)."""
    if dtype == "STRING":
        return _text.filter(lambda text: text != "" and "\x00" not in text)
    if dtype == "BYTES":
        return _bytes.filter(bool)
    if dtype == "UNIX_TIMESTAMP":
        return st.datetimes(datetime(1801, 1, 1), datetime(8999, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    return _SCALARS[dtype]


def is_finite(value: Any) -> bool:
    """Whether a value is no NaN and no infinity."""
    return not isinstance(value, float) or math.isfinite(value)
