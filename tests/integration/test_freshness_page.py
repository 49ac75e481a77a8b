"""Every example of docs/freshness.md, against the bundled repo under `freshet serve`."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.settings import PROJECT_ROOT
from tests.integration.profiles import opened
from tests.integration.readme_commands import essence, read_sections
from tests.integration.server_process import FRESHET, serving
from tests.servers import Postgres, Redis

PAGE = PROJECT_ROOT / "docs/freshness.md"
_AGE = re.compile(r"\d+ (d|h|min|s)( \d+ (h|min|s))?\b")


def words(text: str) -> list[str]:
    """A table without its widths; ages and times are alike."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "TIME", _AGE.sub("AGE", text)).split()


@pytest.mark.full  # each command starts a process
def test_the_examples(tmp_path: Path, postgres: Postgres, redis_server: Redis) -> None:
    commands = [command for section in read_sections(PAGE) for command in section.commands]
    assert len(commands) == 4
    with (
        postgres.database() as database,
        opened("embedded", tmp_path / "data", database, redis_server) as profile,
        serving("serve", environment=profile.environment, folder=tmp_path) as server,
    ):
        server.wait_for("a probe", lambda: server.get("/v1/freshness").json()["probed_at"] is not None)
        for command in commands:
            done = subprocess.run(
                ["sh", "-c", command.text.replace("http://127.0.0.1:8000", server.url)],
                cwd=tmp_path,
                env={**os.environ, **profile.environment, "PATH": f"{FRESHET.parent}:{os.environ['PATH']}"},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.stderr == "", done
            if command.output.startswith("{"):
                json.loads(done.stdout)
                assert essence(done.stdout) == essence(command.output)
            else:
                assert words(done.stdout) == words(command.output)
