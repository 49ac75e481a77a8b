"""A request for online features, checked against a plan: every fault found is reported at once."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from app.domain import FieldSpec, OnStale
from app.errors import FieldError, InvalidRequestError
from app.planning.selection import REQUEST_TIMESTAMP
from app.serving.plan import ServingPlan
from app.serving.query_values import parse_text
from app.values import ValueFault, parse

# What is read, decoded and encoded without a break: some milliseconds of work at most, so that nobody waits long for a
# big request (benchmarks/RESULTS.md tells how long).
_CELLS_AT_ONCE = 2_500
_MOST_ROWS_AT_ONCE = 100


@dataclass(slots=True)
class OnlineRequest:
    """What a read needs: native values by column, all of one length, and how to treat old ones."""

    entities: Mapping[str, Sequence[Any]]
    request_data: Mapping[str, Sequence[Any]]
    rows: int
    max_staleness: timedelta | None = None
    on_stale: OnStale = OnStale.NULL

    def parts(self, width: int) -> Iterator[OnlineRequest]:
        """The same request in parts that are small enough, for answers of `width` features; itself where it is one."""
        step = max(1, min(_MOST_ROWS_AT_ONCE, _CELLS_AT_ONCE // max(width, 1)))
        if self.rows <= step:
            yield self
            return
        for start in range(0, self.rows, step):
            stop = min(start + step, self.rows)
            yield dataclasses.replace(
                self,
                entities={name: values[start:stop] for name, values in self.entities.items()},
                request_data={name: values[start:stop] for name, values in self.request_data.items()},
                rows=stop - start,
            )


def check_columns(
    plan: ServingPlan,
    entities: Mapping[str, Any],
    request_data: Mapping[str, Any],
    max_entities: int,
    max_staleness: timedelta | None,
    on_stale: OnStale,
) -> OnlineRequest:
    """The request that columns of JSON values make. Raises InvalidRequestError naming every faulty field."""
    if not request_data and not plan.request_fields and entities.keys() == plan.join_keys.keys():
        rows = _plain_rows(plan, entities)
        if 0 < rows <= max_entities:
            return OnlineRequest(entities, request_data, rows, max_staleness, on_stale)
    faults: list[FieldError] = []
    _check_names("entities", entities, plan.join_keys, set(), faults)
    optional = {REQUEST_TIMESTAMP}
    _check_names("request_data", request_data, plan.request_fields, optional, faults)
    columns = {
        **{f"entities.{name}": values for name, values in entities.items() if name in plan.join_keys},
        **{f"request_data.{name}": values for name, values in request_data.items() if name in plan.request_fields},
    }
    lengths: dict[str, int] = {}
    for where, values in columns.items():
        if not isinstance(values, list):
            faults.append(FieldError(where, "must be an array with one value per row"))
        elif not values:
            faults.append(FieldError(where, "must not be empty"))
        else:
            lengths[where] = len(values)
    if len(set(lengths.values())) > 1:
        shown = ", ".join(f"{where} has {length}" for where, length in lengths.items())
        faults.append(FieldError("entities", f"all columns must have the same number of rows: {shown}"))
    rows = max(lengths.values(), default=1)
    if rows > max_entities:
        raise InvalidRequestError(
            f"{rows} entities in one request; at most {max_entities} are served (FRESHET_MAX_ENTITIES)",
            [FieldError("entities", f"at most {max_entities} rows")],
        )
    native = {where: _parse_column(where, columns[where], _field(plan, where), faults) for where in lengths}
    if faults:
        raise InvalidRequestError("The request does not fit the features asked for", faults)
    return OnlineRequest(
        {name: native[f"entities.{name}"] for name in plan.join_keys},
        {name: native[f"request_data.{name}"] for name in plan.request_fields if f"request_data.{name}" in native},
        rows,
        max_staleness,
        on_stale,
    )


def check_query(
    plan: ServingPlan, parameters: Sequence[tuple[str, str]], max_staleness: timedelta | None, on_stale: OnStale
) -> OnlineRequest:
    """The request for one entity that query parameters make: join keys and request fields by name."""
    if len(parameters) == 1 == len(plan.join_keys) and not plan.request_fields:
        # Most requests. Whatever is wrong with one is found, and told, below.
        ((name, text),) = parameters
        field = plan.join_keys.get(name)
        if field is not None and field.dtype == "STRING" and text.isascii() and text and "\0" not in text:
            return OnlineRequest({name: [text]}, {}, 1, max_staleness, on_stale)
    faults: list[FieldError] = []
    known = {**plan.join_keys, **plan.request_fields}
    given: dict[str, Any] = {}
    for name, text in parameters:
        if name not in known:
            expected = ", ".join(known) or "none"
            faults.append(FieldError(name, f"unknown parameter; the join keys and request fields are: {expected}"))
        elif name in given:
            faults.append(FieldError(name, "given twice; POST /v1/online-features reads many entities at once"))
        elif text == "":
            faults.append(FieldError(name, "must not be empty"))
        else:
            try:
                given[name] = parse_text(text, known[name].dtype)
            except ValueFault as fault:
                faults.append(FieldError(name, str(fault)))
    named = {fault.field for fault in faults}
    faults += [
        FieldError(name, "is missing")
        for name in known
        if name not in given and name not in named and name != REQUEST_TIMESTAMP
    ]
    if faults:
        raise InvalidRequestError("The request does not fit the features asked for", faults)
    return OnlineRequest(
        {name: [given[name]] for name in plan.join_keys},
        {name: [given[name]] for name in plan.request_fields if name in given},
        1,
        max_staleness,
        on_stale,
    )


def _check_names(
    section: str,
    given: Mapping[str, Any],
    known: Mapping[str, FieldSpec],
    optional: set[str],
    faults: list[FieldError],
) -> None:
    expected = ", ".join(known) or "none"
    unknown = [name for name in given if name not in known]
    faults += [FieldError(f"{section}.{name}", f"unknown; expected: {expected}") for name in unknown]
    missing = [name for name in known if name not in given and name not in optional]
    faults += [FieldError(f"{section}.{name}", "is missing") for name in missing]


def _field(plan: ServingPlan, where: str) -> FieldSpec:
    section, _, name = where.partition(".")
    return plan.join_keys[name] if section == "entities" else plan.request_fields[name]


_BOUNDS = {"INT32": 2**31, "INT64": 2**63}


def _is_plain(values: list[Any], dtype: str) -> bool:
    """Whether a look at the whole column shows that every value is of the type and needs no conversion.

    Some columns that would pass do not; they are looked at value by value.
    """
    kinds = set(map(type, values))
    if not kinds:
        return False
    if dtype == "STRING" and kinds == {str}:
        joined = "".join(values)
        return "" not in values and "\0" not in joined and (joined.isascii() or _is_unicode(joined))
    if dtype in _BOUNDS and kinds == {int}:
        return bool(-_BOUNDS[dtype] <= min(values) and max(values) < _BOUNDS[dtype])
    return dtype == "DOUBLE" and kinds == {float} and math.isfinite(sum(values))


def _plain_rows(plan: ServingPlan, entities: Mapping[str, Any]) -> int:
    """The number of rows of columns that need no further look, which most requests have; 0 for others."""
    rows = 0
    for name, field in plan.join_keys.items():
        values = entities[name]
        if type(values) is not list or len(values) != (rows or len(values)) or not _is_plain(values, field.dtype):
            return 0
        rows = len(values)
    return rows


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _parse_column(where: str, values: list[Any], field: FieldSpec, faults: list[FieldError]) -> list[Any]:
    is_key = where.startswith("entities.")
    if _is_plain(values, field.dtype):
        return values
    native = []
    for position, value in enumerate(values):
        try:
            if is_key and (value is None or value == ""):
                raise ValueFault("a join key must not be null or empty")
            native.append(parse(value, field.dtype))
        except ValueFault as fault:
            faults.append(FieldError(f"{where}[{position}]", str(fault)))
            if len(faults) >= 100:
                raise InvalidRequestError("More than 100 faulty values; these are the first", faults) from None
    return native
