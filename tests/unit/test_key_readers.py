"""Entity keys, from the bytes that they are stored under."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from feast.infra.key_encoding_utils import deserialize_entity_key, serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey as EntityKeyProto
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from app.domain import EntityKey, FieldSpec
from app.errors import NotServableError
from app.stores.key_readers import KeyReader
from app.stores.keys import compile_keys
from app.stores.protos import encode_key

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "STRING": st.text(),
    "BYTES": st.binary(),
    "INT32": st.integers(-(2**31), 2**31 - 1),
    "INT64": st.integers(-(2**63), 2**63 - 1),
    "UNIX_TIMESTAMP": st.integers(-(10**10), 10**11).map(lambda seconds: _EPOCH + timedelta(seconds=seconds)),
}

fields = st.lists(st.tuples(st.text(min_size=1), st.sampled_from(sorted(VALUES))), max_size=4, unique_by=lambda f: f[0])


@given(fields=fields, data=st.data(), ending=st.sampled_from([b"", b"lab", "ü".encode()]))
def test_a_key_of_every_type_comes_back(fields: list[tuple[str, str]], data: st.DataObject, ending: bytes) -> None:
    join_keys = tuple(FieldSpec(name, dtype) for name, dtype in fields)
    values = tuple(data.draw(VALUES[dtype]) for _, dtype in fields)
    names = [name for name, _ in fields]
    (key,) = compile_keys(join_keys, names, 3)({name: [value] for name, value in zip(names, values, strict=True)}, 1)
    reader = KeyReader(join_keys, 3, ending)
    assert reader.read(key + ending) == EntityKey(tuple(names), values)
    assert key.startswith(reader.prefix) or reader.only == key + ending
    assert reader.parts(b"my" + key + ending) is None
    assert reader.parts(key + b"my" + ending) is None
    assert reader.parts(key + ending + b"-") is None
    if ending:
        assert reader.parts(key) is None


@given(key=st.binary(max_size=60))
def test_other_bytes_are_no_key(key: bytes) -> None:
    reader = KeyReader((FieldSpec("b", "INT64"), FieldSpec("a", "STRING")), 3, b"lab")
    assert reader.read(key) is None
    assert reader.read(reader.prefix + key) is None or key.endswith(b"lab")


@given(cut=st.integers(1, 40))
def test_a_key_that_is_cut_off_is_none(cut: int) -> None:
    reader = KeyReader((FieldSpec("a", "BYTES"), FieldSpec("b", "BYTES")), 3)
    (key,) = compile_keys((FieldSpec("a", "BYTES"), FieldSpec("b", "BYTES")), ["a", "b"], 3)(
        {"a": [b"xxx"], "b": [b"yyy"]}, 1
    )
    assert reader.parts(key[:-cut]) is None


def test_a_key_of_another_type_is_none() -> None:
    """As it is left where the type of an entity was changed: nobody who reads the view can ask for it."""
    (key,) = compile_keys((FieldSpec("a", "INT32"),), ["a"], 3)({"a": [1]}, 1)
    assert KeyReader((FieldSpec("a", "INT32"),), 3).read(key) == EntityKey(("a",), (1,))
    assert KeyReader((FieldSpec("a", "INT64"),), 3).read(key) is None


def test_values_that_python_cannot_say_are_none() -> None:
    far = EntityKeyProto(join_keys=["a"], entity_values=[Value(unix_timestamp_val=2**62)])
    assert KeyReader((FieldSpec("a", "UNIX_TIMESTAMP"),), 3).read(serialize_entity_key(far)) is None
    head = KeyReader((FieldSpec("a", "STRING"),), 3).prefix
    assert KeyReader((FieldSpec("a", "STRING"),), 3).read(head + b"\x02\0\0\0\x01\0\0\0\xff") is None


def test_feasts_own_function_agrees() -> None:
    key = EntityKey(("b", "a"), (7, "x"))
    serialized = serialize_entity_key(encode_key(key, ["INT64", "STRING"]))
    proto = deserialize_entity_key(serialized)
    assert list(proto.join_keys) == ["a", "b"]
    assert [proto.entity_values[0].string_val, proto.entity_values[1].int64_val] == ["x", 7]
    assert KeyReader((FieldSpec("b", "INT64"), FieldSpec("a", "STRING")), 3).read(serialized) == key


def test_a_type_that_is_no_key_is_refused() -> None:
    with pytest.raises(NotServableError, match="DOUBLE"):
        KeyReader((FieldSpec("a", "DOUBLE"),), 3)
