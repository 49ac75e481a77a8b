"""The versions of feature views that a Feast registry remembers: v0, v1... one for each schema that a view has had.

Feast keeps a snapshot of every version, and with `enable_online_feature_view_versioning` a place of its own in the
online store. Without that option all versions share one place, in which only the version in force can be right.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import sqlalchemy as sa
from feast import FeatureView
from feast.base_feature_view import BaseFeatureView
from feast.infra.registry.registry import Registry
from feast.infra.registry.sql import SqlRegistry, feature_view_version_history
from feast.version_utils import parse_version

from app.domain import OnDemandSpec, ViewSpec, versioned
from app.errors import NotServableError
from app.stores.repo import FeastRepo

V = TypeVar("V")


class Lazily(Mapping[str, V], Generic[V]):
    """A mapping whose values are made when they are first looked up.

    Parsing a view takes about a millisecond, and a registry may remember thousands of versions that nobody reads.
    """

    def __init__(self, names: Iterable[str], make: Callable[[str], V]) -> None:
        self._names = dict.fromkeys(names)
        self._make = make
        self._made: dict[str, V] = {}

    def __getitem__(self, name: str) -> V:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._made:
            self._made[name] = self._make(name)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


@dataclass(frozen=True)
class Snapshot:
    """One version of a view as the registry stores it."""

    view: str
    number: int
    kind: str
    proto: bytes

    def parse(self, registry: Any) -> BaseFeatureView:
        """Feast's view object, whose versioned name is that of this version.

        Raises NotServableError where Feast cannot load it, for example when the code of its function is gone.
        """
        try:
            message, view_class = registry._proto_class_for_type(self.kind)
            view: BaseFeatureView = view_class.from_proto(message.FromString(self.proto))
        except Exception as error:  # Feast raises whatever an old pickle or message trips over
            reason = f"Feast cannot load it ({type(error).__name__})"
            raise NotServableError(f"{self.view}@v{self.number} cannot be read: {reason}") from error
        # As Feast's own online path does; the message itself does not always hold the number.
        view.current_version_number = self.number
        view.projection.version_tag = self.number
        return view


History = Mapping[str, Mapping[int, Snapshot]]
"""Every version of every view, by name and number; a view without any has had one schema only."""


def read_history(registry: Any, project: str) -> History | None:
    """The history of every view in one look at the registry; None where this kind of registry does not tell."""
    snapshots = _snapshots(registry, project)
    if snapshots is None:
        return None
    history: dict[str, dict[int, Snapshot]] = defaultdict(dict)
    for snapshot in snapshots:
        history[snapshot.view][snapshot.number] = snapshot
    return history


def _snapshots(registry: Any, project: str) -> list[Snapshot] | None:
    if isinstance(registry, SqlRegistry):
        table = feature_view_version_history.c
        names = (table.feature_view_name, table.version_number, table.feature_view_type, table.feature_view_proto)
        query = sa.select(*names).where(table.project_id == project).order_by(table.version_number)
        with registry.read_engine.connect() as connection:
            return [Snapshot(name, number, kind, proto) for name, number, kind, proto in connection.execute(query)]
    if isinstance(registry, Registry):
        records = registry.proto().feature_view_version_history.records
        return [
            Snapshot(
                record.feature_view_name, record.version_number, record.feature_view_type, record.feature_view_proto
            )
            for record in sorted(records, key=lambda record: int(record.version_number))
            if record.project_id == project
        ]
    return None


def _number_in_force(view: BaseFeatureView, history: Mapping[int, Snapshot] | None) -> int | None:
    """The number of the version that the registry holds as the view itself; None where it has lost it.

    Feast stores no number for v0. Nor does it for a view that was applied again with another ttl or description, so no
    number means v0 only where there has never been another version.
    """
    if view.current_version_number is not None:
        return int(view.current_version_number)
    return 0 if history is not None and set(history) <= {0} else None


def keep_numbers(repo: FeastRepo, declared: Iterable[BaseFeatureView]) -> None:
    """Give views that are about to be applied the number of the version that is in force.

    Definitions know no numbers. Feast counts on for a new schema, but stores a view whose ttl or description alone has
    changed with the number that it comes with: none, and its rows are then looked for where those of v0 are.
    """
    registry, project = repo.store.registry, repo.project
    history = read_history(registry, project) or {}
    existing = {view.name: view for view in registry.list_all_feature_views(project)}
    for view in declared:
        if view.name not in existing or not parse_version(view.version)[0]:
            continue
        number = _number_in_force(existing[view.name], history.get(view.name, {}))
        if number is None:
            number = _number_by_schema(registry, existing[view.name], history[view.name])
        if number:
            view.current_version_number = number


def _number_by_schema(registry: Any, view: BaseFeatureView, history: Mapping[int, Snapshot]) -> int | None:
    """The newest version with the schema of `view`, whose number has been lost."""
    for number in sorted(history, reverse=True):
        with contextlib.suppress(NotServableError):
            if not view._schema_or_udf_changed(history[number].parse(registry)):
                return number
    return None


def why_not_by_version(repo: FeastRepo) -> str | None:
    """Why versions other than the one in force cannot be read online, or None where they can."""
    # Feast asks the registry for the option when it reads, and its configuration when it names a table.
    if not getattr(repo.store.registry, "enable_online_versioning", False):
        return (
            "the online store keeps one version of each view (enable_online_feature_view_versioning is off in the "
            "registry section of feature_store.yaml)"
        )
    store = repo.store.provider.online_store
    if store is None or not store._is_versioned_read_supported():
        return f"Feast's {type(store).__name__} keeps one version of each view"
    return None


class ViewVersions:
    """What `view@vN` means at one moment, for every version that the registry remembers."""

    def __init__(
        self,
        registry: Any,
        views: Sequence[BaseFeatureView],
        in_force: Mapping[str, ViewSpec | OnDemandSpec],
        history: History | None,
        why_not: str | None,
        to_spec: Callable[[BaseFeatureView], ViewSpec | OnDemandSpec],
    ) -> None:
        self._registry = registry
        self._in_force = in_force
        self._why_not = why_not
        self._to_spec = to_spec
        self._current: dict[str, str] = {}
        self._snapshots: dict[str, Snapshot] = {}
        self._names: list[str] = []
        for view in views:
            remembered = None if history is None else history.get(view.name, {})
            current = _number_in_force(view, remembered)
            for number in sorted({*(remembered or {}), *([] if current is None else [current])}):
                name = versioned(view.name, number)
                self._names.append(name)
                if number == current:
                    self._current[name] = view.name
                elif remembered:
                    self._snapshots[name] = remembered[number]

    def specs(self) -> Mapping[str, ViewSpec | OnDemandSpec]:
        """`view@vN` -> the definition to read, by view and number; see `Catalog.versions`."""
        return Lazily(self._names, self._spec)

    def with_feast_views(self, views: Mapping[str, FeatureView]) -> Mapping[str, FeatureView]:
        """Feast's objects by `ViewSpec.stored_as`: `views`, which are in force, and every other version."""

        def view(name: str) -> FeatureView:
            return views[name] if name in views else self._snapshots[name].parse(self._registry)

        return Lazily([*views, *self._snapshots], view)

    def _spec(self, name: str) -> ViewSpec | OnDemandSpec:
        if name in self._current:
            # Not its snapshot: the ttl and all else that makes no new version may have changed since that was taken.
            return self._in_force[self._current[name]]
        snapshot = self._snapshots[name]
        if self._why_not is not None:
            current = [known for known, view in self._current.items() if view == snapshot.view]
            only = f"; only {current[0]} can be read" if current else ""
            raise NotServableError(f"{name} cannot be read: {self._why_not}{only}")
        spec = self._to_spec(snapshot.parse(self._registry))
        # The switch is the view's, not the version's: nobody could ever turn on what a snapshot says is off.
        enabled = self._in_force[snapshot.view].enabled
        if isinstance(spec, OnDemandSpec):
            return dataclasses.replace(spec, enabled=enabled)
        return dataclasses.replace(spec, enabled=enabled, pinned=snapshot.number)
