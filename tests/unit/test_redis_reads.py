"""Commands and decoding of reads on Redis, over replies in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import hiredis
import pytest
from feast.infra.online_stores.helpers import _mmh3
from feast.protos.feast.types.Value_pb2 import Value
from hypothesis import given
from hypothesis import strategies as st

from app.domain import FieldSpec, ViewSpec
from app.errors import StoreUnavailableError
from app.planning.selection import ViewRead
from app.serving.ports import ViewCells, ViewColumns
from app.stores.encoders import encode_times
from app.stores.redis_reads import RedisRead

CONFIG: Any = SimpleNamespace(
    project="lab", entity_key_serialization_version=3, registry=SimpleNamespace(enable_online_feature_view_versioning=0)
)
USER = FieldSpec("user", "STRING")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
NOON_MICROS = int(NOON.timestamp()) * 1_000_000


class FakeRedis:
    """Hashes by field, the same for every key that ends in `known`; remembers the commands."""

    def __init__(self, fields: Mapping[bytes, bytes], error: Exception | None = None) -> None:
        self.fields = fields
        self.error = error
        self.commands: list[list[bytes]] = []

    async def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> list[Any]:
        replies: list[Any] = []
        for command in commands:
            reader = hiredis.Reader()
            reader.feed(command)
            name, key, *fields = reader.gets()
            self.commands.append([name, key, *fields])
            found = self.hash(key.removesuffix(b"lab"))
            replies.append(
                [part for pair in found.items() for part in pair]
                if name == b"HGETALL"
                else [found.get(field) for field in fields]
            )
        if self.error:
            replies[-1] = self.error
        return replies

    def hash(self, key: bytes) -> Mapping[bytes, bytes]:
        return self.fields if key.endswith(b"known") else {}

    async def close(self) -> None:
        pass


def view(name: str, width: int) -> ViewSpec:
    return ViewSpec(name, (USER,), tuple(FieldSpec(f"f{number}", "INT64") for number in range(width)), None)


def prepare(redis: FakeRedis, *views: ViewSpec, stored: int = 0) -> RedisRead:
    reads = [ViewRead(spec, tuple(field.name for field in spec.features), ("user",)) for spec in views]
    tables: list[Any] = [SimpleNamespace(name=spec.name, projection=None) for spec in views]
    pairs = list(zip(reads, tables, strict=True))
    return RedisRead(CONFIG, pairs, redis, 1.0, {frozenset({"user"}): stored})


def fetch(redis: FakeRedis, users: list[str], *views: ViewSpec, stored: int = 0) -> list[ViewColumns]:
    return asyncio.run(prepare(redis, *views, stored=stored).fetch({"user": users}, len(users)))


def fetch_row(redis: FakeRedis, user: str, *views: ViewSpec, stored: int = 0) -> ViewCells:
    return asyncio.run(prepare(redis, *views, stored=stored).fetch_row({"user": [user]}))


def fields(*views: ViewSpec) -> dict[bytes, bytes]:
    stored = {}
    for spec in views:
        stored[f"_ts:{spec.name}".encode()] = next(iter(encode_times([NOON_MICROS])))
        for number, field in enumerate(spec.features):
            stored[_mmh3(f"{spec.name}:{field.name}")] = Value(int64_val=number).SerializeToString()
    return stored


def test_views_that_share_a_key_are_read_by_one_command_per_entity_and_duplicates_once() -> None:
    one, two = view("one", 2), view("two", 1)
    redis = FakeRedis(fields(one, two))
    first, second = fetch(redis, ["known", "x", "known"], one, two)
    assert [command[0] for command in redis.commands] == [b"HMGET", b"HMGET"]
    assert first == ViewColumns([NOON_MICROS, None, NOON_MICROS], [[0, None, 0], [1, None, 1]], [[1], [1]])
    assert second == ViewColumns([NOON_MICROS, None, NOON_MICROS], [[0, None, 0]], [[1]])


@pytest.mark.parametrize(("stored", "command"), [(42, b"HGETALL"), (121, b"HMGET"), (600, b"HMGET")])
def test_a_hash_that_is_mostly_wanted_is_read_whole(stored: int, command: bytes) -> None:
    wide = view("wide", 39)
    redis = FakeRedis({**fields(wide), b"a stranger's": b"field"})
    (found,) = fetch(redis, ["known", "x"], wide, stored=stored)
    assert {sent[0] for sent in redis.commands} == {command}
    assert found.values == [[number, None] for number in range(39)]
    assert fetch_row(redis, "known", wide, stored=stored) == ViewCells([NOON_MICROS], list(range(39)))
    assert {sent[0] for sent in redis.commands} == {command}


@given(
    orders=st.lists(st.permutations(range(18)), min_size=2, max_size=2),
    rows=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 18)), min_size=1),
)
def test_a_hash_read_whole_is_read_alike_in_whatever_order_and_number_its_fields_come(
    orders: list[list[int]], rows: list[tuple[int, int]]
) -> None:
    wide = view("wide", 17)
    stored = list(fields(wide).items())
    hashes = {
        f"{number:03}": dict([stored[place] for place in orders[order]][:length])
        for number, (order, length) in enumerate(rows)
    }

    class Varied(FakeRedis):
        def hash(self, key: bytes) -> Mapping[bytes, bytes]:
            return hashes[key[-3:].decode()]

    redis = Varied({})
    users = list(hashes)
    assert fetch(redis, users, wide, stored=18) == fetch(redis, users, wide)
    assert {command[0] for command in redis.commands} == {b"HGETALL", b"HMGET"}
    for user in users:
        assert fetch_row(redis, user, wide, stored=18) == fetch_row(redis, user, wide)


def test_a_plan_without_stored_views_asks_nothing() -> None:
    class Silent(FakeRedis):
        async def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> list[Any]:
            raise AssertionError("there is no reply to wait for")

    assert fetch(Silent({}), ["known", "x"]) == []


def test_a_row_of_no_view_asks_nothing() -> None:
    redis = FakeRedis({})
    assert fetch_row(redis, "known") == ViewCells([], [])
    assert redis.commands == []


def test_a_row_without_its_timestamp_is_not_there() -> None:
    one = view("one", 2)
    stored = fields(one)
    del stored[b"_ts:one"]
    for users in (["known"], ["known", "x"]):
        (found,) = fetch(FakeRedis(stored), users, one)
        assert found.moments == [None] * len(users)
        assert found.values == [[None] * len(users)] * 2
    assert fetch_row(FakeRedis(stored), "known", one) == ViewCells([None], [None, None])


def test_a_row_of_views_that_alternate_between_keys_comes_in_the_order_of_the_plan() -> None:
    one, other, two = view("one", 2), view("other", 1), view("two", 1)
    redis = FakeRedis(fields(one, other, two))
    pairs: list[Any] = [
        (ViewRead(spec, tuple(field.name for field in spec.features), (key,)), SimpleNamespace(name=spec.name))
        for spec, key in [(one, "user"), (other, "friend"), (two, "user")]
    ]
    for _, table in pairs:
        table.projection = None
    row = asyncio.run(RedisRead(CONFIG, pairs, redis, 1.0, {}).fetch_row({"user": ["known"], "friend": ["x"]}))
    assert row == ViewCells([NOON_MICROS, None, NOON_MICROS], [0, 1, None, 0])


def test_a_refusal_of_redis_is_told_by_its_code() -> None:
    redis = FakeRedis({}, hiredis.ReplyError("WRONGTYPE Operation against a key"))
    with pytest.raises(StoreUnavailableError, match=r"refuses the command \(WRONGTYPE\)"):
        fetch(redis, ["known", "x"], view("one", 1))
    with pytest.raises(StoreUnavailableError, match=r"refuses the command \(WRONGTYPE\)"):
        fetch_row(redis, "known", view("one", 1))
