"""The file of a result over HTTP, whole or in parts, from the disk or from an object store.

Not Starlette's FileResponse: that one serves files of the disk alone, answers a Range header that it does not
understand with 400 where RFC 9110 wants it ignored, and no If-None-Match; and its errors are no problems.
"""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Request, Response
from starlette.responses import StreamingResponse

from app.api.problems import problem
from app.errors import RangeNotSatisfiableError
from app.threads import in_thread

_PIECE = 2**20
_RANGE = re.compile(r"bytes=(?:([0-9]{1,19})-([0-9]{1,19})?|-([0-9]{1,19}))", re.IGNORECASE)


@dataclass(frozen=True)
class ResultData:
    """A complete file: how to open it (in a thread; seekable), what it is called, its size and its checksum."""

    open: Callable[[], BinaryIO]
    name: str
    media_type: str
    size: int
    sha256: str


def data_response(request: Request, data: ResultData) -> Response:
    """The file, the part that a Range header asks for, or 304 where the caller has it already.

    Several ranges at once, and what is no range of bytes, get the whole file, as RFC 9110 allows. A range behind the
    end is a problem with status 416. Streams; raises nothing.
    """
    etag = f'"{data.sha256}"'
    known = request.headers.get("if-none-match")
    headers = {"ETag": etag, "Accept-Ranges": "bytes"}
    if known is not None and (known.strip() == "*" or etag in _tags(known)):
        return Response(status_code=304, headers=headers)
    start, end = 0, data.size
    found = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    partial = found is not None and request.method == "GET" and request.headers.get("if-range", etag) == etag
    if found is not None and partial:
        first, last, suffix = found.groups()
        if first is not None and last is not None and int(first) > int(last):
            partial = False  # no range at all
        else:
            start = int(first) if suffix is None else max(0, data.size - int(suffix))
            end = min(data.size, int(last) + 1) if last is not None else data.size
            if start >= end:
                return _unsatisfiable(request, data.size)
    headers["Content-Length"] = str(end - start)
    headers["Content-Disposition"] = f"attachment; filename*=utf-8''{quote(data.name)}"
    if partial:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{data.size}"
    if request.method == "HEAD":
        return Response(status_code=200, headers=headers, media_type=data.media_type)
    return StreamingResponse(_pieces(data, start, end), 206 if partial else 200, headers, data.media_type)


def _tags(header: str) -> set[str]:
    return {tag.strip().removeprefix("W/") for tag in header.split(",")}


def _unsatisfiable(request: Request, size: int) -> Response:
    kind = RangeNotSatisfiableError
    detail = f"The result has {size} bytes; ask for some of them"
    return problem(request, kind.status, kind.slug, kind.title, detail, headers={"Content-Range": f"bytes */{size}"})


async def _pieces(data: ResultData, start: int, end: int) -> AsyncIterator[bytes]:
    """The bytes from `start` to `end`. Raises OSError where the file has become shorter: the connection is then cut,
    so that nobody takes what came for the whole."""
    reader = _Reader(data, start)
    try:
        while start < end:
            piece = await in_thread(functools.partial(reader.read, min(_PIECE, end - start)))
            if not piece:
                raise OSError(f"{data.name} is shorter than it was")
            start += len(piece)
            yield piece
    finally:
        reader.close()


class _Reader:
    """Reads in threads, one after the other. May be closed while one of them reads, as the caller may leave at any
    time: that thread then closes the file."""

    def __init__(self, data: ResultData, start: int) -> None:
        self._data = data
        self._start = start
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self._closed = False

    def read(self, size: int) -> bytes:
        """At most so many of the next bytes."""
        with self._lock:
            if self._file is None:
                self._file = self._data.open()
                self._file.seek(self._start)
            piece = self._file.read(size)
        if self._closed:
            self.close()
        return piece

    def close(self) -> None:
        """Close the file now, or when it is not read any more."""
        self._closed = True
        if self._lock.acquire(blocking=False):
            try:
                if self._file is not None:
                    self._file.close()
            finally:
                self._lock.release()
