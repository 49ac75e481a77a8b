"""Every command of the README is run here, or is named in NOT_RUN with the reason; and every example of docs/api.md
and docs/feast-wire.md."""

import os
import shutil
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.settings import PROJECT_ROOT
from ingestion.sample import write_sample_events
from tests.integration.readme_commands import Command, Reader, ReadmeError, Section, essence, read_sections
from tests.servers import Database

README = PROJECT_ROOT / "README.md"
SECTIONS = read_sections(README)
PAGES = ["api.md", "feast-wire.md"]

NOT_RUN = {
    "make setup-dev": "`make test` runs the same target before it runs this test",
    "make test": "it is what runs this test",
    "make lint": ".ci/run runs it",
    'umask 077; echo "POSTGRES_PASSWORD=$(openssl rand -hex 24)" > .env': "it only serves the next one",
    "docker compose up --build --wait": "no Docker engine; tests/integration/compose.py runs what the file says",
    "curl http://127.0.0.1:8000/readyz": "asks the server of the one before",
}

# What stands in for curl on a machine without it, as far as the README uses it.
_CURL = """#!{python}
import argparse, sys, urllib.request
parser = argparse.ArgumentParser()
parser.add_argument("url"), parser.add_argument("-s", action="store_true")
parser.add_argument("-H", default="accept: */*"), parser.add_argument("-d")
given = parser.parse_args()
name, _, value = given.H.partition(": ")
request = urllib.request.Request(given.url, given.d.encode() if given.d else None, {{name: value}})
with urllib.request.urlopen(request, timeout=60) as answer:
    sys.stdout.write(answer.read().decode())
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean clone, so that no command writes into the real one, and an environment that needs no installation."""
    folder = tmp_path / "freshet"
    unwritten = shutil.ignore_patterns("*.db*", "__pycache__", "user_activity", "user_realtime", "events")
    for name in ("feature_definitions", "examples"):
        shutil.copytree(PROJECT_ROOT / name, folder / name, ignore=unwritten)
    for name in ("Makefile", "pyproject.toml", "requirements.lock", "requirements-bootstrap.lock"):
        shutil.copy(PROJECT_ROOT / name, folder)
        os.utime(folder / name, (0, 0))
    environment = folder / ".venv"
    environment.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if not entry.name.startswith(".installed"):
            (environment / entry.name).symlink_to(entry)
    # Newer than the locks: what make takes for an environment that is up to date.
    (environment / ".installed-run").touch()
    return folder


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a reader's shell has, and data in a folder of this test's own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    if shutil.which("curl") is None:
        (programs / "curl").write_text(_CURL.format(python=sys.executable))
        (programs / "curl").chmod(0o755)
    return {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "COLUMNS": "200",
        "FRESHET_DATA_DIR": str(tmp_path / "data"),
    }


@pytest.fixture
def servers(tmp_path: Path, postgres_database: Database, redis_connection_string: str) -> Mapping[str, str]:
    """The values of the production profile's variables, for the servers of the tests."""
    events = tmp_path / "events"
    write_sample_events(events, datetime.now(UTC), lambda done, total: None)
    return {
        "FRESHET_DATABASE_URL": postgres_database.sqlalchemy_url,
        "FRESHET_REGISTRY_URL": postgres_database.sqlalchemy_url,
        "REDIS_CONNECTION_STRING": redis_connection_string,
        "POSTGRES_HOST": postgres_database.host,
        "POSTGRES_PORT": str(postgres_database.port),
        "POSTGRES_DB": postgres_database.name,
        "POSTGRES_USER": postgres_database.user,
        "POSTGRES_PASSWORD": postgres_database.password,
        "FRESHET_EVENTS_PATH": str(events),
    }


def to_run(section: Section) -> list[Command]:
    return [command for command in section.commands if command.text not in NOT_RUN]


FIRST = next(section for section in SECTIONS if section.heading == "One command")


def test_the_first_commands_and_then_the_examples_of_the_pages(checkout: Path, environment: Mapping[str, str]) -> None:
    """The pages say what a server answers to whoever has followed the README so far: one server does for all."""
    with Reader(checkout, environment) as reader:
        for section in (FIRST, *(section for page in PAGES for section in read_sections(PROJECT_ROOT / "docs" / page))):
            for command in to_run(section):
                reader.run(command)


# A minute, for a server each. `freshet apply`, `feast apply`, the flights and the production profile have quick tests.
@pytest.mark.full
@pytest.mark.parametrize(
    "section",
    [section for section in SECTIONS if to_run(section) and section is not FIRST],
    ids=lambda section: section.heading,
)
def test_the_commands_of(
    section: Section, checkout: Path, environment: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    production = any("FRESHET_DATABASE_URL" in command.text for command in section.commands)
    values = request.getfixturevalue("servers") if production else {}

    with Reader(checkout, environment, values) as reader:
        for command in to_run(section):
            reader.run(command)


def test_what_is_not_run_is_still_in_the_readme() -> None:
    assert set(NOT_RUN) <= {command.text for section in SECTIONS for command in section.commands}


@pytest.mark.parametrize(
    ("text", "output"),
    [
        ("exit 3", ""),
        ("echo 'rows: 7'", "lines: 7"),
        ("""echo '{"status": "ready"}'""", """{"status": "not ready"}"""),
        ("freshet serve --port", ""),
    ],
)
def test_a_command_that_does_not_do_what_the_readme_says_is_told(text: str, output: str, tmp_path: Path) -> None:
    with Reader(tmp_path, {"PATH": os.defpath}) as reader, pytest.raises(ReadmeError, match=text.split()[0]):
        reader.run(Command(text, output))


def test_numbers_times_and_order_may_differ() -> None:
    assert essence("  + a\n  + b\n1,204 rows at 22:55") == essence("+ b\n+ a\n7 rows at 0:01")
    assert essence('{"n": 3.5, "t": "2026-01-31T00:00:00Z"}') == essence('{"t": "2027-01-31T10:00:00.5Z", "n": 4}')
    assert essence('{"n": 3}') != essence('{"n": null}')


def test_commands_are_read_with_their_continuations_and_output(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# One\n```console\n$ a \\\n    b\nout\n\nput\n$ c '{\n  }'\n```\n```json\n$ no\n```\n"
        "# Two\n    $ no\n```bash\n# no\n\nd\ne\n```\n"
    )

    assert read_sections(page) == [
        Section("One", (Command("a \\\n    b", "out\n\nput"), Command("c '{\n  }'", ""))),
        Section("Two", (Command("d", ""), Command("e", ""))),
    ]
