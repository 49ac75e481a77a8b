"""What the benchmark of pushes sends: rows whose event timestamps rise, of users that no two requests share."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pushing.cases import PUSH_CASES, draw, templates
from benchmarks.pushing.contestants import PUSH_CONTESTANTS
from benchmarks.pushing.rows import user_id, values
from benchmarks.pushing.templates import SLOTS, encode_moment, read_templates, rising, write_templates

CASE = PUSH_CASES["push-batch"]
DRAWS = [[3, 1, 4], [15, 9, 2]]


def rows(contestant: str, raw: bytes) -> list[dict[str, object]]:
    """The rows in a request, with event timestamps as aware datetimes."""
    head, _, body = raw.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    if "arrow" in contestant:
        return list(pa.ipc.open_stream(body).read_all().to_pylist())
    if "ndjson" in contestant:
        found = [orjson.loads(line) for line in body.splitlines()]
    elif contestant.startswith("feast"):
        columns = orjson.loads(body)["df"]
        found = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    else:
        found = orjson.loads(body)["rows"]
    return [{**row, "event_timestamp": datetime.fromisoformat(row["event_timestamp"])} for row in found]


@pytest.mark.parametrize("contestant", PUSH_CONTESTANTS)
def test_every_row_has_the_moment_of_its_request(contestant: str, tmp_path: Path) -> None:
    write_templates(tmp_path / "file", templates(CASE, contestant, DRAWS))
    start = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    requests = itertools.islice(
        rising(
            read_templates(tmp_path / "file"), (start - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
        ),
        3,
    )
    for turn, raw in enumerate(requests):
        moment = start + timedelta(microseconds=turn)
        assert rows(contestant, raw) == [
            {"user_id": user_id(number), "event_timestamp": moment, **values(number)} for number in DRAWS[turn % 2]
        ]


@given(st.integers(min_value=0, max_value=4_000_000_000_000_000))
def test_a_moment_is_as_long_as_its_slot(moment: int) -> None:
    text = encode_moment(moment, "text")
    assert len(text) == len(SLOTS["text"])
    assert datetime.fromisoformat(text.decode()) == datetime.fromtimestamp(0, UTC) + timedelta(microseconds=moment)
    assert int.from_bytes(encode_moment(moment, "int64"), "little") == moment


@pytest.mark.parametrize("case", PUSH_CASES.values(), ids=lambda case: case.name)
def test_no_user_is_in_two_requests(case: object) -> None:
    assert isinstance(case, type(CASE))
    draws = draw(case, 10_000)
    numbers = [number for numbers in draws for number in numbers]
    assert {len(one) for one in draws} == {case.rows}
    assert len(set(numbers)) == len(numbers) == 10_000
