"""Where Feast's wire pushes: whole batches, all or nothing, because Feast knows no partial success; in groups with what
comes by POST /v1/push."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.api.feast_wire.frame import frame_rows
from app.api.feast_wire.route import UnknownPushSourceError
from app.api.feast_wire.views import stored_view
from app.api.state import AppState
from app.domain import PushTarget
from app.errors import FieldError, InvalidRequestError, NotServableError
from app.pushing.grouped import GroupedPush
from app.pushing.schema import PushSchema

_MOST_FAULTS = 100


async def push_frame(state: AppState, push_source: str, df: Mapping[str, Any], target: PushTarget) -> None:
    """Write a DataFrame to every view of a push source.

    Raises UnknownPushSourceError, InvalidRequestError where any row is faulty, NotServableError where no view takes
    rows online, TooBusyError, and StoreUnavailableError.
    """
    catalog = state.plans.catalog
    if push_source not in catalog.push_sources:
        known = ", ".join(catalog.push_sources) or "none"
        raise UnknownPushSourceError(f"There is no push source {push_source}. Known: {known}")
    schema = state.pusher.schema(catalog, push_source)
    if target.online and all(view.refusal for view in schema.views):
        refusal = schema.views[0].refusal
        raise NotServableError(f"Push source {push_source} feeds no view that may be written: {refusal}")
    await _push(state, schema, df, target)


async def write_frame(state: AppState, view_name: str, df: Mapping[str, Any]) -> None:
    """Write a DataFrame to one view, online only, newest-wins.

    Raises UnknownViewError, and as push_frame does.
    """
    catalog = state.plans.catalog
    view = stored_view(catalog, view_name, "written online")
    await _push(state, state.pusher.view_schema(catalog, view), df, PushTarget.ONLINE)


async def _push(state: AppState, schema: PushSchema, df: Mapping[str, Any], target: PushTarget) -> None:
    rows = frame_rows(df, schema.views)
    limit = state.settings.max_push_rows
    if len(rows) > limit:
        message = f"at most {limit} rows in one request (FRESHET_MAX_PUSH_ROWS), got {len(rows)}"
        raise InvalidRequestError("Too many rows", [FieldError("df", message)])
    if not rows:
        return
    checked = await state.pusher.checked(schema, rows)
    if checked.rejected:
        faults = [FieldError(f"row {row.position}", row.reason) for row in checked.rejected[:_MOST_FAULTS]]
        message = f"{len(checked.rejected)} of {len(rows)} rows are faulty; nothing was written"
        raise InvalidRequestError(message, faults)
    result = await state.push_groups.write(schema, GroupedPush(checked, target, atomic=True))
    state.pusher.counted(schema, result)
