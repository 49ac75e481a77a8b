"""The checksum of a spine: the same for the same values in any batches and layouts, another for any other value."""

from __future__ import annotations

import itertools
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from app.exports.spine_digest import SpineDigest

TYPES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.text(max_size=3),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.int8(): st.integers(-128, 127),
    pa.float64(): st.floats(allow_nan=False),
    pa.bool_(): st.booleans(),
    pa.binary(): st.binary(max_size=3),
    pa.binary(2): st.binary(min_size=2, max_size=2),
    pa.decimal128(10, 2): st.decimals(-9, 9, places=2),
    pa.list_(pa.string()): st.lists(st.text(max_size=2) | st.none(), max_size=2),
    pa.list_view(pa.int64()): st.lists(st.integers(0, 9) | st.none(), max_size=2),
    pa.list_(pa.int64(), 2): st.lists(st.integers(0, 9), min_size=2, max_size=2),
    pa.list_(pa.list_(pa.int8())): st.lists(st.lists(st.integers(0, 9), max_size=2) | st.none(), max_size=2),
    pa.map_(pa.string(), pa.int64()): st.lists(
        st.tuples(st.text(max_size=1), st.integers(0, 9) | st.none()), max_size=2
    ),
    pa.struct([("a", pa.int64()), ("b", pa.string())]): st.fixed_dictionaries(
        {"a": st.integers(0, 9) | st.none(), "b": st.text(max_size=1) | st.none()}
    ),
    pa.dictionary(pa.int8(), pa.string()): st.text(max_size=2),
    pa.string_view(): st.text(max_size=3),
}
COLUMN = st.sampled_from(list(TYPES)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | TYPES[kind], max_size=8))
)


def digest(*arrays: pa.Array, names: list[str] | None = None, cuts: list[int] | None = None) -> str:
    """The checksum of columns that are cut into batches there."""
    batch = pa.RecordBatch.from_arrays(list(arrays), names=names or [f"c{at}" for at in range(len(arrays))])
    found = SpineDigest(batch.schema)
    bounds = [0, *sorted(cuts or []), batch.num_rows]
    for start, stop in itertools.pairwise(bounds):
        found.update(batch.slice(start, stop - start))
    return found.hexdigest()


@given(column=COLUMN, data=st.data())
def test_batches_make_no_difference(column: tuple[pa.DataType, list[Any]], data: st.DataObject) -> None:
    kind, values = column
    array = pa.array(values, kind)
    cuts = data.draw(st.lists(st.integers(0, len(values)), max_size=4))
    assert digest(array, cuts=cuts) == digest(array)


@given(column=COLUMN, data=st.data())
def test_any_changed_value_makes_a_difference(column: tuple[pa.DataType, list[Any]], data: st.DataObject) -> None:
    kind, values = column
    assume(values)
    place = data.draw(st.integers(0, len(values) - 1))
    other = data.draw(st.none() | TYPES[kind])
    assume(not pa.array([other], kind).equals(pa.array(values[place : place + 1], kind)))
    changed = [*values[:place], other, *values[place + 1 :]]
    assert digest(pa.array(changed, kind)) != digest(pa.array(values, kind))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["ab", "c"], ["a", "bc"]),
        (["", None], [None, ""]),
        ([None], [""]),
        ([None, None], [None]),
        ([1, 2], [2, 1]),
        ([[1], [2]], [[1, 2], []]),
        ([[], None], [None, []]),
        ([[None]], [[]]),
        ([0.0], [-0.0]),
        ([1], [1.0]),
        ([0], [False]),
        (["1"], [b"1"]),
        ([{"a": None}], [None]),
    ],
)
def test_what_looks_alike_is_told_apart(one: list[Any], other: list[Any]) -> None:
    kind = pa.array([{"a": 1}]).type if {"a": None} in one else None
    assert digest(pa.array(one, kind)) != digest(pa.array(other, kind))


def test_names_and_places_of_columns_count() -> None:
    a, b = pa.array([1]), pa.array([2])
    assert digest(a, b) != digest(b, a)
    assert digest(a, b, names=["a", "b"]) != digest(a, b, names=["b", "a"])


def test_types_count_but_not_their_layout() -> None:
    texts = pa.array(["a", None, "ü", "a"])
    alike = [texts, texts.cast(pa.large_string()), texts.cast(pa.string_view()), texts.dictionary_encode()]
    alike.append(pa.DictionaryArray.from_arrays(pa.array([0, 1, 2, 0], pa.int8()), pa.array(["a", None, "ü"])))
    assert len({digest(array) for array in alike}) == 1
    numbers = pa.array([1, None, 3])
    assert digest(numbers) != digest(numbers.cast(pa.int32()))
    lists = pa.array([[1], None, [2, 3]])
    assert len({digest(lists), digest(lists.cast(pa.large_list(pa.int64())))}) == 1


def test_what_hides_under_a_null_does_not_count() -> None:
    clean = pa.array([1, None], pa.int64())
    hidden = pa.Array.from_buffers(pa.int64(), 2, [clean.buffers()[0], pa.py_buffer((1).to_bytes(8, "little") * 2)])
    assert hidden.equals(clean)
    assert digest(hidden) == digest(clean)


def test_every_nan_is_the_same() -> None:
    other = pa.Array.from_buffers(pa.float64(), 1, [None, pa.py_buffer(bytes.fromhex("010000000000f87f"))])
    assert digest(other) == digest(pa.array([float("nan")]))


def test_a_known_checksum_stays_what_it_is() -> None:
    array = pa.array([{"a": 1, "b": ["x", None]}, None])
    assert digest(array, pa.array([1.5, None])) == "ee45708ed0d49f32ac210e6382bd3864cdc3f7d289ea4dc5a50db8316c89c748"
