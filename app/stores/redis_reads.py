"""Prepared reads on Redis: one HMGET per entity over all views that share its key, rendered when the plan is built.

Only the key differs from request to request. Field names come from Feast's own helpers.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import hiredis
from feast import FeatureView, RepoConfig
from feast.infra.online_stores.helpers import _mmh3, compute_versioned_name

from app.errors import StoreUnavailableError
from app.serving.ports import ViewColumns, ViewRead
from app.stores.columns import ColumnDecoder, compile_column, compile_row, decode_moments
from app.stores.keys import Openings, compile_keys

_LISTED = 512
"""Redis 7's hash-max-listpack-entries; older ones keep 128, and beyond that HGETALL costs no more than it saves."""
_FEW_FIELDS = 16
"""Below this many both commands cost about the same, and HMGET sends less."""


class Commands(Protocol):
    """Whatever sends commands to the Redis that holds each key."""

    async def read(self, keys: Sequence[bytes], commands: Sequence[bytes], deadline: float) -> list[Any]:
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
        row: list[str] = []
        for index, read, table in views:
            name = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
            dtypes = {field.name: field.dtype for field in read.view.features}
            row += [dtypes[feature] for feature in read.features]
            self.decoders.append((index, len(fields), [compile_column(dtypes[feature]) for feature in read.features]))
            fields += [f"_ts:{name}".encode(), *(_mmh3(f"{name}:{feature}") for feature in read.features)]
        self.cells = [start + 1 + number for _, start, decoders in self.decoders for number in range(len(decoders))]
        """Positions of the features in the reply; the rest are timestamps."""
        self.row = compile_row(row)
        project = config.project.encode()
        # Up to 512 fields Redis keeps a hash as a list, and searches all of it for each field of an HMGET: HGETALL,
        # which walks it once, is then 6 times cheaper for 110 of 110 fields (docs/adr/0010-hot-path.md).
        self._fields = fields if _FEW_FIELDS < len(fields) <= stored <= min(_LISTED, 3 * len(fields)) else None
        wanted = [] if self._fields else fields
        opening = b"*2\r\n$7\r\nHGETALL" if self._fields else b"*%d\r\n$5\r\nHMGET" % (len(fields) + 2)
        self._openings = Openings(lambda length: b"%b\r\n$%d\r\n" % (opening, length + len(project)))
        self._closing = project + b"".join(b"\r\n$%d\r\n%b" % (len(field), field) for field in wanted) + b"\r\n"

    def commands(self, keys: Sequence[bytes]) -> list[bytes]:
        """The command that reads each key."""
        openings, closing = self._openings, self._closing
        return [openings[len(key)] + key + closing for key in keys]

    def decode(self, replies: Sequence[Sequence[bytes | None]], into: list[Any]) -> None:
        """Turn replies, one per row, into the columns of each view of the group."""
        if self._fields is not None:
            hashes = [dict(zip(reply[::2], reply[1::2], strict=True)) for reply in replies]
            replies = [list(map(found.get, self._fields)) for found in hashes]
        if len(replies) == 1 and self._decode_one(replies[0], into):
            return
        columns = list(zip(*replies, strict=True))
        for index, start, decoders in self.decoders:
            moments = decode_moments(columns[start])
            decoded = [decode(columns[start + 1 + number]) for number, decode in enumerate(decoders)]
            values, gaps = [column for column, _ in decoded], [positions for _, positions in decoded]
            if None in moments:
                _forget_orphans(moments, values, gaps)
            into[index] = ViewColumns(moments, values, gaps)

    def _decode_one(self, reply: Sequence[bytes | None], into: list[Any]) -> bool:
        """The same for a single row of which nothing is missing; tells whether it is such a row."""
        if None in reply:
            return False
        values = self.row([reply[position] or b"" for position in self.cells])
        if values is None:
            return False
        moments = decode_moments([reply[timestamp] for _, timestamp, _ in self.decoders])
        start = 0
        for (index, _, decoders), moment in zip(self.decoders, moments, strict=True):
            stop = start + len(decoders)
            into[index] = ViewColumns([moment], [[value] for value in values[start:stop]], [[]] * len(decoders))
            start = stop
        return True


def _forget_orphans(moments: list[int | None], values: list[list[Any]], gaps: list[list[int]]) -> None:
    """Without its timestamp a row is not there, whatever else of it is left."""
    missing = [row for row, moment in enumerate(moments) if moment is None]
    for column, positions in zip(values, gaps, strict=True):
        orphans = [row for row in missing if column[row] is not None]
        for row in orphans:
            column[row] = None
        positions += orphans


class RedisRead:
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
        self._redis = redis
        self._timeout = timeout

    async def fetch(self, entities: Mapping[str, Sequence[Any]], rows: int) -> list[ViewColumns]:
        """See the protocol."""
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


def _raise_refusals(replies: Sequence[Any]) -> None:
    for reply in replies:
        if isinstance(reply, hiredis.ReplyError):
            # Out of memory, loading, another type under the key...: the first word is Redis' code for it.
            raise StoreUnavailableError(f"Redis refuses the command ({str(reply).partition(' ')[0]})")
