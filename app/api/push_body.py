"""The wire forms of a push: a JSON object, a row per line (NDJSON), or an Arrow IPC stream, by content type."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Scope

from app.api.json_body import decode_json, struct_schema
from app.api.push_arrow import decode_arrow
from app.domain import PushTarget
from app.errors import FieldError, InvalidRequestError, UnsupportedMediaTypeError
from app.pushing.schema import PushedColumns
from app.values import ValueFault, parse_timestamp

_JSON, _NDJSON, _ARROW = "application/json", "application/x-ndjson", "application/vnd.apache.arrow.stream"
_LONGEST_KEY = 255
_TRUTH = {"true": True, "1": True, "false": False, "0": False}


class PushBody(msgspec.Struct, forbid_unknown_fields=True):
    """Rows to write: join keys, every feature, and an `event_timestamp` (RFC 3339 or epoch seconds; default: now)."""

    rows: Annotated[list[Any], msgspec.Meta(description="May be empty where a watermark comes.")]
    to: PushTarget = PushTarget.ONLINE_AND_OFFLINE
    watermark: Annotated[
        str | int | float | None,
        msgspec.Meta(description="This push source is complete up to here: RFC 3339 or epoch seconds."),
    ] = None


@dataclass(frozen=True, slots=True)
class PushRequest:
    """What is pushed, and how: `atomic` means all rows or none; `watermark` is in UTC."""

    rows: Sequence[Any] | PushedColumns
    to: PushTarget
    atomic: bool
    watermark: datetime | None


@dataclass(frozen=True, slots=True)
class PushLimits:
    """What a push may hold: rows, and bytes of what its rows say."""

    rows: int
    body_bytes: int


Decoder = Callable[[bytes, PushLimits], PushRequest]
"""From a body to what is pushed. Raises NotJsonError, NotArrowError, and InvalidRequestError that names the field."""


def push_decoder(scope: Scope) -> Decoder:
    """What reads the body of this request, by its content type and query string; JSON where it says no type.

    Raises UnsupportedMediaTypeError, and InvalidRequestError for a faulty query or a header that cannot be honoured.
    """
    content_type = ""
    for name, value in scope["headers"]:
        if name == b"content-type":
            content_type = value.decode("latin-1").partition(";")[0].strip().lower()
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            raise UnsupportedMediaTypeError("A push is read without content-encoding; send its body uncompressed")
    query = scope["query_string"]
    if content_type in (_JSON, ""):
        return functools.partial(_decode_object, _options(query, {"atomic"}) if query else {})
    if content_type == _NDJSON:
        return functools.partial(_decode_lines, _options(query, {"to", "atomic", "watermark"}))
    if content_type == _ARROW:
        return functools.partial(_decode_stream, _options(query, {"to", "atomic", "watermark"}))
    raise UnsupportedMediaTypeError(
        f"A push is read as {_JSON}, {_NDJSON} or {_ARROW}; its content-type header says otherwise"
    )


def idempotency_key(scope: Scope) -> str | None:
    """The Idempotency-Key of this request. Raises InvalidRequestError for one that cannot be remembered."""
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            key: str = value.decode("latin-1").strip()
            if not (0 < len(key) <= _LONGEST_KEY and key.isascii() and key.isprintable()):
                message = f"must be 1 to {_LONGEST_KEY} printable ASCII characters"
                raise InvalidRequestError("The request is not valid", [FieldError("Idempotency-Key", message)])
            return key
    return None


def _options(query: bytes, known: set[str]) -> dict[str, Any]:
    """The options of the query string, by name. Raises InvalidRequestError that names every faulty one."""
    options: dict[str, Any] = {}
    faults = []
    for name, text in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known:
            faults.append(FieldError(name, f"unknown parameter; known here: {', '.join(sorted(known))}"))
        elif name == "atomic" and text.lower() in _TRUTH:
            options[name] = _TRUTH[text.lower()]
        elif name == "atomic":
            faults.append(FieldError(name, "must be true or false"))
        elif name == "watermark":
            try:
                options[name] = parse_timestamp(text)
            except ValueFault as fault:
                faults.append(FieldError(name, str(fault)))
        elif text in list(PushTarget):
            options[name] = PushTarget(text)
        else:
            faults.append(FieldError(name, f"must be one of {', '.join(PushTarget)}"))
    if faults:
        raise InvalidRequestError("The request is not valid", faults)
    return options


_BODY: msgspec.json.Decoder[PushBody] = msgspec.json.Decoder(PushBody)
_ROW: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def _decode_object(options: dict[str, Any], body: bytes, limits: PushLimits) -> PushRequest:
    push = decode_json(_BODY, body)
    watermark = None if push.watermark is None else _watermark(push.watermark)
    return _request(push.rows, {**options, "to": push.to, "watermark": watermark}, limits)


def _decode_lines(options: dict[str, Any], body: bytes, limits: PushLimits) -> PushRequest:
    if body.count(b"\n") > 2 * limits.rows + 1:  # before a list is made of them
        raise InvalidRequestError(
            "Too many rows", [FieldError("body", f"more than twice as many lines as rows may be: {limits.rows}")]
        )
    lines = [(number, line) for number, line in enumerate(body.split(b"\n"), 1) if not line.isspace() and line]
    _check_rows(len(lines), limits, options)
    try:
        rows = [_ROW.decode(line) for _, line in lines]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        rows = [decode_json(_ROW, line, f"line {number}") for number, line in lines]
    return _request(rows, options, limits)


def _decode_stream(options: dict[str, Any], body: bytes, limits: PushLimits) -> PushRequest:
    columns = decode_arrow(body, limits.rows, limits.body_bytes)
    return _request(columns, options, limits)


def _request(rows: Sequence[Any] | PushedColumns, options: dict[str, Any], limits: PushLimits) -> PushRequest:
    _check_rows(len(rows), limits, options)
    target = options.get("to", PushTarget.ONLINE_AND_OFFLINE)
    return PushRequest(rows, target, options.get("atomic", False), options.get("watermark"))


def _watermark(value: str | float) -> datetime:
    """A watermark in UTC. Raises InvalidRequestError."""
    try:
        return parse_timestamp(value)
    except ValueFault as fault:
        raise InvalidRequestError("The request is not valid", [FieldError("watermark", str(fault))]) from None


def _check_rows(rows: int, limits: PushLimits, options: dict[str, Any]) -> None:
    if rows == 0 and options.get("watermark") is None:
        raise InvalidRequestError("Nothing was pushed", [FieldError("rows", "must not be empty")])
    if rows > limits.rows:
        message = f"at most {limits.rows} rows in one push (FRESHET_MAX_PUSH_ROWS), got {rows}"
        raise InvalidRequestError("Too many rows", [FieldError("rows", message)])


def push_description() -> dict[str, Any]:
    """The request body and the parameters, for OpenAPI."""
    schema, parts = struct_schema(PushBody)
    target = {**parts["PushTarget"], "default": PushTarget.ONLINE_AND_OFFLINE.value}
    schema["properties"]["to"] = target
    schema["properties"]["rows"]["items"] = {}
    return {
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": schema},
                _NDJSON: {"schema": {"type": "string", "description": "A JSON object per line, each a row."}},
                _ARROW: {"schema": {"type": "string", "format": "binary", "description": "An Arrow IPC stream."}},
            },
        },
        "parameters": [
            {"name": "push_source", "in": "path", "required": True, "schema": {"type": "string"}},
            {
                "name": "Idempotency-Key",
                "in": "header",
                "schema": {"type": "string", "maxLength": _LONGEST_KEY},
                "description": "The same key and request is written once, and answered the same, for 24 hours.",
            },
            {
                "name": "atomic",
                "in": "query",
                "schema": {"type": "boolean", "default": False},
                "description": "Write all rows or none: 422 with every fault where a row is rejected.",
            },
            {
                "name": "watermark",
                "in": "query",
                "schema": {"type": "string", "format": "date-time"},
                "description": "This push source is complete up to here; for NDJSON and Arrow.",
            },
            {
                "name": "to",
                "in": "query",
                "schema": target,
                "description": "Which stores to write; for NDJSON and Arrow, whose bodies cannot say it.",
            },
        ],
    }
