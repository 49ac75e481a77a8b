"""Where a result goes: a local path, or a URL of a filesystem that pyarrow or fsspec knows.

A result appears under its name when it is complete, and not before. Until then it has a hidden name of the attempt that
writes it; whoever takes over from a killed attempt removes what that one has left behind.
"""

from __future__ import annotations

import contextlib
import errno
import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, Protocol

from app.errors import ConfigurationError, FreshetError, QuotaExceededError, StoreUnavailableError, one_line
from app.exports.local_files import LocalFiles
from app.exports.result_file import Limit, ResultFile
from app.exports.urls import Address, filesystem, parse_address

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

LARGEST_MOVE = {"s3": 5 * 2**30}
"""Bytes that a store moves at one request, by the kind of filesystem."""


class Files(Protocol):
    """What a filesystem must do for results. Any method may raise OSError, or what its library raises."""

    def create(self, path: str) -> BinaryIO:
        """A new file, in a folder that is made where it is missing."""

    def finish(self, file: BinaryIO) -> None:
        """Close a file that is complete; it is durable when this returns."""

    def publish(self, path: str, place: str) -> None:
        """Give a finished file its name, at once; what had that name is gone."""

    def abandon(self, file: BinaryIO, path: str) -> None:
        """Close and remove a file that will never be complete."""

    def remove(self, path: str) -> None:
        """Remove a file that may be there."""

    def names(self, folder: str) -> Iterator[str]:
        """What lies in a folder that may be there."""

    def open(self, path: str) -> BinaryIO:
        """A file to read, from anywhere in it."""

    def size(self, path: str) -> int | None:
        """Bytes, or None where there is no such file."""


@dataclass(frozen=True)
class Destination:
    """A place for files. Its text form has no secret in it, and no error of it does."""

    address: Address = field(repr=False)
    files: Files = field(repr=False)
    shown: str
    """The path, or the URL without user, password and query."""

    @classmethod
    def parse(cls, text: str) -> Destination:
        """The place that a path or a URL names. Credentials come from the environment, as pyarrow takes them.

        `s3://bucket/folder?endpoint_override=host:9000&scheme=http` is a server of one's own; so is what
        AWS_ENDPOINT_URL says. Raises ConfigurationError.
        """
        address = parse_address(text)
        if address.scheme == "file":
            return cls(address, LocalFiles(), address.shown)
        try:
            files, path = filesystem(address)
        except FreshetError:
            raise
        except Exception as error:
            # Without its cause: that one holds the URL.
            said = address.redacted(one_line(error))
            raise ConfigurationError(f"{address.shown} is no place for results: {said}") from None
        return cls(replace(address, path=path), files, address.shown)

    def child(self, name: str) -> Destination:
        """A file or folder inside of this one. Raises ValueError for a name that would lead elsewhere."""
        if not name or "/" in name or "\\" in name or "\0" in name or name in (".", ".."):
            raise ValueError(f"{name!r} is no name of a file")
        inside = replace(self.address, path=f"{self.address.path.rstrip('/')}/{name}")
        return replace(self, address=inside, shown=f"{self.shown.rstrip('/')}/{name}")

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.address.path.rstrip("/").rpartition("/")[2]

    @property
    def local(self) -> Path | None:
        """Where it is on this machine's disk, or None where it is not."""
        return Path(self.address.path) if isinstance(self.files, LocalFiles) else None

    @contextlib.contextmanager
    def writing(self, export_id: str, max_bytes: int | None = None) -> Iterator[ResultFile]:
        """A file to write that appears here when the with block ends, and only if it ends without an error.

        What earlier attempts of the same export have left is removed first, and what this one has written is removed
        on any error, cancellation included. Raises QuotaExceededError where it grows beyond `max_bytes` or the disk is
        full, and StoreUnavailableError where the place cannot be written.
        """
        hidden = self._hidden(export_id)
        path = f"{self._folder}{hidden}{uuid.uuid4().hex[:12]}.tmp"
        self.clean(export_id)
        with self._guarded():
            file = self.files.create(path)
        result = ResultFile(file, self._limit(max_bytes), self._guarded)
        try:
            yield result
            if result.fault is not None:
                raise result.fault
            with self._guarded():
                self.files.finish(file)
                self.files.publish(path, self.address.path)
        except BaseException as error:
            with contextlib.suppress(Exception):  # what went wrong first is what somebody wants to know
                self.files.abandon(file, path)
            if result.fault is not None and not isinstance(error, FreshetError):
                raise result.fault from None
            raise

    def clean(self, export_id: str) -> int:
        """Remove what attempts of an export have left unfinished here, and say how many files that were.

        Only for who knows that none of them goes on. Raises StoreUnavailableError.
        """
        hidden = self._hidden(export_id)
        with self._guarded("read or cleaned up"):
            left = [name for name in self.files.names(self._folder.rstrip("/") or "/") if name.startswith(hidden)]
            for name in left:
                self.files.remove(f"{self._folder}{name}")
        return len(left)

    def open(self) -> BinaryIO:
        """The file to read, from anywhere in it. Raises StoreUnavailableError."""
        with self._guarded("read"):
            return self.files.open(self.address.path)

    def size(self) -> int | None:
        """Bytes, or None where there is no such file. Raises StoreUnavailableError."""
        with self._guarded("read"):
            return self.files.size(self.address.path)

    def remove(self) -> None:
        """Remove the file, if it is there. Raises StoreUnavailableError."""
        with self._guarded("removed"):
            self.files.remove(self.address.path)

    @property
    def _folder(self) -> str:
        folder, slash, _ = self.address.path.rpartition("/")
        return folder + slash

    def _hidden(self, export_id: str) -> str:
        """How the names of all attempts of an export begin."""
        if not _ID.fullmatch(export_id):
            raise ValueError(f"{export_id!r} is no id of an export")
        return f".{self.name}.{export_id}."

    def _limit(self, max_bytes: int | None) -> Limit | None:
        largest = LARGEST_MOVE.get(self.address.scheme)
        if largest is not None and (max_bytes is None or largest < max_bytes):
            # A result appears by a move, so that nobody sees a part of it.
            return Limit(
                largest, f"the {self.address.scheme} store cannot move larger ones; write it to a disk instead"
            )
        return None if max_bytes is None else Limit(max_bytes, "ask for fewer rows or features, or raise the limit")

    @contextlib.contextmanager
    def _guarded(self, what: str = "written") -> Iterator[None]:
        """Turn what a filesystem raises into an error that names the place, says what to do, and tells no secret."""
        try:
            yield
        except FreshetError:
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _FULL:
                raise QuotaExceededError(
                    f"{self.shown} could not be {what}: the disk is full; free some space, or ask for fewer rows"
                ) from None
            said = self.address.redacted(one_line(error))
            if isinstance(error, OSError) and error.strerror and self.local is not None:
                said = error.strerror
            advice = "let this process reach and write that place, or name another"
            raise StoreUnavailableError(f"{self.shown} could not be {what}: {said}; {advice}") from None
