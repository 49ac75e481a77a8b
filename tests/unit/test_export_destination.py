"""Results appear whole or not at all, leave nothing behind, and tell no secret."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import fsspec
import pytest

from app.errors import ConfigurationError, FreshetError, QuotaExceededError, StoreUnavailableError
from app.exports.destination import Destination
from app.exports.local_files import LocalFiles
from app.exports.urls import parse_address

EXPORT = "5a0c"


@pytest.fixture(params=["disk", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Destination]:
    """A folder on the disk, and one of a filesystem that only fsspec knows."""
    if request.param == "disk":
        yield Destination.parse(str(tmp_path / "not there yet"))
    else:
        memory = fsspec.filesystem("memory")
        yield Destination.parse(f"memory://results/{tmp_path.name}")
        memory.rm("/results", recursive=True)


def write(place: Destination, *texts: bytes, limit: int | None = None, error: BaseException | None = None) -> None:
    """Write a result, or try to."""
    with place.writing(EXPORT, limit) as result:
        for text in texts:
            result.write(text)
        if error is not None:
            raise error


def names(folder: Destination) -> list[str]:
    """Everything that lies in a folder."""
    return sorted(folder.files.names(folder.address.path))


def test_a_result_appears_when_it_is_complete(folder: Destination) -> None:
    place = folder.child("rows.csv")
    with place.writing(EXPORT) as result:
        result.write(b"a,b\n")
        result.write(memoryview(b"1,2\n"))
        assert place.size() is None
        assert all(name.startswith(".rows.csv.5a0c.") for name in names(folder))

    assert names(folder) == ["rows.csv"]
    assert place.size() == result.bytes == 8
    assert result.sha256 == hashlib.sha256(b"a,b\n1,2\n").hexdigest()
    with place.open() as file:
        file.seek(4)
        assert file.read() == b"1,2\n"


def test_a_result_takes_the_place_of_an_older_one(folder: Destination) -> None:
    place = folder.child("rows.csv")
    write(place, b"old and long")
    write(place, b"new")

    with place.open() as file:
        assert file.read() == b"new"
    assert names(folder) == ["rows.csv"]
    place.remove()
    place.remove()
    assert names(folder) == []


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), GeneratorExit()])
def test_an_error_leaves_nothing_behind(folder: Destination, error: BaseException) -> None:
    place = folder.child("rows.csv")
    with pytest.raises(type(error)):
        write(place, b"some", error=error)

    assert names(folder) == []


def test_an_error_leaves_an_older_result_alone(folder: Destination) -> None:
    place = folder.child("rows.csv")
    write(place, b"old")
    with pytest.raises(ValueError, match="no"):
        write(place, b"new", error=ValueError("no"))

    with place.open() as file:
        assert file.read() == b"old"


def test_a_successor_removes_what_a_killed_attempt_left(folder: Destination) -> None:
    place = folder.child("rows.csv")
    for name in (f".rows.csv.{EXPORT}.1.tmp", ".rows.csv.5a0.1.tmp", ".rows.csv.5a0cc.1.tmp"):
        path = f"{folder.address.path}/{name}"
        folder.files.finish(folder.files.create(path))

    write(place, b"whole")
    assert names(folder) == [".rows.csv.5a0.1.tmp", ".rows.csv.5a0cc.1.tmp", "rows.csv"]
    assert place.clean("5a0") == 1
    assert place.clean("5a0") == 0


def test_an_attempt_that_was_taken_over_publishes_nothing(folder: Destination) -> None:
    place = folder.child("rows.csv")
    with ExitStack() as stack:
        late = place.writing(EXPORT)
        late.__enter__().write(b"late")
        write(place, b"successor")
        if place.local is not None:  # the memory of fsspec writes a removed file anew when it is closed
            with pytest.raises(StoreUnavailableError, match=r"rows\.csv could not be written"):
                late.__exit__(None, None, None)
        stack.pop_all()

    with place.open() as file:
        assert file.read() == b"successor"


def test_a_result_beyond_its_limit_is_refused_while_it_is_written(folder: Destination) -> None:
    place = folder.child("rows.csv")
    write(place, b"x" * 1000, limit=1000)
    place.remove()
    with pytest.raises(QuotaExceededError, match="larger than the 1,000 bytes"):
        write(place, b"x" * 1000, b"x", limit=1000)

    assert names(folder) == []


def test_a_fault_that_the_writer_swallows_counts_all_the_same(folder: Destination) -> None:
    place = folder.child("rows.csv")

    def swallow(error: BaseException | None) -> None:
        with place.writing(EXPORT, 3) as result:
            with contextlib.suppress(QuotaExceededError):
                result.write(b"1234")
            result.write(b"12")
            if error is not None:
                raise error

    for error in (None, OSError("something else")):
        with pytest.raises(QuotaExceededError):
            swallow(error)
        assert names(folder) == []


class FullDisk(LocalFiles):
    """A disk on which no byte is free. Small writes fail when they leave the buffer, as on a real one."""

    def create(self, path: str) -> io.BufferedWriter:
        class Raw(io.FileIO):
            def write(self, data: object) -> int:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        return io.BufferedWriter(Raw(path, "xb"), 100)


@pytest.mark.parametrize("size", [10, 1000])
def test_a_full_disk_is_told_as_such(tmp_path: Path, size: int) -> None:
    place = Destination.parse(str(tmp_path / "rows.csv"))
    place = Destination(place.address, FullDisk(), place.shown)
    with pytest.raises(QuotaExceededError, match=r"rows\.csv could not be written: the disk is full; free some space"):
        write(place, b"x" * size)

    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = Destination.parse(str(tmp_path / "file" / "rows.csv"))
    with pytest.raises(StoreUnavailableError, match=r"file/rows\.csv could not be .*: Not a directory; let this"):
        write(place)


def test_file_and_name_are_on_disk_before_the_result_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = Destination.parse((tmp_path / "rows.csv").as_uri())
    assert place.local is not None
    seen = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        seen.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, tmp_path.joinpath("rows.csv").exists()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write(place, b"1")

    (file, early), (where, late) = seen
    assert file.startswith(".rows.csv.")
    assert not early
    assert (where, late) == (tmp_path.name, True)


SECRETS = ("AKIAUSER", "p%40ss/w0rd", "p@ss", "t0ken")


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIAUSER:p%40ss@bucket/folder?nonsense=t0ken",
        "s3://AKIAUSER:p@ss@@bucket/folder",
        "abfs://AKIAUSER:p%40ss@/?client_secret=t0ken",
        "nonsense://AKIAUSER:p%40ss@host/folder?x=t0ken",
        "s3://AKIAUSER:p%40ss@",
        "file://AKIAUSER:p%40ss@elsewhere/folder?x=t0ken",
        "simplecache::s3://AKIAUSER:p%40ss@bucket/folder",
    ],
)
def test_an_unusable_url_is_refused_without_its_secrets(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Destination.parse(url)

    told: FreshetError | BaseException | None = caught.value
    assert "://" in str(told)
    while told is not None:
        assert not any(secret in f"{told!r} {told}" for secret in SECRETS)
        told = told.__cause__ if told.__suppress_context__ else (told.__cause__ or told.__context__)


def test_secrets_are_found_in_every_spelling() -> None:
    address = parse_address("s3://AKIAUSER:p%40ss@bucket/folder?region=eu-1&x=t0%20ken")

    assert address.redacted("AKIAUSER p%40ss p@ss t0%20ken t0 ken eu-1") == "*** *** *** *** *** eu-1"


def test_a_destination_is_shown_without_its_secrets() -> None:
    place = Destination.parse("s3://AKIAUSER:p%40ss@bucket/folder?region=eu-1&scheme=http").child("rows.csv")

    assert place.shown == "s3://bucket/folder/rows.csv"
    assert place.address.path == "bucket/folder/rows.csv"
    assert place.name == "rows.csv"
    assert place.local is None
    assert not any(secret in f"{place!r} {place} {place.address!r}" for secret in SECRETS)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/data/x", "/data/x"),
        ("x", f"{Path.cwd()}/x"),
        ("file:///data/a%20b", "/data/a b"),
        ("file://localhost/data", "/data"),
        ("/data/a?b%20", "/data/a?b%20"),
        ("/", "/"),
    ],
)
def test_paths_and_file_urls_are_on_the_disk(text: str, path: str) -> None:
    place = Destination.parse(text)

    assert str(place.local) == path
    assert place.child("rows").shown == f"{path.rstrip('/')}/rows"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../a", "a\\b", "a\0"])
def test_a_name_leads_nowhere_else(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a file"):
        Destination.parse("/data").child(name)


@pytest.mark.parametrize("export_id", ["", "a.b", "../x", "a/b", "x" * 65])
def test_an_id_is_a_plain_word(tmp_path: Path, export_id: str) -> None:
    place = Destination.parse(str(tmp_path / "a"))
    with pytest.raises(ValueError, match="no id of an export"):
        place.clean(export_id)
