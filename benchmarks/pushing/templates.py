"""Requests with a slot in place of each event timestamp, which the generator fills in while it sends.

Sent twice with the same times, a row would be a duplicate, and nothing would be written. So every request carries a
moment of its own, a microsecond after that of the request before; all rows of one request share it.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from benchmarks import client
from benchmarks.contestants import Request

Form = Literal["text", "int64"]
"""How a moment is written: RFC 3339 with six decimals, or microseconds since 1970 in eight little-endian bytes."""
SLOTS: dict[Form, bytes] = {"text": b"0000-00-00T00:00:00.000000Z", "int64": struct.pack("<q", 0x0123_4567_89AB_CDEF)}


@dataclass(frozen=True)
class Template:
    """One request as it goes over the wire, cut where a moment belongs."""

    form: Form
    pieces: Sequence[bytes]

    @classmethod
    def of(cls, request: Request, form: Form) -> Template:
        """Cut a request at its slots. Raises ValueError where it has none."""
        pieces = client.encode(request).split(SLOTS[form])
        if len(pieces) == 1:
            raise ValueError("a request without a slot for the event timestamp")
        return cls(form, pieces)

    def at(self, moment: int) -> bytes:
        """The request for this moment, in microseconds since 1970."""
        return encode_moment(moment, self.form).join(self.pieces)


def encode_moment(moment: int, form: Form) -> bytes:
    """Microseconds since 1970 in one of the forms; all are as long as their slots."""
    if form == "int64":
        return struct.pack("<q", moment)
    seconds, micros = divmod(moment, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{micros:06d}Z").encode()


def write_templates(path: Path, templates: Sequence[Template]) -> None:
    """The file that push.lua reads: the form in the first line, then per request a line with the lengths of its pieces,
    and the pieces."""
    with path.open("wb") as file:
        file.write(templates[0].form.encode() + b"\n")
        for one in templates:
            file.write(" ".join(str(len(piece)) for piece in one.pieces).encode() + b"\n" + b"".join(one.pieces))


def read_templates(path: Path) -> list[Template]:
    """The same file, for the generator in Python."""
    templates = []
    with path.open("rb") as file:
        form: Form = "int64" if file.readline() == b"int64\n" else "text"
        while line := file.readline():
            templates.append(Template(form, [file.read(int(length)) for length in line.split()]))
    return templates


def rising(templates: Sequence[Template], start: int) -> Iterator[bytes]:
    """Requests without end, the templates in turn, the first one of them at `start`."""
    for turn, template in enumerate(itertools.cycle(templates)):
        yield template.at(start + turn)
