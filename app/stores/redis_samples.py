"""Samples of views in Redis, whoever wrote their rows: keys as SCAN finds them, then their event timestamps.

All views are served by one sweep (app.stores.redis_sweep) over the keys. Views with the same join keys share hashes,
and so their reads. What one call cannot reach the next ones will, and the entities of a view that has few among many
others are remembered once they have been found.
"""

from __future__ import annotations

import random
import threading
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain import ViewSpec
from app.errors import NotServableError
from app.freshness.ports import ViewSample
from app.stores.cells import decode_moment
from app.stores.key_readers import KeyReader
from app.stores.redis_keys import ending_pattern
from app.stores.redis_sweep import Sweep, node_of

_CHANCE = random.Random()  # noqa: S311 - a sample, no secret
"""Of our own: a background look must not change the numbers that somebody else has seeded."""
_READS_PER_ENTITY = 10
"""How many hashes may be read at most, for each entity that is wanted: many may have no row of a view."""
_READS_AT_ONCE = 200
_MOST_KNOWN = 1000

Address = tuple[str, bytes]
"""A node and a key there."""


@dataclass(eq=False)
class _View:
    """What has been found of a view."""

    spec: ViewSpec
    stored: str
    found: dict[Address, int] = field(default_factory=dict)
    truncated: bool = False

    @property
    def field(self) -> bytes:
        return f"_ts:{self.stored}".encode()


class _Group:
    """The views of the same join keys."""

    def __init__(self, reader: KeyReader, views: Sequence[_View], entities: int) -> None:
        self.reader = reader
        self.views = views
        self._entities = entities
        self.unread: list[Address] = []
        self.seen: set[Address] = set()
        self.done: set[Address] = set()
        self.reads = 0

    @property
    def full(self) -> bool:
        return all(len(view.found) >= self._entities for view in self.views)

    def take(self, node: str, keys: Sequence[bytes]) -> None:
        """Add keys that have this group's prefix."""
        for key in keys:
            address = node, key
            if address not in self.seen and self.reader.parts(key) is not None:
                self.seen.add(address)
                self.unread.append(address)

    def choose(self, count: int) -> list[Address]:
        """Some of the keys that have not been read, at random."""
        chosen = []
        for _ in range(min(count, len(self.unread))):
            place = _CHANCE.randrange(len(self.unread))
            self.unread[place], self.unread[-1] = self.unread[-1], self.unread[place]
            chosen.append(self.unread.pop())
        return chosen

    def read(self, sweep: Sweep, addresses: Sequence[Address]) -> None:
        """Look for rows of the views that have not enough."""
        self.reads += len(addresses)
        self.done.update(addresses)
        wanting = [view for view in self.views if len(view.found) < self._entities]
        for view in self.views:
            view.truncated |= view not in wanting
        by_node: dict[str, list[bytes]] = defaultdict(list)
        for node, key in addresses:
            by_node[node].append(key)
        for node, keys in by_node.items():
            rows = sweep.read(node, keys, [view.field for view in wanting])
            for key, row in zip(keys, rows, strict=True):
                for view, cell in zip(wanting, row or (), strict=bool(row)):
                    if cell is not None:
                        self._keep(view, (node, key), decode_moment(cell))

    def _keep(self, view: _View, address: Address, moment: int) -> None:
        if len(view.found) < self._entities or address in view.found:
            view.found[address] = moment
        else:
            view.truncated = True

    def samples(self, complete: bool) -> dict[str, ViewSample]:
        """By the names of the views; `complete` says whether the sweep has seen every key."""
        found: dict[str, ViewSample] = {}
        for view in self.views:
            read = [(self.reader.read(key), moment) for (_, key), moment in view.found.items()]
            rows = [(key, moment) for key, moment in read if key is not None]
            whole = (complete or self.reader.only is not None) and not (self.unread or view.truncated)
            found[view.spec.name] = ViewSample([key for key, _ in rows], [moment for _, moment in rows], whole)
        return found


class RedisSampler:
    """Samples of one project. What it remembers from call to call: how far the walk over all keys has got, and the
    entities of views of which there were too few."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cursors: dict[str, int] = {}
        self._known: dict[str, dict[Address, None]] = {}

    def sample(
        self, client: Any, project: str, version: int, views: Mapping[str, ViewSpec], entities: int, patience: float
    ) -> dict[str, ViewSample]:
        """See app.freshness.ports.OnlineSampler; `views` by their stored names, `version` is the repo's
        entity_key_serialization_version.

        A first look at every node may take as long as the client waits for each; after that nothing is asked when
        `patience` seconds have gone. Raises redis-py's errors.
        """
        groups = _grouped(views, version, project.encode(), entities)
        with self._lock:
            sweep = Sweep(client, ending_pattern(project), self._cursors, patience)
            for group in groups:
                if group.reader.only is not None:
                    group.take(node_of(client, group.reader.only), [group.reader.only])
            self._fill(groups, sweep, entities)
            if not sweep.complete:
                self._read_known(groups, sweep)
            self._cursors = sweep.cursors()
            self._remember(groups, sweep, entities)
        return {name: sample for group in groups for name, sample in group.samples(sweep.complete).items()}

    def _fill(self, groups: Sequence[_Group], sweep: Sweep, entities: int) -> None:
        most = max(1, _READS_PER_ENTITY // max(1, len(groups))) * entities
        more = True
        while more and (wanting := [group for group in groups if not (group.full or group.reads >= most)]):
            more = _gather(wanting, sweep, entities)
            for group in wanting:
                while group.unread and not group.full and group.reads < most and sweep.in_time:
                    group.read(sweep, group.choose(_READS_AT_ONCE))

    def _read_known(self, groups: Sequence[_Group], sweep: Sweep) -> None:
        for group in groups:
            known = {address for view in group.views if not group.full for address in self._known.get(view.stored, ())}
            left = known - group.done
            if left and sweep.in_time:
                group.read(sweep, list(left))

    def _remember(self, groups: Sequence[_Group], sweep: Sweep, entities: int) -> None:
        for group in groups:
            for view in group.views:
                if len(view.found) < entities:
                    known = self._known.get(view.stored, ())
                    missed = [address for address in known if address not in group.done or sweep.failed(address[0])]
                    self._known[view.stored] = dict.fromkeys([*view.found, *missed][:_MOST_KNOWN])


def _grouped(views: Mapping[str, ViewSpec], version: int, ending: bytes, entities: int) -> list[_Group]:
    by_keys: dict[Any, list[_View]] = defaultdict(list)
    for stored, spec in views.items():
        by_keys[tuple((key.name, key.dtype) for key in spec.join_keys)].append(_View(spec, stored))
    groups = []
    for members in by_keys.values():
        try:
            reader = KeyReader(members[0].spec.join_keys, version, ending)
        except NotServableError:  # nobody can have written a row
            continue
        groups.append(_Group(reader, members, entities))
    return groups


def _gather(groups: Sequence[_Group], sweep: Sweep, entities: int) -> bool:
    """Scan until each of the groups has as many keys to read as it may need; False at the end of the sweep."""
    groups = [group for group in groups if group.reader.only is None]
    by_prefix: dict[bytes, list[_Group]] = defaultdict(list)
    for group in groups:
        by_prefix[group.reader.prefix].append(group)
    lengths = {len(prefix) for prefix in by_prefix}
    while any(len(group.unread) < entities for group in groups):
        found = sweep.scan()
        if found is None:
            return False
        node, keys = found
        for length in lengths:
            by_group: dict[bytes, list[bytes]] = defaultdict(list)
            for key in keys:
                by_group[key[:length]].append(key)
            for prefix in by_group.keys() & by_prefix.keys():
                for group in by_prefix[prefix]:
                    group.take(node, by_group[prefix])
    return bool(groups)
