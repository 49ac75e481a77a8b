"""Exports as jobs: ordered here, made by a worker, fetched here."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import BaseModel
from starlette.responses import StreamingResponse

from app.api.export_body import ExportAsked, export_description, read_export
from app.api.problems import RESPONSES, documented, problem_type
from app.api.result_data import ResultData, data_response
from app.api.route import TimedRoute
from app.api.state import AppState, state_of
from app.errors import NotFinishedError, NotFoundError
from app.exports.formats import ExportFormat
from app.exports.order import KIND, ExportFiles
from app.job import Job, JobState
from app.values import format_timestamp

router = APIRouter(prefix="/v1", tags=["exports"], route_class=TimedRoute)

State = Annotated[AppState, Depends(state_of)]

_SECONDS_BETWEEN_LOOKS = 0.25
_SECONDS_OF_SILENCE = 15.0


class ProgressModel(BaseModel):
    """What an export is at; `rows_total` is null until it is known."""

    phase: str
    rows_done: int
    rows_total: int | None


class FaultModel(BaseModel):
    """Why an export failed, as a problem says it."""

    type: str
    title: str
    detail: str


class ExportModel(BaseModel):
    """An export. `rows`, `bytes` and `sha256` are those of the result, null before it is there; `cancel_requested` says
    that it is to stop, and soon will have."""

    id: str
    state: JobState
    cancel_requested: bool
    progress: ProgressModel
    feature_service: str | None
    features: list[str] | None
    format: ExportFormat
    known_at: bool
    created_at: str
    started_at: str | None
    finished_at: str | None
    rows: int | None
    bytes: int | None
    sha256: str | None
    error: FaultModel | None


@router.post(
    "/exports",
    status_code=202,
    summary="Order an export",
    response_model=ExportModel,
    responses={
        **{status: RESPONSES[status] for status in (400, 404, 422, 503)},
        413: documented("The body is longer than FRESHET_MAX_BODY_BYTES, or than FRESHET_MAX_UPLOAD_BYTES with a file"),
    },
    openapi_extra=export_description(),
)
async def order(request: Request) -> Response:
    state = state_of(request)
    async with read_export(request, state.settings) as asked:
        job = await state.order_threads.run(functools.partial(_order, state, asked))
    body = _model(job).model_dump_json().encode()
    return Response(body, 202, {"Location": f"/v1/exports/{job.id}"}, "application/json")


def _order(state: AppState, asked: ExportAsked) -> Job:
    """Check what is asked for, keep the spine, and then order the job: it is never without its spine."""
    job_id = str(uuid.uuid4())
    files = ExportFiles(state.exports, job_id)
    catalog, now = state.plans.catalog, state.clock()
    files.keep_spine(functools.partial(asked.write_spine, catalog, state.history, state.settings))
    try:
        return state.jobs.create(KIND, asked.request(now), now, job_id)
    except BaseException:
        files.remove_spine()
        raise


@router.get("/exports", summary="Exports, the newest first", responses={503: RESPONSES[503]})
async def exports(
    state: State,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
    after: str | None = None,
    job_state: Annotated[JobState | None, Query(alias="state")] = None,
) -> dict[str, list[ExportModel]]:
    found = await state.order_threads.run(lambda: state.jobs.list(KIND, limit, after, job_state))
    return {"exports": [_model(job) for job in found]}


@router.get("/exports/{export_id}", summary="One export", responses={s: RESPONSES[s] for s in (404, 503)})
async def export(state: State, export_id: str) -> ExportModel:
    return _model(await _job(state, export_id))


@router.delete("/exports/{export_id}", summary="Cancel an export", responses={s: RESPONSES[s] for s in (404, 503)})
async def cancel(state: State, export_id: str) -> ExportModel:
    await _job(state, export_id)
    job = await state.order_threads.run(lambda: state.jobs.request_cancel(export_id, state.clock()))
    return _model(job or await _job(state, export_id))


@router.get(
    "/exports/{export_id}/events",
    summary="The progress of an export",
    description="Server-sent events: the export each time that something has changed, until it has ended.",
    response_class=StreamingResponse,
    responses={200: {"content": {"text/event-stream": {}}}, **{s: RESPONSES[s] for s in (404, 503)}},
)
async def events(request: Request, state: State, export_id: str) -> StreamingResponse:
    job = await _job(state, export_id)
    return StreamingResponse(_events(request, state, job), media_type="text/event-stream")


async def _events(request: Request, state: AppState, job: Job) -> AsyncIterator[bytes]:
    told, silent = b"", 0.0
    while True:
        body = _model(job).model_dump_json().encode()
        if body != told:
            yield b"event: export\ndata: " + body + b"\n\n"
            told, silent = body, 0.0
        if job.state.finished or state.draining.active or await request.is_disconnected():
            return
        await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
        silent += _SECONDS_BETWEEN_LOOKS
        if silent >= _SECONDS_OF_SILENCE:
            # So that nothing in between takes the connection for dead.
            yield b": still at it\n\n"
            silent = 0.0
        job = await _job(state, job.id)


@router.get(
    "/exports/{export_id}/data",
    summary="The result of an export",
    response_class=StreamingResponse,
    responses={
        **{status: RESPONSES[status] for status in (404, 503)},
        206: {"description": "The part that a Range header asks for"},
        409: documented("The export has not succeeded, or not yet"),
        416: documented("A Range header that asks for bytes behind the end"),
    },
)
async def data(request: Request, state: State, export_id: str) -> Response:
    job = await _succeeded(state, export_id)
    place = ExportFiles(state.exports, job.id).folder.child(_result(job)["file"])
    form = ExportFormat(job.request["format"])
    result = _result(job)
    return data_response(
        request, ResultData(place.open, result["file"], form.media_type, result["bytes"], result["sha256"])
    )


@router.get(
    "/exports/{export_id}/spine",
    summary="The rows that an export is made for",
    description="As Parquet, in the types of their features: what `freshet export --reproduce` takes as --spine.",
    response_class=StreamingResponse,
    responses={**{status: RESPONSES[status] for status in (404, 503)}, 206: {"description": "A part, by Range"}},
)
async def spine(request: Request, state: State, export_id: str) -> Response:
    job = await _job(state, export_id)
    place = ExportFiles(state.exports, job.id).kept_spine
    size = await state.order_threads.run(place.size)
    if size is None:
        raise NotFoundError("The spine of this export is not kept any more")
    form = ExportFormat.PARQUET
    name = f"{job.id}-spine{form.suffix}"
    return data_response(request, ResultData(place.open, name, form.media_type, size, f"spine-{job.id}"))


@router.get(
    "/exports/{export_id}/manifest",
    summary="What a result was made of",
    responses={
        **{status: RESPONSES[status] for status in (404, 503)},
        409: documented("The export has not succeeded, or not yet"),
    },
)
async def manifest(state: State, export_id: str) -> Response:
    job = await _succeeded(state, export_id)
    place = ExportFiles(state.exports, job.id).folder.child(_result(job)["manifest"])

    def read() -> bytes:
        with place.open() as file:
            return file.read()

    return Response(await state.order_threads.run(read), media_type="application/json")


async def _job(state: AppState, export_id: str) -> Job:
    job = await state.order_threads.run(lambda: state.jobs.get(export_id))
    if job is None or job.kind != KIND:
        raise NotFoundError("There is no such export, or not any more")
    return job


async def _succeeded(state: AppState, export_id: str) -> Job:
    job = await _job(state, export_id)
    if job.state is not JobState.SUCCEEDED:
        raise NotFinishedError(f"The export is {job.state}; it has no result" + ("" if job.state.finished else " yet"))
    return job


def _result(job: Job) -> dict[str, Any]:
    return dict(job.result or {})


def _model(job: Job) -> ExportModel:
    result = _result(job)
    fault = job.fault
    return ExportModel(
        id=job.id,
        state=job.state,
        cancel_requested=job.cancel_requested,
        progress=ProgressModel(
            phase=job.progress.phase, rows_done=job.progress.rows_done, rows_total=job.progress.rows_total
        ),
        feature_service=job.request.get("feature_service"),
        features=job.request.get("features"),
        format=ExportFormat(job.request["format"]),
        known_at=bool(job.request.get("known_at")),
        created_at=format_timestamp(job.created_at),
        started_at=format_timestamp(job.started_at) if job.started_at else None,
        finished_at=format_timestamp(job.finished_at) if job.finished_at else None,
        rows=result.get("rows"),
        bytes=result.get("bytes"),
        sha256=result.get("sha256"),
        error=FaultModel(type=problem_type(fault.slug), title=fault.title, detail=fault.detail) if fault else None,
    )
