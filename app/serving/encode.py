"""Answers as bytes, in the shapes that the API documents."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import orjson

from app.serving.plan import ServingPlan
from app.serving.reader import OnlineResult
from app.values import format_timestamp, to_json


def encode_one(plan: ServingPlan, entity: Mapping[str, Any], result: OnlineResult, full_feature_names: bool) -> bytes:
    """The answer to a GET: the features of one entity by name."""
    names = plan.names(full_feature_names)
    return orjson.dumps(
        {
            "feature_service": plan.name,
            "entity": {name: to_json(values[0]) for name, values in entity.items()},
            "features": {name: to_json(column[0]) for name, column in zip(names, result.values, strict=True)},
            "statuses": {name: column[0] for name, column in zip(names, result.statuses, strict=True)},
            "event_timestamps": {view: _moment(column[0]) for view, column in result.event_timestamps.items()},
        }
    )


def encode_many(plan: ServingPlan, entities: Mapping[str, Sequence[Any]], result: OnlineResult) -> bytes:
    """The answer to a POST: a matrix of values, and one of statuses, by row and then by feature."""
    values = [[to_json(value) for value in column] for column in result.values]
    return orjson.dumps(
        {
            "features": [output.reference for output in plan.outputs],
            "entities": {name: [to_json(value) for value in column] for name, column in entities.items()},
            "values": list(zip(*values, strict=True)),
            "statuses": list(zip(*result.statuses, strict=True)),
            "event_timestamps": {
                view: [_moment(moment) for moment in column] for view, column in result.event_timestamps.items()
            },
        }
    )


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_timestamp(moment)
