"""The address of a destination: taken apart, shown without its secrets, and opened."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

from app.errors import ConfigurationError

if TYPE_CHECKING:
    from app.exports.remote_files import RemoteFiles

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_BY_PYARROW = ("s3", "gs", "gcs", "abfs", "abfss", "hdfs", "viewfs")
_NO_SECRETS = {"allow_bucket_creation", "allow_bucket_deletion", "endpoint_override", "region", "scheme"}


@dataclass(frozen=True)
class Address:
    """A path or URL. `path` is what its filesystem calls the place: absolute on a disk, bucket/key in a store."""

    scheme: str
    path: str
    shown: str
    """Without user, password and query."""
    url: str = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """Texts that no message may hold, the longest first."""

    def redacted(self, text: str) -> str:
        """The text with *** for everything secret."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def parse_address(text: str) -> Address:
    """The address that a text spells. Raises ConfigurationError for a URL of a disk that is not this machine's."""
    found = _URL.match(text)
    if found is None and "://" in text:
        raise ConfigurationError("A destination is a path or a URL of one scheme, such as s3://bucket/folder")
    if found is None:
        path = str(Path(text).absolute())
        return Address("file", path, path, path)
    scheme = found[1].lower()
    rest, _, query = text[found.end() :].partition("?")
    authority, slash, path = rest.partition("/")
    user, _, host = authority.rpartition("@")
    shown = f"{scheme}://{host}{slash}{path}"
    if scheme == "file":
        if host not in ("", "localhost") or query or not slash:
            raise ConfigurationError(f"{shown} is no file of this machine; write file:///folder/name")
        path = str(Path(unquote(f"/{path}")))
        return Address(scheme, path, path, text)
    return Address(scheme, "", shown, text, _secrets(text, user, query))


def _secrets(url: str, user: str, query: str) -> tuple[str, ...]:
    parts = [user, *user.split(":", 1)]
    parts += [value for name, value in parse_qsl(query) if name not in _NO_SECRETS]
    parts += [text.partition("=")[2] for text in query.split("&") if text.partition("=")[0] not in _NO_SECRETS]
    found = {part for text in parts for part in (text, unquote(text))} - {""}
    if found:
        found |= {url}
    return tuple(sorted(found, key=len, reverse=True))


def filesystem(address: Address) -> tuple[RemoteFiles, str]:
    """The filesystem of a URL, and the path in it. Raises what pyarrow and fsspec raise, and ConfigurationError."""
    # Only here: the clouds' libraries take a while, and most results stay on the disk.
    import fsspec
    import pyarrow.fs as pafs

    from app.exports.remote_files import RemoteFiles

    if address.scheme in _BY_PYARROW:
        found, path = pafs.FileSystem.from_uri(address.url)
    else:
        handled, path = fsspec.core.url_to_fs(address.url)
        found = pafs.PyFileSystem(pafs.FSSpecHandler(handled))
    if not path.strip("/"):
        raise ConfigurationError(f"{address.shown} names no bucket or folder")
    return RemoteFiles(found), path.rstrip("/")
