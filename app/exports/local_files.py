"""Files of results on a local disk: hidden while they are written, and on disk before they are seen."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from app.durable_files import make_folder, sync_folder

_BUFFER = 2**20


class LocalFiles:
    """Implements app.exports.destination.Files. Paths are absolute."""

    def create(self, path: str) -> BinaryIO:
        """A new file, in a folder that is made where it is missing."""
        make_folder(Path(path).parent)
        return Path(path).open("xb", buffering=_BUFFER)

    def finish(self, file: BinaryIO) -> None:
        """Bring the file to disk, and close it."""
        file.flush()
        os.fsync(file.fileno())
        file.close()

    def publish(self, path: str, place: str) -> None:
        """Give the file its name, at once and for good; what had that name is gone."""
        Path(path).replace(place)
        sync_folder(Path(place).parent)

    def abandon(self, file: BinaryIO, path: str) -> None:
        """Close the file whatever its buffer says, and remove it."""
        try:
            file.close()  # writes what is buffered, for which there may be no room
        finally:
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove a file that may be there."""
        Path(path).unlink(missing_ok=True)

    def names(self, folder: str) -> Iterator[str]:
        """What lies in a folder that may be there."""
        try:
            with os.scandir(folder) as entries:
                yield from [entry.name for entry in entries]
        except FileNotFoundError:
            return

    def open(self, path: str) -> BinaryIO:
        """A file to read, from anywhere in it."""
        return Path(path).open("rb")

    def size(self, path: str) -> int | None:
        """Bytes, or None where there is no such file."""
        try:
            return Path(path).stat().st_size
        except FileNotFoundError:
            return None
