"""JSON bodies: decoded by msgspec into typed values, with one fault at a time."""

from __future__ import annotations

import json
import re
from typing import Any, TypeVar

import msgspec

from app.errors import FieldError, InvalidRequestError, NotJsonError

T = TypeVar("T")

_DECODERS: dict[type, msgspec.json.Decoder[Any]] = {}

_PLACE = re.compile(r" - at `\$\.?(.*)`$")
_NAMED = re.compile(r"^Object (contains unknown|missing required) field `(.*)`$")


def decode_json(decoder: msgspec.json.Decoder[T], body: bytes, where: str = "body", *, second_look: bool = True) -> T:
    """What a JSON text holds. Raises NotJsonError, and InvalidRequestError that names the faulty field.

    `where` is what to call the text in a fault. The second look, which tells more of what is wrong, takes several times
    as long.
    """
    try:
        try:
            return decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if not second_look:
                raise error if isinstance(error, msgspec.ValidationError) else ValueError(str(error)) from None
            # Python's parser takes NaN, infinities, numbers that are as good as infinite, and lone surrogates, which
            # many clients write: so that the check of the values can say which one it is.
            return msgspec.convert(json.loads(body), decoder.type)
    except msgspec.ValidationError as error:
        raise InvalidRequestError("The request does not have the documented form", [_fault(str(error))]) from None
    except RecursionError:
        raise NotJsonError("The body is not valid JSON", [FieldError(where, "nested too deeply")]) from None
    except ValueError as error:
        raise NotJsonError("The body is not valid JSON", [FieldError(where, str(error))]) from None


def decode_body(body: bytes, kind: type[T]) -> T:
    """The same for a value of type `kind`, a msgspec Struct."""
    decoder: msgspec.json.Decoder[T] | None = _DECODERS.get(kind)
    if decoder is None:
        decoder = _DECODERS[kind] = msgspec.json.Decoder(kind)
    return decode_json(decoder, body)


def _fault(text: str) -> FieldError:
    place = _PLACE.search(text)
    message = text[: place.start()] if place else text
    path = place.group(1) if place else ""
    named = _NAMED.match(message)
    if named:
        path = f"{path}.{named.group(2)}".lstrip(".")
        message = "unknown field" if named.group(1) == "contains unknown" else "is missing"
    return FieldError(path or "body", message.replace("`", ""))


def struct_schema(struct: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON schema of a struct, for OpenAPI, and those of the types that it refers to, by name."""
    _, parts = msgspec.json.schema_components([struct])
    return parts.pop(struct.__name__), parts


def described_body(kind: type[Any], example: Any) -> dict[str, Any]:
    """The JSON schema of a Struct, in one piece, as OpenAPI's description of a body."""
    (schema,), parts = msgspec.json.schema_components([kind], ref_template="{name}")
    schema = parts.pop(schema["$ref"])
    for name, field in schema["properties"].items():
        if "$ref" in field:
            schema["properties"][name] = {**parts[field["$ref"]], **{k: v for k, v in field.items() if k != "$ref"}}
        elif "$ref" in (items := field.get("items", {})):
            field["items"] = parts[items["$ref"]]
    schema["examples"] = [example]
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}
