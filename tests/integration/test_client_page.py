"""Every example of docs/client.md, against the bundled repo under `freshet serve`."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from app.settings import PROJECT_ROOT
from tests.integration.profiles import opened
from tests.integration.server_process import serving
from tests.servers import Postgres, Redis

PAGE = PROJECT_ROOT / "docs/client.md"
_DOCUMENTED = "http://127.0.0.1:8000"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def faults(page: str, url: str) -> str:
    """What the examples of a page do otherwise than it says, with `url` for the documented one; "" for nothing."""
    blocks = "\n".join(_BLOCK.findall(page)).replace(_DOCUMENTED, url)
    examples = doctest.DocTestParser().get_doctest(blocks, {}, PAGE.name, str(PAGE), 0)
    assert examples.examples, "a page without examples"
    told: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    runner.run(examples, out=told.append)
    return "".join(told)


def test_the_examples(tmp_path: Path, postgres: Postgres, redis_server: Redis) -> None:
    with (
        postgres.database() as database,
        opened("embedded", tmp_path / "data", database, redis_server) as profile,
        serving("serve", environment=profile.environment, folder=tmp_path) as server,
    ):
        assert faults(PAGE.read_text(encoding="utf-8"), server.url) == ""


def test_an_example_that_does_something_else_is_told() -> None:
    page = "Text\n\n```python\n>>> 'http://127.0.0.1:8000'\n'http://a'\n>>> 1 + 1\n3\n```\n```console\n>>> no\n```\n"
    told = faults(page, "http://a")
    assert "Got:\n    2" in told
    assert told.count("Failed example") == 1


def test_all_code_of_the_page_is_run() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text.count("```") == 2 * len(_BLOCK.findall(text))
    assert all(block.startswith(">>> ") for block in _BLOCK.findall(text))
