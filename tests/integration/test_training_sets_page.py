"""Every example of docs/training-sets.md, on the embedded profile."""

from __future__ import annotations

import doctest
import os
import re
import subprocess
from pathlib import Path

import pytest

from app.settings import PROJECT_ROOT
from tests.integration.profiles import opened
from tests.integration.readme_commands import read_sections
from tests.integration.server_process import FRESHET
from tests.servers import Postgres, Redis

PAGE = PROJECT_ROOT / "docs/training-sets.md"


@pytest.mark.full  # each command starts a process
def test_the_examples(tmp_path: Path, postgres: Postgres, redis_server: Redis) -> None:
    commands = [command for section in read_sections(PAGE) for command in section.commands]
    assert len(commands) == 4
    with (
        postgres.database() as database,
        opened("embedded", tmp_path / "data", database, redis_server) as profile,
    ):
        for command in commands:
            environment = {**os.environ, **profile.environment, "PATH": f"{FRESHET.parent}:{os.environ['PATH']}"}
            done = subprocess.run(
                ["sh", "-c", command.text], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done
            if not command.output:
                continue
            first = re.sub(r"sha256.*|\d,\d+ bytes|\d+ bytes", "…", command.output.splitlines()[0]).strip()
            assert first in re.sub(r"sha256.*|\d,\d+ bytes|\d+ bytes", "…", done.stdout)
        with profile.entered():
            assert _faults() == ""


def _faults() -> str:
    blocks = "\n".join(
        re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
    examples = doctest.DocTestParser().get_doctest(blocks, {}, PAGE.name, str(PAGE), 0)
    assert len(examples.examples) == 9
    told: list[str] = []
    doctest.DocTestRunner(verbose=False).run(examples, out=told.append)
    return "".join(told)
