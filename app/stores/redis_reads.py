"""Prepared reads on Redis: one HMGET per entity over all views that share its key, rendered when the plan is built.

Only the key differs from request to request. Field names come from Feast's own helpers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any, Protocol

import hiredis
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name

from app.errors import StoreUnavailableError
from app.planning.selection import ViewRead
from app.serving.ports import PreparedRead, ViewCells, ViewColumns
from app.stores.cells import CellDecoder, compile_cell, decode_moment
from app.stores.columns import ColumnDecoder, compile_column, decode_moments
from app.stores.keys import Openings, compile_keys

_LISTED = 512
"""Redis 7's hash-max-listpack-entries; older ones keep 128, and beyond that HGETALL costs no more than it saves."""
_FEW_FIELDS = 16
"""Below this many both commands cost about the same, and HMGET sends less."""
_MOST_LAYOUTS = 256
"""Fields of a hash come in the order in which they were first written: mostly one for all entities of a repo."""

Pick = Callable[[Sequence[Any]], Sequence[Any]]
"""From the reply to an HGETALL to that of an HMGET."""


class Commands(Protocol):
    """Whatever sends commands to the Redis that holds each key."""

    def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> Awaitable[list[Any]]:
        """One reply per command, which reads the entity key of the same position (without the project that follows it
        in Redis' key); errors are exceptions in the list. Raises StoreUnavailableError by the deadline (on the loop's
        clock)."""

    async def close(self) -> None:
        """End every connection."""


class _Group:
    """The views that share a key: read by one HMGET."""

    def __init__(self, config: RepoConfig, views: Sequence[tuple[int, ViewRead, FeatureView]], stored: int) -> None:
        _, read, _ = views[0]
        self.encode = compile_keys(read.view.join_keys, read.key_columns, config.entity_key_serialization_version)
        self.decoders: list[tuple[int, int, list[ColumnDecoder]]] = []
        """Index of the view in the plan, position of its timestamp in the reply, decoders of the columns after it."""
        fields: list[bytes] = []
        self.cells: list[tuple[int, list[tuple[int, CellDecoder]]]] = []
        """For each of the views, where a row has its timestamp and its features, and how to decode those."""
        for index, read, table in views:
            name = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
            dtypes = {field.name: field.dtype for field in read.view.features}
            self.decoders.append((index, len(fields), [compile_column(dtypes[feature]) for feature in read.features]))
            places = range(len(fields) + 1, len(fields) + 1 + len(read.features))
            decoders = [compile_cell(dtypes[feature]) for feature in read.features]
            self.cells.append((len(fields), list(zip(places, decoders, strict=True))))
            fields += [f"_ts:{name}".encode(), *(_mmh3(f"{name}:{feature}") for feature in read.features)]
        project = config.project.encode()
        # Up to 512 fields Redis keeps a hash as a list, and searches all of it for each field of an HMGET: HGETALL,
        # which walks it once, is then 6 times cheaper for 110 of 110 fields (docs/adr/0010-hot-path.md).
        self._whole = _FEW_FIELDS < len(fields) <= stored <= min(_LISTED, 3 * len(fields))
        self._layout: tuple[Sequence[Any] | None, Pick] = None, tuple
        """The last row's field names, and what picks from a reply with those."""
        self._layouts = lru_cache(_MOST_LAYOUTS)(partial(_compile_pick, fields))
        wanted = [] if self._whole else fields
        opening = b"*2\r\n$7\r\nHGETALL" if self._whole else b"*%d\r\n$5\r\nHMGET" % (len(fields) + 2)
        self._openings = Openings(lambda length: b"%b\r\n$%d\r\n" % (opening, length + len(project)))
        self._closing = project + b"".join(b"\r\n$%d\r\n%b" % (len(field), field) for field in wanted) + b"\r\n"

    def command(self, key: bytes) -> bytes:
        """The command that reads a key."""
        return self._openings[len(key)] + key + self._closing

    def commands(self, keys: Sequence[bytes]) -> list[bytes]:
        """The command that reads each key."""
        openings, closing = self._openings, self._closing
        return [openings[len(key)] + key + closing for key in keys]

    def decode(self, replies: Sequence[Sequence[bytes | None]], into: list[Any]) -> None:
        """Turn replies, one per row, into the columns of each view of the group."""
        if self._whole:
            replies = list(map(self._picked, replies))
        columns = list(zip(*replies, strict=True))
        for index, start, decoders in self.decoders:
            moments = decode_moments(columns[start])
            decoded = [decode(columns[start + 1 + number]) for number, decode in enumerate(decoders)]
            values, gaps = [column for column, _ in decoded], [positions for _, positions in decoded]
            if None in moments:
                _forget_orphans(moments, values, gaps)
            into[index] = ViewColumns(moments, values, gaps)

    def decode_row(self, reply: Sequence[bytes | None], moments: list[int | None], values: list[Any]) -> None:
        """Add the one row of each view of the group."""
        if self._whole:
            reply = self._picked(reply)
        for timestamp, cells in self.cells:
            moment = reply[timestamp]
            if moment is None:
                # Without its timestamp a row is not there, whatever else of it is left.
                moments.append(None)
                values += [None] * len(cells)
            else:
                moments.append(decode_moment(moment))
                values += [decode(cell) if (cell := reply[place]) else None for place, decode in cells]

    def _picked(self, reply: Sequence[Any]) -> Sequence[Any]:
        """What an HMGET would have answered, from the answer to an HGETALL."""
        names, pick = self._layout
        found = reply[::2]
        if found != names:
            pick = self._layouts(tuple(found))
            if found:
                self._layout = found, pick
        return pick(reply)


def _compile_pick(fields: Sequence[bytes], names: tuple[bytes, ...]) -> Pick:
    """What picks `fields` from replies with these `names`: a dictionary per reply costs six times as much."""
    places = {name: 2 * number + 1 for number, name in enumerate(names)}
    pick = itemgetter(*[places.get(field, -1) for field in fields])
    if all(field in places for field in fields):
        return pick
    return lambda reply: pick([*reply, None])


def _forget_orphans(moments: list[int | None], values: list[list[Any]], gaps: list[list[int]]) -> None:
    """Without its timestamp a row is not there, whatever else of it is left."""
    missing = [row for row, moment in enumerate(moments) if moment is None]
    for column, positions in zip(values, gaps, strict=True):
        orphans = [row for row in missing if column[row] is not None]
        for row in orphans:
            column[row] = None
        positions += orphans


class RedisRead(PreparedRead):
    """Implements app.serving.ports.PreparedRead."""

    def __init__(
        self,
        config: RepoConfig,
        views: Sequence[tuple[ViewRead, FeatureView]],
        redis: Commands,
        timeout: float,
        stored: Mapping[frozenset[str], int],
    ) -> None:
        """`stored` are the numbers of fields that a hash may hold, by the names of its join keys."""
        groups: dict[Any, list[tuple[int, ViewRead, FeatureView]]] = defaultdict(list)
        for index, (read, table) in enumerate(views):
            names = tuple(sorted(zip((field.name for field in read.view.join_keys), read.key_columns, strict=True)))
            groups[names].append((index, read, table))
        self._groups = [
            _Group(config, members, stored.get(frozenset(name for name, _ in names), 0))
            for names, members in groups.items()
        ]
        self._views = len(views)
        self._in_order = [index for members in groups.values() for index, *_ in members] == list(range(len(views)))
        """Whether the groups, one after the other, are the views of the plan in its order."""
        self._redis = redis
        self._timeout = timeout

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """See the protocol."""
        if not self._groups:
            # On-demand views of request data alone: Redis would send no reply to wait for.
            return []
        keys: list[bytes] = []
        commands: list[bytes] = []
        per_group: list[tuple[_Group, list[bytes], list[bytes]]] = []
        for group in self._groups:
            wanted = group.encode(entities, rows)
            unique = wanted if rows == 1 or len(set(wanted)) == rows else list(dict.fromkeys(wanted))
            keys += unique
            commands += group.commands(unique)
            per_group.append((group, wanted, unique))
        deadline = asyncio.get_running_loop().time() + self._timeout
        replies = await self._redis.read(keys, commands, deadline)
        columns: list[Any] = [None] * self._views
        start = 0
        for group, wanted, unique in per_group:
            found = replies[start : start + len(unique)]
            start += len(unique)
            if len(unique) < rows:
                by_key = dict(zip(unique, found, strict=True))
                found = [by_key[key] for key in wanted]
            try:
                group.decode(found, columns)
            except TypeError:
                _raise_refusals(found)
                raise
        return columns

    async def fetch_row(self, entities: Mapping[str, Sequence[Any]]) -> ViewCells:
        """See the protocol."""
        if not self._groups:
            return ViewCells([], [])
        if not self._in_order:
            return await super().fetch_row(entities)
        keys = [group.encode(entities, 1)[0] for group in self._groups]
        commands = [group.command(key) for group, key in zip(self._groups, keys, strict=True)]
        replies = await self._redis.read(keys, commands, asyncio.get_running_loop().time() + self._timeout)
        moments: list[int | None] = []
        values: list[Any] = []
        try:
            for group, reply in zip(self._groups, replies, strict=True):
                group.decode_row(reply, moments, values)
        except TypeError:
            _raise_refusals(replies)
            raise
        return ViewCells(moments, values)


def _raise_refusals(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            # Out of memory, loading, another type under the key...: the first word is Redis' code for it.
            raise StoreUnavailableError(f"Redis refuses the command ({str(reply).partition(' ')[0]})")
