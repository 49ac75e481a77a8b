"""Historical features for a few rows: the join of an export, answered at once."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from app.api.direct import read_body
from app.api.json_body import decode_body, described_body
from app.api.problems import RESPONSES, documented
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.errors import NotAcceptableError
from app.exports.choose import choose
from app.exports.json_text import JsonText
from app.exports.small import SmallResult, export_rows
from app.exports.text_types import as_text_types

router = APIRouter(prefix="/v1", tags=["exports"], route_class=TimedRoute)

JSON, PARQUET, ARROW = "application/json", "application/vnd.apache.parquet", "application/vnd.apache.arrow.stream"
_WRITTEN = (JSON, PARQUET, ARROW)
_Q_VALUE = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?", re.ASCII)


class HistoricalBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which features, and for which rows: each with `event_timestamp`, the join keys, and what is to be kept."""

    spine: list[dict[str, Any]]
    feature_service: str | None = None
    features: list[str] | None = None
    known_at: bool = False
    full_feature_names: bool = False


class HistoricalAnswer(BaseModel):
    """One row per row of the spine, in its order: its columns, and then the features, which `features` names.

    `statuses` has a list per row with a status per feature: PRESENT, NULL_VALUE, NOT_FOUND or OUTSIDE_MAX_AGE.
    """

    features: list[str]
    rows: list[dict[str, Any]]
    statuses: list[list[str]]


@router.post(
    "/historical-features",
    summary="Features as they held at the time of each row",
    description="For at most FRESHET_SYNC_EXPORT_ROWS rows. As JSON, or by Accept as Parquet or as an Arrow stream.",
    response_model=HistoricalAnswer,
    responses={
        **{status: RESPONSES[status] for status in (404, 422, 503)},
        400: documented("The body is not JSON"),
        406: documented("None of the media types in Accept is one that is written here"),
        413: documented("The body is longer than FRESHET_MAX_BODY_BYTES"),
    },
    openapi_extra=described_body(
        HistoricalBody,
        {"feature_service": "assistant_v1", "spine": [{"user_id": "u1", "event_timestamp": "2026-11-22T12:00:00Z"}]},
    ),
)
async def historical_features(request: Request) -> Response:
    state = state_of(request)
    media_type = _accepted(request.headers.get("accept", ""))
    body = decode_body(await read_body(request.receive, state.settings.max_body_bytes), HistoricalBody)
    return Response(await state.export_threads.run(lambda: _answer(state, body, media_type)), media_type=media_type)


def _answer(state: AppState, body: HistoricalBody, media_type: str) -> bytes:
    settings = state.settings
    selection = choose(state.plans.catalog, body.feature_service, body.features)
    result = export_rows(
        selection,
        body.spine,
        state.history,
        settings.sync_export_rows,
        settings.export_memory,
        settings.sync_export_timeout,
        body.known_at,
        body.full_feature_names,
    )
    return {JSON: _json, PARQUET: _parquet, ARROW: _arrow}[media_type](result)


def _accepted(accept: str) -> str:
    """The media type that the header likes best of those that are written here; of equals the one that comes first in
    it, and JSON for a range of them. Raises NotAcceptableError."""
    shares = {name: _share(parameters) for name, parameters in map(_parted, (accept or "*/*").split(","))}
    # Sorted keeps the order of equals.
    for name, share in sorted(shares.items(), key=lambda entry: -entry[1]):
        if share <= 0:
            break
        if name in _WRITTEN:
            return name
        if name in ("*/*", "application/*"):
            # A type that is named does not fall under the range.
            unnamed = [one for one in _WRITTEN if one not in shares]
            if unnamed:
                return JSON if shares.get(JSON) == share else unnamed[0]
    raise NotAcceptableError(f"Historical features are written as {JSON}, {PARQUET} or {ARROW}")


def _parted(wanted: str) -> tuple[str, str]:
    name, _, parameters = wanted.partition(";")
    return name.strip().lower(), parameters


def _share(parameters: str) -> float:
    """The q-value among the parameters of a media range, 1 where there is none, and 0 for one that is no number."""
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return float(value) if _Q_VALUE.fullmatch(value := value.strip()) else 0.0
    return 1.0


def _json(result: SmallResult) -> bytes:
    text = JsonText()
    try:
        lines = b"".join(bytes(piece) for piece in text.lines(as_text_types(result.table)))
    finally:
        text.close()
    # A newline within a value is escaped.
    rows = b",".join(lines.splitlines())
    statuses = orjson.dumps([list(row) for row in zip(*result.statuses, strict=True)])
    return b'{"features":%b,"rows":[%b],"statuses":%b}' % (orjson.dumps(list(result.features)), rows, statuses)


def _parquet(result: SmallResult) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(result.table, sink, compression="zstd")
    return bytes(sink.getvalue())


def _arrow(result: SmallResult) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, result.table.schema) as writer:
        writer.write_table(result.table)
    return bytes(sink.getvalue())
