"""Results over HTTP: whole, in parts, and not at all where the caller has them."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Iterator
from typing import BinaryIO

import pytest
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from starlette.responses import StreamingResponse

from app.api.result_data import ResultData, data_response

BYTES = bytes(range(256)) * 10_000
TAG = '"5a0c"'


FILES: list[BinaryIO] = []
"""Every file that was opened: kept, as one that is forgotten is closed by Python."""


def served(content: bytes, size: int) -> TestClient:
    app = FastAPI()

    def opened() -> BinaryIO:
        FILES.append(io.BytesIO(content))
        return FILES[-1]

    @app.api_route("/data", methods=["GET", "HEAD"])
    async def data(request: Request) -> Response:
        return data_response(request, ResultData(opened, "ü.csv", "text/csv; charset=utf-8", size, "5a0c"))

    return TestClient(app)


@pytest.fixture
def client() -> Iterator[TestClient]:
    """A client of a result, all of whose files are closed in the end."""
    FILES.clear()
    yield served(BYTES, len(BYTES))
    assert all(file.closed for file in FILES)


def test_the_whole_file(client: TestClient) -> None:
    answer = client.get("/data")

    assert answer.status_code == 200
    assert answer.content == BYTES
    assert answer.headers["content-length"] == "2560000"
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert answer.headers["etag"] == TAG
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-disposition"] == "attachment; filename*=utf-8''%C3%BC.csv"
    assert "content-range" not in answer.headers


def test_its_head(client: TestClient) -> None:
    for headers in ({}, {"Range": "bytes=0-9"}):  # a range is for GET alone
        answer = client.head("/data", headers=headers)

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == "2560000"
        assert answer.headers["etag"] == TAG


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1-1500000", 1, 1_500_001),
        ("bytes=2559999-", 2_559_999, 2_560_000),
        ("bytes=5-99999999999", 5, 2_560_000),
        ("bytes=-7", 2_559_993, 2_560_000),
        ("bytes=-9999999999", 0, 2_560_000),
        ("Bytes = 3-4", 3, 5),
    ],
)
@pytest.mark.parametrize("if_range", [None, TAG])
def test_a_part(client: TestClient, header: str, start: int, end: int, if_range: str | None) -> None:
    answer = client.get("/data", headers={"Range": header} | ({"If-Range": if_range} if if_range else {}))

    assert answer.status_code == 206
    assert answer.content == BYTES[start:end]
    assert answer.headers["content-range"] == f"bytes {start}-{end - 1}/2560000"
    assert answer.headers["content-length"] == str(end - start)
    assert answer.headers["etag"] == TAG


@pytest.mark.parametrize(
    "headers",
    [
        {"Range": "rows=0-1"},
        {"Range": "bytes=2-1"},
        {"Range": "bytes=a-b"},
        {"Range": "bytes=-"},
        {"Range": "bytes=0-1,5-6"},
        {"Range": "bytes=0-1", "If-Range": '"other"'},
        {"Range": "bytes=0-1", "If-Range": f"W/{TAG}"},
        {"Range": "bytes=0-1", "If-Range": "Thu, 01 Jan 2026 00:00:00 GMT"},
        {"If-None-Match": '"other"'},
    ],
)
def test_the_whole_file_where_no_part_may_be_sent(client: TestClient, headers: dict[str, str]) -> None:
    answer = client.get("/data", headers=headers)

    assert (answer.status_code, answer.content) == (200, BYTES)


@pytest.mark.parametrize("header", ["bytes=2560000-", "bytes=2560000-2560001", "bytes=-0"])
def test_a_part_behind_the_end_is_a_problem(client: TestClient, header: str) -> None:
    answer = client.get("/data", headers={"Range": header})

    assert answer.status_code == 416
    assert answer.headers["content-range"] == "bytes */2560000"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == "https://freshet.dev/problems/range-not-satisfiable"
    assert answer.json()["detail"] == "The result has 2560000 bytes; ask for some of them"


@pytest.mark.parametrize("header", [TAG, f'"other", {TAG}', f"W/{TAG}", "*"])
def test_what_the_caller_has_is_not_sent_again(client: TestClient, header: str) -> None:
    answer = client.get("/data", headers={"If-None-Match": header, "Range": "bytes=0-1"})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == TAG


def test_an_empty_file() -> None:
    client = served(b"", 0)

    assert client.get("/data").content == b""
    assert client.get("/data", headers={"Range": "bytes=0-"}).status_code == 416
    assert all(file.closed for file in FILES)


def test_a_file_that_has_become_shorter_cuts_the_connection() -> None:
    with pytest.raises(OSError, match="shorter than it was"):
        served(b"abc", 10).get("/data")
    assert all(file.closed for file in FILES)


def test_a_caller_who_leaves_in_the_middle_of_a_read_lets_it_end_first() -> None:
    reading, left = threading.Event(), threading.Event()
    closed = threading.Event()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            reading.set()
            assert left.wait(60)
            assert not closed.is_set()
            return super().read(size)

        def close(self) -> None:
            super().close()
            closed.set()

    async def leave() -> None:
        request = Request({"type": "http", "method": "GET", "path": "/", "headers": []})
        data = ResultData(lambda: Slow(BYTES), "rows.csv", "text/csv", len(BYTES), "5a0c")
        response = data_response(request, data)
        assert isinstance(response, StreamingResponse)
        pieces = response.body_iterator
        task = asyncio.ensure_future(anext(aiter(pieces)))
        assert await asyncio.to_thread(reading.wait, 60)
        task.cancel()
        await asyncio.wait([task])
        assert not closed.is_set()
        left.set()
        assert await asyncio.to_thread(closed.wait, 60)

    asyncio.run(leave())
