"""The commands of a markdown page, and a shell that runs them as a reader would.

    sections = read_sections(README)
    with Reader(workspace, environment) as reader:
        for command in section.commands:
            reader.run(command)                  # servers stay up for the commands after them
    # all servers have been stopped by Ctrl-C

A command is what follows `$ ` in a ```console block, and each line of a ```bash block; a line that ends within a quote
or in a backslash goes on. What follows a command in a console block is its output.
"""

import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.servers.ports import free_port

_DOCUMENTED_PORT = "127.0.0.1:8000"
_SERVER = re.compile(r"\bmake run\b|\bfreshet (up|serve)\b")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")
_VARIES = {"preferred_model", "request_id"}
"""Names whose text is another in every run: the sample events depend on the day."""
_SECONDS = 120.0
_STOPPED = {0, 130, -signal.SIGINT}
"""Statuses of a clean end by Ctrl-C; make ends by the signal itself, which a shell shows as 130."""


class ReadmeError(Exception):
    """A command did not do what the page says."""


@dataclass(frozen=True)
class Command:
    """What to type, and what the page says that it prints ("" where it says nothing)."""

    text: str
    output: str


@dataclass(frozen=True)
class Section:
    """The commands under one heading."""

    heading: str
    commands: tuple[Command, ...]


def read_sections(page: Path) -> list[Section]:
    """The sections of a page that have commands, in its order."""
    found: dict[str, list[Command]] = {}
    heading, language, block = "", "", list[str]()
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            if language in ("console", "bash"):
                found.setdefault(heading, []).extend(_commands(language, block))
            # A closing fence names no language.
            language, block = line.removeprefix("```").strip() or ("" if language else "text"), []
        elif language:
            block.append(line)
        elif line.startswith("#"):
            heading = line.lstrip("# ")
    return [Section(name, tuple(commands)) for name, commands in found.items()]


def _commands(language: str, block: list[str]) -> list[Command]:
    commands = []
    lines = list(block)
    while lines:
        line = lines.pop(0)
        if language == "console":
            if not line.startswith("$ "):
                raise ReadmeError(f"output before any command: {line}")
            line = line.removeprefix("$ ")
        elif not line or line.startswith("#"):
            continue
        while lines and _goes_on(line):
            line += "\n" + lines.pop(0)
        output = []
        while language == "console" and lines and not lines[0].startswith("$ "):
            output.append(lines.pop(0))
        commands.append(Command(line, "\n".join(output)))
    return commands


def _goes_on(text: str) -> bool:
    if text.endswith("\\"):
        return True
    try:
        shlex.split(text)
    except ValueError:
        return True
    return False


class Reader:
    """Somebody at a shell in `folder`, with nothing but `environment`. `values` replace those of exported variables.

    Ports of the page become a free one. Servers are left running until the end, when each gets a Ctrl-C and must end
    cleanly.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str], values: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self._values = dict(values or {})
        self._port = free_port()
        self._server: _Server | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._server is not None:
            if kind is None:
                self._server.stop()
            else:
                self._server.kill()

    def run(self, command: Command) -> None:
        """Run one command; raise ReadmeError where it fails or prints something else than the page says."""
        text = command.text.replace(_DOCUMENTED_PORT, f"127.0.0.1:{self._port}")
        if text.startswith("export "):
            for assignment in shlex.split(text)[1:]:
                name, _, value = assignment.partition("=")
                self._environment[name] = self._values.get(name, value)
        elif _SERVER.search(text):
            text += f" PORT={self._port}" if text.startswith("make") else f" --port {self._port}"
            self._server = _Server(text, self._folder, self._environment, self._port)
            self._check(command, self._server.output())
            for line in re.findall(r"^\s*(curl .*)$", self._server.output(), re.M):
                answer = json.loads(self._shell(line))
                if "PRESENT" not in answer["statuses"].values():
                    raise ReadmeError(f"{line}\nwas printed, but it finds nothing: {answer}")
        else:
            self._check(command, self._shell(text))

    def _shell(self, text: str) -> str:
        done = subprocess.run(
            ["sh", "-ec", text],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode:
            raise ReadmeError(f"{text}\nended with status {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    @staticmethod
    def _check(command: Command, actual: str) -> None:
        if not command.output:
            return
        documented, printed = essence(command.output), essence(actual)
        if documented != printed:
            raise ReadmeError(
                f"{command.text}\nprints other things than the page says. It says:\n{documented}\nIt prints:\n{printed}"
            )


def essence(text: str) -> Any:
    """What must be the same in every run: a JSON answer but for its numbers, its times and what _VARIES names;
    else the words, whatever their order, with every number and the folder of the events made alike."""
    try:
        # A page breaks answers into lines, within texts too.
        return _form(json.loads(re.sub(r"\n\s*", " ", text)))
    except ValueError:
        words = re.sub(r"\S+/events\b", "EVENTS", text).split()
        return Counter(re.sub(r"(?<!\w)\d[\d,.:-]*", "0", word) for word in words)


def _form(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "text" if name in _VARIES else _form(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return [_form(entry) for entry in value]
    if isinstance(value, str):
        return "time" if _TIME.fullmatch(value) else value
    return 0 if isinstance(value, int | float) and not isinstance(value, bool) else value


class _Server:
    """A server that was started by a command; ready when it is built."""

    def __init__(self, text: str, folder: Path, environment: Mapping[str, str], port: int) -> None:
        self._text = text
        self._out, self._err = folder / f"server-{port}.out", folder / f"server-{port}.err"
        with self._out.open("w") as out, self._err.open("w") as err:
            # A session of its own, as a terminal's: Ctrl-C goes to make and to what make runs.
            self._process = subprocess.Popen(
                ["sh", "-c", f"exec {text}" if "=" not in text.split()[0] else f"exec env {text}"],
                cwd=folder,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        try:
            self._wait_until_ready(f"http://127.0.0.1:{port}/readyz")
        except BaseException:
            self.kill()
            raise

    def output(self) -> str:
        return self._out.read_text(encoding="utf-8")

    def stop(self) -> None:
        """Ctrl-C, and a clean end."""
        try:
            os.killpg(self._process.pid, signal.SIGINT)
            status = self._process.wait(_SECONDS)
        finally:
            self.kill()
        if status not in _STOPPED or "Traceback" in self._err.read_text(encoding="utf-8"):
            raise ReadmeError(f"{self._text}\nended with status {status} after Ctrl-C. {self._tail()}")

    def kill(self) -> None:
        """End whatever is left of it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _wait_until_ready(self, url: str) -> None:
        # The port is claimed early, so a request waits in its queue until there is somebody to answer. Before that the
        # connection is refused.
        while True:
            try:
                with urllib.request.urlopen(url, timeout=_SECONDS):
                    return
            except urllib.error.HTTPError as error:
                raise ReadmeError(f"{self._text}\nis not ready: {error.read().decode()}") from None
            except OSError:
                try:
                    status = self._process.wait(0.1)
                except subprocess.TimeoutExpired:
                    continue
                raise ReadmeError(f"{self._text}\nended with status {status}. {self._tail()}") from None

    def _tail(self) -> str:
        return f"It wrote:\n{self.output()[-2000:]}\n{self._err.read_text(encoding='utf-8')[-2000:]}"
