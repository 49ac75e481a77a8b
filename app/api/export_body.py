"""The order of an export: a JSON body, or a form with a file for the spine."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.types import Message, Receive

from app.api.direct import read_body
from app.api.json_body import decode_body, described_body
from app.domain import Catalog
from app.errors import BodyTooLargeError, FieldError, InvalidRequestError
from app.exports.choose import choose
from app.exports.entities import entities_of
from app.exports.formats import ExportFormat
from app.exports.order import ExportRequest
from app.exports.ports import OfflineHistory
from app.exports.spine import spine_of_file, spine_of_grid, spine_of_rows
from app.exports.spine_file import SpineFile
from app.exports.spine_grid import TimeGrid
from app.exports.spine_needs import SpineNeeds
from app.settings import Settings
from app.threads import in_thread


class GeneratedSpine(msgspec.Struct, forbid_unknown_fields=True):
    """Every entity at every time from `start` to `end`, `every` so often. `entities` are join keys with a list of
    values each, or rows, or the name of a feature view: all that it knows."""

    entities: dict[str, list[Any]] | list[dict[str, Any]] | str
    start: str | float
    end: str | float
    every: str | float


class ExportBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which features, for which rows, and how they are written. With a file there is no `spine` here."""

    spine: list[dict[str, Any]] | GeneratedSpine | None = None
    feature_service: str | None = None
    features: list[str] | None = None
    format: ExportFormat = ExportFormat.PARQUET
    known_at: bool = False
    full_feature_names: bool = False


@dataclass(frozen=True)
class ExportAsked:
    """An order that has the documented form; whether it can be met is yet to be found out."""

    body: ExportBody
    upload: Path | None = None
    name: str | None = None
    """What the uploaded file is called."""

    @property
    def origin(self) -> str:
        """Where the spine comes from, in a word."""
        if self.upload is not None:
            return "uploaded"
        return "generated" if isinstance(self.body.spine, GeneratedSpine) else "inline"

    def request(self, now: datetime) -> dict[str, Any]:
        """What the job is to remember."""
        body = self.body
        asked = ExportRequest(
            format=body.format,
            origin=self.origin,
            cutoff=now,
            feature_service=body.feature_service,
            features=None if body.features is None else tuple(body.features),
            known_at=body.known_at,
            full_feature_names=body.full_feature_names,
        )
        found: dict[str, Any] = msgspec.to_builtins(asked)
        return found

    def write_spine(self, catalog: Catalog, history: OfflineHistory, settings: Settings, target: Path) -> SpineFile:
        """Check the spine and write it. Raises InvalidRequestError, and what `choose` raises."""
        body = self.body
        selection = choose(catalog, body.feature_service, body.features)
        needs = SpineNeeds(selection.join_keys, selection.request_fields, settings.max_spine_rows)
        if self.upload is not None:
            return spine_of_file(self.upload, needs, target, name=self.name)
        if isinstance(body.spine, GeneratedSpine):
            spine = body.spine
            grid = TimeGrid.parse(spine.start, spine.end, spine.every)
            if isinstance(spine.entities, str):
                known = entities_of(catalog, spine.entities, history, settings.export_memory, grid.end, target.parent)
                return spine_of_grid(known, grid, needs, target)
            return spine_of_grid(spine.entities, grid, needs, target)
        return spine_of_rows(body.spine or [], needs, target, "spine")


@contextlib.asynccontextmanager
async def read_export(request: Request, settings: Settings) -> AsyncIterator[ExportAsked]:
    """The order that a request makes; an uploaded file is there for the with block.

    Raises InvalidRequestError, NotJsonError and BodyTooLargeError.
    """
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        body = decode_body(await read_body(request.receive, settings.max_body_bytes), ExportBody)
        if body.spine is None:
            raise InvalidRequestError("The export has no spine", [FieldError("spine", "is missing")])
        yield ExportAsked(body)
        return
    bounded = Request(request.scope, _bounded(request.receive, settings.max_upload_bytes))
    async with bounded.form(max_files=1, max_fields=1) as form:
        text, upload = form.get("request"), form.get("spine")
        if not isinstance(text, str) or not isinstance(upload, UploadFile):
            raise InvalidRequestError(
                "The form has two parts: `request`, which is JSON, and `spine`, which is a file",
                [FieldError(name, "is missing") for name in ("request", "spine") if name not in form],
            )
        body = decode_body(text.encode(), ExportBody)
        if body.spine is not None:
            raise InvalidRequestError("The spine is there twice", [FieldError("request.spine", "and a file besides")])
        with tempfile.TemporaryDirectory(prefix="freshet-upload-") as folder:
            place = Path(folder) / "upload"
            await _keep(upload.file, place)
            yield ExportAsked(body, place, upload.filename)


def _bounded(receive: Receive, limit: int) -> Receive:
    """The same messages, and BodyTooLargeError when their bodies together are longer than `limit`."""
    length = 0

    async def bounded() -> Message:
        nonlocal length
        message = await receive()
        length += len(message.get("body", b""))
        if length > limit:
            raise BodyTooLargeError(f"The upload is longer than {limit} bytes (FRESHET_MAX_UPLOAD_BYTES)")
        return message

    return bounded


async def _keep(file: BinaryIO, place: Path) -> None:
    """Copy an uploaded file to where it has a path."""

    def copy() -> None:
        with place.open("wb") as kept:
            shutil.copyfileobj(file, kept, 2**20)

    await in_thread(copy)


def export_description() -> dict[str, Any]:
    """The body, for OpenAPI."""
    example = {
        "feature_service": "assistant_v1",
        "spine": [{"user_id": "u1", "event_timestamp": "2026-11-22T12:00:00Z", "clicked": True}],
        "format": "parquet",
    }
    described = described_body(ExportBody, example)
    content = described["requestBody"]["content"]
    content["multipart/form-data"] = {
        "schema": {
            "type": "object",
            "required": ["request", "spine"],
            "properties": {
                "request": {"type": "string", "description": "The same as JSON, without `spine`."},
                "spine": {"type": "string", "format": "binary", "description": "Parquet, CSV or Arrow."},
            },
        }
    }
    return described
