"""Which entities an online store that is not ours is asked about: some that the offline store knows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import structlog
from feast import FeatureView

from app.domain import EntityKey, FieldSpec, ViewSpec, utc
from app.errors import FreshetError
from app.values import ValueFault, parse, to_json

log = structlog.get_logger(__name__)

_SHARE_OF_NEWEST = 10
"""One tenth each: more of them would make the ages of the sample those of the newest."""
_SHARE_OF_TIME = 20
"""The offline store is asked for at most one twentieth of the time."""


class OfflineEntities(Protocol):
    """An offline store that names some of its entities. Blocks, for a bounded time; raises StoreUnavailableError."""

    def sample(self, view: ViewSpec, since: datetime | None, until: datetime, entities: int) -> Sequence[EntityKey]:
        """See app.skew.ports.OfflineSampler."""

    def newest(self, view: ViewSpec, until: datetime, entities: int) -> Sequence[EntityKey]:
        """The entities of so many rows with the latest event timestamps up to `until`."""


@dataclass(frozen=True, slots=True)
class _Known:
    join_keys: tuple[FieldSpec, ...]
    wanted: int
    keys: Sequence[EntityKey]
    due: float
    """When the offline store may be asked again, by the clock of `elapsed`."""


class AskedEntities:
    """Most of them at random; some with the newest rows of the offline store, and some with the newest up to the end
    of the last materialization: its rows are those that show how far the online store goes."""

    def __init__(
        self,
        offline: OfflineEntities,
        feast_views: Callable[[], Mapping[str, FeatureView]],
        clock: Callable[[], datetime],
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        """`feast_views` gives Feast's views by `ViewSpec.stored_as`."""
        self._offline = offline
        self._feast_views = feast_views
        self._clock = clock
        self._elapsed = elapsed
        self._known: dict[str, _Known] = {}
        self._told: set[tuple[str, str]] = set()

    def keep(self, views: Sequence[ViewSpec]) -> None:
        """Forget all other views."""
        names = {view.stored_as for view in views}
        self._known = {name: known for name, known in self._known.items() if name in names}

    def of(self, view: ViewSpec, entities: int) -> Sequence[EntityKey]:
        """At most so many entities, each once and as a request would name it; none where the offline store knows none,
        or cannot say. A view without join keys has one, and needs no offline store. Blocks; never raises."""
        if not view.join_keys:
            return [EntityKey((), ())]
        known = self._known.get(view.stored_as)
        if known is not None and (known.join_keys, known.wanted) != (view.join_keys, entities):
            known = None
        if known is not None and self._elapsed() < known.due:
            return known.keys
        began = self._elapsed()
        # What was known may still be online when the source has been emptied, or does not answer.
        keys = self._named(view, entities) or (() if known is None else known.keys)
        took = self._elapsed() - began
        self._known[view.stored_as] = _Known(view.join_keys, entities, keys, began + _SHARE_OF_TIME * took)
        return keys

    def _named(self, view: ViewSpec, entities: int) -> Sequence[EntityKey]:
        now, few = self._clock(), max(1, entities // _SHARE_OF_NEWEST)
        until = self._materialized_until(view)
        # A source that is too large for one question may still answer another.
        named = [*self._asked(view, lambda: self._offline.newest(view, now, few))]
        if until is not None and until < now:
            named += self._asked(view, lambda: self._offline.newest(view, until, few))
        named += self._asked(view, lambda: self._offline.sample(view, None, now, entities))
        keys = dict.fromkeys(_as_requested(view, key) for key in named)
        return [key for key in keys if key is not None][:entities]

    def _materialized_until(self, view: ViewSpec) -> datetime | None:
        """The end of the last materialization that the registry knows of, whoever ran it."""
        intervals = getattr(self._feast_views().get(view.stored_as), "materialization_intervals", None) or ()
        return max((utc(end) for _, end in intervals), default=None)

    def _asked(self, view: ViewSpec, ask: Callable[[], Sequence[EntityKey]]) -> Sequence[EntityKey]:
        try:
            return ask()
        except Exception as error:  # whatever this source's driver raises; the view is left out, and the others are not
            reason = error.detail if isinstance(error, FreshetError) else type(error).__name__
            if (view.name, reason) not in self._told:
                self._told.add((view.name, reason))
                log.warning("offline store names no entities of a view", feature_view=view.name, reason=reason)
            return ()


def _as_requested(view: ViewSpec, key: EntityKey) -> EntityKey | None:
    """The key with values of its columns' types; None where no request could ask for it."""
    given = dict(zip(key.join_keys, key.values, strict=True))
    try:
        values = tuple(parse(to_json(given[field.name]), field.dtype) for field in view.join_keys)
    except (ValueFault, KeyError):
        return None
    return None if None in values else EntityKey(tuple(field.name for field in view.join_keys), values)
