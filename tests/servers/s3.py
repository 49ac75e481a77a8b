"""A server that speaks S3, by moto: in a process of its own, as pyarrow may wait for it with Python's lock held."""

from __future__ import annotations

import re
import subprocess
import sys
from types import TracebackType
from typing import Self

import httpx2 as httpx

from tests.servers.errors import NoServerError

_PROGRAM = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


class S3Server:
    """An empty store. It ends with the with block, or with the process that started it."""

    def __enter__(self) -> Self:
        # Its end of the pipe is what the program waits for: it closes when this process ends, however that comes about.
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        port = self._process.stdout.readline().strip()
        if not port:
            raise NoServerError("moto's S3 server did not start; `make setup-dev` installs it")
        self.address = f"127.0.0.1:{int(port)}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def make_bucket(self, name: str) -> None:
        """A new, empty bucket."""
        httpx.put(f"http://{self.address}/{name}").raise_for_status()

    def objects(self, bucket: str) -> dict[str, int]:
        """Sizes by key. Markers of folders, which pyarrow makes, are left out."""
        text = self._ask(f"{bucket}?list-type=2")
        found = re.findall(r"<Key>(.*?)</Key>.*?<Size>(\d+)</Size>", text, re.DOTALL)
        return {key: int(size) for key, size in found if not key.endswith("/")}

    def uploads(self, bucket: str) -> list[str]:
        """The keys of all uploads that were begun, and neither completed nor aborted."""
        return re.findall(r"<Key>(.*?)</Key>", self._ask(f"{bucket}?uploads"))

    def _ask(self, path: str) -> str:
        return httpx.get(f"http://{self.address}/{path}").raise_for_status().text
