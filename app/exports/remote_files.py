"""Files of results on a filesystem of pyarrow or fsspec: objects under a name of their own until they are whole.

pyarrow has no way to give up an upload: closing a stream completes the object, and so does the end of the with block
that an error leaves, or the garbage collector. What is cut short would thus stand under the name of the result. So an
upload goes to a name of the attempt, and the store itself moves the whole object to its place.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from typing import BinaryIO, cast

import pyarrow.fs as pafs

_BUFFER = 2**20


class RemoteFiles:
    """Implements app.exports.destination.Files. Paths are those of the filesystem: bucket/folder/name."""

    def __init__(self, filesystem: pafs.FileSystem) -> None:
        self._filesystem = filesystem

    def create(self, path: str) -> BinaryIO:
        """An object to write. Folders, where the store has any, are made."""
        if self._filesystem.type_name not in ("s3", "gcs", "abfs"):
            self._filesystem.create_dir(posixpath.dirname(path), recursive=True)
        return cast(BinaryIO, self._filesystem.open_output_stream(path, buffer_size=_BUFFER))

    def finish(self, file: BinaryIO) -> None:
        """Complete the object."""
        file.close()

    def publish(self, path: str, place: str) -> None:
        """Move the object to its place, within the store; an older one there is replaced."""
        self._filesystem.move(path, place)

    def abandon(self, file: BinaryIO, path: str) -> None:
        """Complete the object, as it cannot be aborted, so that no upload stays open; and remove it."""
        try:
            file.close()
        finally:
            self.remove(path)

    def remove(self, path: str) -> None:
        """Remove an object that may be there."""
        if self._filesystem.get_file_info(path).type is not pafs.FileType.NotFound:
            self._filesystem.delete_file(path)

    def names(self, folder: str) -> Iterator[str]:
        """What lies in a folder that may be there."""
        for info in self._filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True)):
            yield info.base_name

    def open(self, path: str) -> BinaryIO:
        """An object to read, from anywhere in it."""
        return cast(BinaryIO, self._filesystem.open_input_file(path))

    def size(self, path: str) -> int | None:
        """Bytes, or None where there is no such object."""
        info = self._filesystem.get_file_info(path)
        return info.size if info.type is pafs.FileType.File else None
