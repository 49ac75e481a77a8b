"""Which entities are looked at: some that the online store has, and some that only the offline store may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from app.domain import EntityKey, ViewSpec
from app.errors import StoreUnavailableError
from app.freshness.ports import OnlineSampler
from app.skew.ports import OfflineSampler
from app.values import ValueFault, parse, to_json

log = structlog.get_logger(__name__)

Entity = Mapping[str, Any]
"""Native values by join key."""


class EntitySampler:
    """Samples both stores. Half of the entities at most come from the offline store: those that the online store lacks
    are only seen from there."""

    def __init__(self, online: OnlineSampler | None, offline: OfflineSampler, entities: int) -> None:
        """At most so many `entities` of each view. Without an `online` sampler all come from the offline store."""
        self._online = online
        self._offline = offline
        self._entities = entities
        self._unnamed: set[str] = set()

    def sample(self, views: Sequence[ViewSpec], at: datetime) -> list[Entity]:
        """Entities with the join keys of all these views, each once. Blocks; raises StoreUnavailableError.

        Views of other join keys are combined: which pairs callers ask for, nobody here knows.
        """
        found = [self._of(view, at) for view in views]
        # The view with the most keys leads; what the others have under the same keys is looked at as well.
        found.sort(key=lambda rows: -len(rows[0]) if rows else 1)
        leading = [row for rows in found if rows and rows[0].keys() == found[0][0].keys() for row in rows]
        combined: dict[tuple[Any, ...], Entity] = {}
        for place, row in enumerate(leading):
            entity = dict(row)
            for rows in found:
                if rows and not rows[0].keys() <= entity.keys():
                    entity = {**rows[place % len(rows)], **entity}
            if all(field.name in entity for view in views for field in view.join_keys):
                combined.setdefault(tuple(sorted(entity.items(), key=str)), entity)
        return list(combined.values())[: self._entities]

    def _of(self, view: ViewSpec, at: datetime) -> list[Entity]:
        if not view.join_keys:
            return [{}]
        sampled: dict[str, Any] = {} if self._online is None else dict(self._online.sample([view], self._entities))
        there = view.name in sampled
        wanted = self._entities // 2 if there else self._entities
        since = None
        if view.ttl is not None:
            since = at - view.ttl if at.timestamp() > view.ttl.total_seconds() else None
        keys = dict.fromkeys(self._named_offline(view, since, at, wanted, there and bool(sampled[view.name].keys)))
        if there:
            keys.update(dict.fromkeys(sampled[view.name].keys))
        rows = [_entity(view, key) for key in keys]
        return [row for row in rows if row is not None][: self._entities]

    def _named_offline(
        self, view: ViewSpec, since: datetime | None, until: datetime, entities: int, others: bool
    ) -> Sequence[EntityKey]:
        """Where there are `others`, a store that names none in time hides only what it alone has; one that is down
        fails the join."""
        try:
            keys = self._offline.sample(view, since, until, entities)
        except StoreUnavailableError as error:
            if not others:
                raise
            if view.name not in self._unnamed:
                self._unnamed.add(view.name)
                log.warning("rows missing online are not looked for", feature_view=view.name, reason=error.detail)
            return []
        self._unnamed.discard(view.name)
        return keys


def _entity(view: ViewSpec, key: EntityKey) -> Entity | None:
    """The key by column; None where no request could ask for it."""
    given = dict(zip(key.join_keys, key.values, strict=True))
    try:
        entity = {field.name: parse(to_json(given[field.name]), field.dtype) for field in view.join_keys}
    except (ValueFault, KeyError):
        return None
    return None if any(value is None or value == "" for value in entity.values()) else entity
