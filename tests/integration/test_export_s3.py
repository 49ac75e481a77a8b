"""Results in an S3 store: they appear whole or not at all, and no upload stays open."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.errors import QuotaExceededError, StoreUnavailableError
from app.exports import destination
from app.exports.destination import Destination
from app.exports.formats import ExportFormat, result_writer
from tests.servers.s3 import S3Server

EXPORT = "5a0c"
LARGE = b"x" * (12 * 2**20)
"""More than pyarrow uploads in one part: it begins an upload in parts for it."""


@pytest.fixture(scope="module")
def server() -> Iterator[S3Server]:
    """A store with a bucket."""
    with S3Server() as server:
        server.make_bucket("results")
        yield server


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """As pyarrow takes them from the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAUSER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def folder(server: S3Server, request: pytest.FixtureRequest) -> Destination:
    """A prefix of the test's own, by a URL that names the server."""
    name = request.node.name.partition("[")[0]
    return Destination.parse(f"s3://results/{name}?endpoint_override={server.address}&scheme=http&region=eu-1")


def own(server: S3Server, folder: Destination) -> dict[str, int]:
    """The objects of the folder, by name."""
    prefix = folder.address.path.removeprefix("results/")
    return {key.removeprefix(f"{prefix}/"): size for key, size in server.objects("results").items() if prefix in key}


def test_a_result_appears_when_it_is_complete(server: S3Server, folder: Destination) -> None:
    place = folder.child("rows.parquet")
    table = pa.table({"a": range(10_000)})
    with place.writing(EXPORT) as result:
        with result_writer(ExportFormat.PARQUET, table.schema, result) as writer:
            for batch in table.to_batches(max_chunksize=100):
                writer.write(batch)
        assert own(server, folder) == {}

    assert own(server, folder) == {"rows.parquet": result.bytes}
    assert place.size() == result.bytes
    with place.open() as file:
        data = file.read()
        assert hashlib.sha256(data).hexdigest() == result.sha256
        file.seek(4)
        assert file.read(10) == data[4:14]
    assert pq.read_table(io.BytesIO(data)) == table
    place.remove()
    assert place.size() is None


def test_nothing_is_seen_of_an_upload_in_parts(server: S3Server, folder: Destination) -> None:
    place = folder.child("rows.csv")
    with place.writing(EXPORT) as result:
        result.write(LARGE)
        result.write(LARGE)
        assert own(server, folder) == {}
        (upload,) = server.uploads("results")
        assert "/.rows.csv.5a0c." in upload

    assert own(server, folder) == {"rows.csv": 2 * len(LARGE)}
    assert server.uploads("results") == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_no_object_and_no_upload(server: S3Server, folder: Destination, error: BaseException) -> None:
    def fail() -> None:
        with folder.child("rows.csv").writing(EXPORT) as result:
            result.write(LARGE)
            raise error

    with pytest.raises(type(error)):
        fail()
    assert own(server, folder) == {}
    assert server.uploads("results") == []


def test_a_result_beyond_its_limit_leaves_nothing(server: S3Server, folder: Destination) -> None:
    def fill() -> None:
        with folder.child("rows.csv").writing(EXPORT, len(LARGE)) as result:
            result.write(LARGE)
            result.write(b"x")

    with pytest.raises(QuotaExceededError, match="larger than the 12,582,912 bytes"):
        fill()
    assert own(server, folder) == {}
    assert server.uploads("results") == []


def test_what_the_store_could_not_move_is_refused_before(folder: Destination, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(destination.LARGEST_MOVE, "s3", 10)

    def fill() -> None:
        with folder.child("rows.csv").writing(EXPORT, 1000) as result:
            result.write(b"x" * 11)

    with pytest.raises(
        QuotaExceededError,
        match=r"larger than the 10 bytes .*: the s3 store cannot move larger ones; write it to a disk",
    ):
        fill()


def test_a_successor_removes_what_an_attempt_left(server: S3Server, folder: Destination) -> None:
    place = folder.child("rows.csv")
    left = folder.files.create(f"{folder.address.path}/.rows.csv.{EXPORT}.dead.tmp")
    left.close()
    assert list(own(server, folder)) == [".rows.csv.5a0c.dead.tmp"]

    with place.writing(EXPORT) as result:
        result.write(b"a")
    assert own(server, folder) == {"rows.csv": 1}


def test_the_server_may_come_from_the_environment(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{server.address}")
    monkeypatch.setenv("AWS_REGION", "eu-1")

    with Destination.parse("s3://results/env/rows.csv").writing(EXPORT) as result:
        result.write(b"a")
    assert server.objects("results")["env/rows.csv"] == 1


def test_what_the_store_refuses_is_told_without_secrets(server: S3Server) -> None:
    query = f"endpoint_override={server.address}&scheme=http&region=eu-1"
    place = Destination.parse(f"s3://AKIAOTHER:p%40ss@nobucket/rows.csv?{query}")

    with pytest.raises(StoreUnavailableError, match=r"s3://nobucket/rows\.csv could not be .*BUCKET") as caught:
        place.writing(EXPORT).__enter__()
    assert "AKIAOTHER" not in str(caught.value)
    assert "p%40ss" not in str(caught.value)
    assert caught.value.__suppress_context__
