"""A case: a Feast repo, the rows in it and the requests to it, as plain values.

The repr of a case is Python that makes it again: what a failing test prints can be pasted into replays.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any


@dataclass(frozen=True)
class Key:
    """A join key, with an entity of its own, and one of the types that Feast can serialize in a key."""

    name: str
    dtype: str


@dataclass(frozen=True)
class Row:
    """One row of a view. `when` is its event time, or its age at the moment of writing (negative: of the future)."""

    key: tuple[Any, ...]
    when: datetime | timedelta
    values: tuple[Any, ...]


@dataclass(frozen=True)
class View:
    """A feature view; `features` are (name, type) pairs, `unwritten` those that the rows were written without."""

    name: str
    keys: tuple[str, ...]
    features: tuple[tuple[str, str], ...]
    ttl: timedelta | None
    rows: tuple[Row, ...]
    unwritten: tuple[str, ...] = ()
    dataframe: bool = False
    """Written by `FeatureStore.write_to_online_store` instead of the store's `online_write_batch`."""


@dataclass(frozen=True)
class Projection:
    """What a service takes of a view; `renamed` are (join key, column that the caller gives) pairs."""

    view: str
    features: tuple[str, ...]
    alias: str | None = None
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def shown_as(self) -> str:
        """The view's name in answers."""
        return self.alias or self.view


@dataclass(frozen=True)
class Service:
    """A feature service."""

    name: str
    projections: tuple[Projection, ...]


@dataclass(frozen=True)
class Request:
    """A read: the projections of a service, or of a list of features (then without a name), and the key columns."""

    service: str | None
    projections: tuple[Projection, ...]
    columns: tuple[tuple[str, tuple[Any, ...]], ...]
    rows: int
    on_stale: str = "null"


@dataclass(frozen=True)
class Case:
    """A repo with rows, and requests."""

    keys: tuple[Key, ...]
    views: tuple[View, ...]
    services: tuple[Service, ...]
    requests: tuple[Request, ...]

    def key(self, name: str) -> Key:
        """The join key of that name."""
        return next(key for key in self.keys if key.name == name)

    def view(self, name: str) -> View:
        """The view of that name."""
        return next(view for view in self.views if view.name == name)
