"""Answers as bytes, in the shapes that the API documents."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson

from app.serving.plan import ServingPlan
from app.serving.reader import OnlineResult
from app.serving.row import OnlineRow
from app.values import to_json

# Moments are kept as naive datetimes here, which are UTC (rule 1).
OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001
_FEW = 8
# In microseconds since 1970: between them is what RFC 3339 can say.
_YEAR_1 = -62_135_596_800_000_000
_YEAR_10000 = 253_402_300_800_000_000


def encode_one(plan: ServingPlan, entity: Mapping[str, Sequence[Any]], row: OnlineRow, full_names: bool) -> bytes:
    """The answer to a GET: the features of one entity by name."""
    names, shape = plan.names(full_names), plan.shape
    if row.statuses is None:
        statuses = shape.present_by_name[full_names]
    else:
        statuses = dumps(dict(zip(names, row.statuses, strict=True)))
    return b"".join(
        [
            shape.opening,
            b',"entity":',
            dumps({name: values[0] for name, values in entity.items()}),
            b',"features":',
            dumps(dict(zip(names, row.values, strict=True))),
            b',"statuses":',
            statuses,
            b',"event_timestamps":',
            dumps(dict(zip(shape.views, map(_moment, row.moments), strict=True))),
            b"}",
        ]
    )


def encode_row(plan: ServingPlan, entities: Mapping[str, Sequence[Any]], row: OnlineRow) -> bytes:
    """The answer to a POST for one entity."""
    return dumps(
        {
            "features": plan.shape.references,
            "entities": entities,
            "values": [row.values],
            "statuses": [row.statuses or plan.shape.all_present],
            "event_timestamps": {
                view: [_moment(moment)] for view, moment in zip(plan.shape.views, row.moments, strict=True)
            },
        }
    )


@dataclass(slots=True)
class EncodedPart:
    """Some rows of an answer to a POST: what stands between the brackets of its arrays."""

    values: bytes
    statuses: bytes
    timestamps: list[bytes]


def encode_part(plan: ServingPlan, result: OnlineResult) -> EncodedPart:
    """The rows of one result: values and statuses by row and then by feature, event timestamps by view."""
    present, patterns = plan.shape.all_present_json, plan.shape.patterns
    if result.odd:
        rows = [present] * result.rows
        for row, statuses in result.odd.items():
            rows[row] = patterns[tuple(statuses)]
        statuses_json = b",".join(rows)
    else:
        statuses_json = (present + b",") * (result.rows - 1) + present
    return EncodedPart(
        dumps(list(zip(*result.values, strict=True)))[1:-1],
        statuses_json,
        [orjson.dumps(to_datetimes(moments), option=OPTIONS)[1:-1] for moments in result.moments],
    )


def encode_many(plan: ServingPlan, entities: Mapping[str, Sequence[Any]], parts: Sequence[EncodedPart]) -> bytes:
    """The answer to a POST: a matrix of values, and one of statuses, by row and then by feature."""
    timestamps = zip(*[part.timestamps for part in parts], strict=True)
    return b"".join(
        [
            b'{"features":',
            plan.shape.references_json,
            b',"entities":',
            dumps(entities),
            b',"values":[',
            b",".join([part.values for part in parts]),
            b'],"statuses":[',
            b",".join([part.statuses for part in parts]),
            b'],"event_timestamps":{',
            b",".join(
                [
                    name + b":[" + b",".join(column) + b"]"
                    for name, column in zip(plan.shape.views_json, timestamps, strict=True)
                ]
            ),
            b"}}",
        ]
    )


def dumps(value: Any) -> bytes:
    """The JSON of native values; NaN and infinities are null."""
    try:
        return orjson.dumps(value, to_json, OPTIONS)
    except TypeError:
        # What orjson cannot say: lone surrogates and integers beyond 64 bits, which a user's function may return.
        return json.dumps(to_json(value), separators=(",", ":")).encode()


def _moment(moment: int | None) -> datetime | None:
    """Microseconds since 1970 as a naive datetime; None for what RFC 3339 cannot say, too."""
    return None if moment is None or not _YEAR_1 <= moment < _YEAR_10000 else _EPOCH + timedelta(0, 0, moment)


def to_datetimes(moments: Sequence[int | None]) -> list[datetime | None]:
    """Microseconds since 1970 as naive datetimes."""
    if len(moments) <= _FEW:
        return list(map(_moment, moments))
    filled = [0 if moment is None else moment for moment in moments]
    if min(filled) < _YEAR_1 or max(filled) >= _YEAR_10000:
        return list(map(_moment, moments))
    converted: list[datetime | None] = np.array(filled, np.int64).view("datetime64[us]").tolist()
    if None in moments:
        for row, moment in enumerate(moments):
            if moment is None:
                converted[row] = None
    return converted
