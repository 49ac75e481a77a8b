"""Feast's get_historical_features over our point-in-time join, for notebooks and for Feast's own code paths."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from feast import FeatureView, RepoConfig
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView

from app.arrow_columns import as_type, as_utc
from app.domain import FieldSpec, to_moment
from app.errors import InvalidRequestError, NotFoundError
from app.exports.engine import open_engine
from app.exports.point_in_time import point_in_time
from app.exports.ports import OfflineHistory
from app.exports.spine_needs import EVENT_TIMESTAMP
from app.exports.table_spine import TableSpine
from app.planning.selection import PlannedView, Selection
from app.settings import Settings
from app.stores.arrow_types import field_type
from app.stores.catalog import view_spec

Persist = Callable[[pa.Table, Any, bool], None]
"""Keeps a table as a saved dataset: the table, Feast's storage, and whether another one may be replaced."""


class HistoricalJob(RetrievalJob):
    """Feast's job: computed when it is asked for rows. One row per row of the entity frame, in its order."""

    def __init__(
        self,
        spine: Callable[[], pa.Table],
        selection: Selection,
        names: Sequence[tuple[str, int, int]],
        history: OfflineHistory,
        known_at: bool,
        on_demand: Sequence[OnDemandFeatureView],
        full_feature_names: bool,
        features: Sequence[str],
        persist: Persist,
    ) -> None:
        """`names` are the output columns: name, view, and the place of the feature among those read of it."""
        self._spine, self._selection, self._names = spine, selection, names
        self._history, self._known_at = history, known_at
        self._on_demand, self._full, self._features = list(on_demand), full_feature_names, list(features)
        self._persist = persist
        self._loaded: pa.Table | None = None

    def _given(self) -> pa.Table:
        if self._loaded is None:
            self._loaded = self._spine()
        return self._loaded

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        given = self._given()
        spine = _spine(given, self._selection)
        with (
            tempfile.TemporaryDirectory(prefix="freshet-join-") as folder,
            open_engine(Settings().export_memory, Path(folder)) as engine,
        ):
            joined = point_in_time(engine, self._selection, TableSpine(spine), self._history, self._known_at)
            batches = [batch.values for batch in joined]
        # Feast reads saved datasets by this column, and fails on nanoseconds.
        event = _event_column(given)
        table = given.set_column(given.column_names.index(event), event, spine[EVENT_TIMESTAMP])
        for name, view, place in self._names:
            wanted = self._history.types(self._selection.views[view])[place]
            column = pa.chunked_array([values[view][place] for values in batches], wanted)
            table = table.append_column(name, column)
        return table

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal().to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        return self._full

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        given = self._given()
        event = _event_column(given)
        bounds = pc.min_max(as_utc(given[event]).cast(pa.int64())).as_py() if given.num_rows else None
        first, last = (to_moment(bounds["min"]), to_moment(bounds["max"])) if bounds else (None, None)
        keys = [name for name in given.column_names if name != event]
        return RetrievalMetadata(self._features, keys, first, last)

    def persist(self, storage: Any, allow_overwrite: bool | None = False, timeout: int | None = None) -> None:
        """Keep the rows, on-demand features included, as a saved dataset."""
        self._persist(self.to_arrow(), storage, bool(allow_overwrite))


def historical_job(
    config: RepoConfig,
    history_of: Callable[[Mapping[str, FeatureView]], OfflineHistory],
    feature_views: Sequence[FeatureView],
    feature_refs: Sequence[str],
    spine: Callable[[], pa.Table],
    registry: BaseRegistry,
    project: str,
    full_feature_names: bool,
    known_at: bool,
    persist: Persist,
) -> HistoricalJob:
    """The job that joins features to a spine, which is loaded when it is needed.

    `history_of` makes the history of Feast's views by name. Raises NotFoundError for a feature that no view has.
    """
    on_demand = OnDemandFeatureView.get_requested_odfvs(list(feature_refs), project, registry)
    views: dict[str, tuple[FeatureView, dict[str, None]]] = {}
    names: list[tuple[str, str, str]] = []
    computed = {view.projection.name_to_use() for view in on_demand}
    for reference in feature_refs:
        shown, _, feature = reference.rpartition(":")
        if shown in computed:
            continue
        view = next((one for one in feature_views if one.projection.name_to_use() == shown), None)
        if view is None:
            raise NotFoundError(f"There is no feature view {shown}, which {reference} names")
        views.setdefault(shown, (view, {}))[1][feature] = None
        base = view.projection.name_alias or view.name
        names.append((f"{base}__{feature}" if full_feature_names else feature, shown, feature))
    planned = [_planned(view, tuple(features), shown) for shown, (view, features) in views.items()]
    places = {view.shown_as: place for place, view in enumerate(planned)}
    columns = [(name, places[shown], planned[places[shown]].features.index(feature)) for name, shown, feature in names]
    history = history_of({view.name: view for view, _ in views.values()})
    selection = Selection("", tuple(planned), (), (), _join_keys(planned), {})
    return HistoricalJob(
        spine, selection, columns, history, known_at, on_demand, full_feature_names, feature_refs, persist
    )


def _planned(view: FeatureView, features: tuple[str, ...], shown: str) -> PlannedView:
    spec = view_spec(view)
    missing = [feature for feature in features if spec.feature(feature) is None]
    if missing:
        raise NotFoundError(f"Feature view {view.name} has no feature {', '.join(missing)}")
    keys = tuple(view.projection.join_key_map.get(field.name, field.name) for field in spec.join_keys)
    return PlannedView(spec, features, keys, shown)


def _join_keys(views: Sequence[PlannedView]) -> dict[str, FieldSpec]:
    return {
        column: field
        for planned in views
        for column, field in zip(planned.key_columns, planned.view.join_keys, strict=True)
    }


def _spine(given: pa.Table, selection: Selection) -> pa.Table:
    """What the join needs of an entity frame. Raises InvalidRequestError for what is missing in it."""
    missing = [column for column in selection.join_keys if column not in given.column_names]
    if missing:
        raise InvalidRequestError(f"The entity frame has no column {', '.join(missing)}, which is a join key")
    event = given[_event_column(given)]
    times = event if pa.types.is_timestamp(event.type) else pc.cast(event, pa.timestamp("us", tz="UTC"))
    if times.null_count:
        raise InvalidRequestError(f"{times.null_count} rows of the entity frame have no event timestamp")
    columns = {
        column: as_type(given[column], field_type(field), column) for column, field in selection.join_keys.items()
    }
    return pa.table({EVENT_TIMESTAMP: as_utc(times), **columns})


def _event_column(table: pa.Table) -> str:
    if EVENT_TIMESTAMP in table.column_names:
        return EVENT_TIMESTAMP
    return str(infer_event_timestamp_from_entity_df(table.schema.empty_table().to_pandas().dtypes.to_dict()))
